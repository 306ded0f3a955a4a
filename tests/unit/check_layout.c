/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_layout.c - doc/shm-layout.md against the structures that it describes:
 * every row of every table, and the numbers in its words.
 */
#include "base/port.h"
#include "ring/layout.h"
#include "unit.h"

#include <stdlib.h>

enum { LINE_MAX_ = 400, DOC_MAX = 64 * 1024 };

/* A row: the heading it stands under, where it says that something is, how large that is, and its first word. */
struct row {
	const char *section, *word;
	size_t at, size;
};

#define FIELD(section, word, type, field) { section, word, offsetof(type, field), sizeof(((type *)0)->field) }
#define UP_TO(section, word, type, field, last)                                                                        \
	{ section, word, offsetof(type, field), offsetof(type, last) + sizeof(((type *)0)->last) - offsetof(type, field) }

static const struct row rows[] = {
	FIELD("The bell", "armed", struct ismi_bell, armed),
	FIELD("The bell", "ready", struct ismi_bell, ready),
	FIELD("The bell", "summary", struct ismi_bell, summary),
	FIELD("The bell", "bits", struct ismi_bell, bits),
	FIELD("The state", "magic", struct ismi_state, magic),
	FIELD("The state", "version", struct ismi_state, version),
	FIELD("The state", "size", struct ismi_state, size),
	UP_TO("The state", "four", struct ismi_state, nr_slots, event_size),
	FIELD("The state", "event_tail", struct ismi_state, event_tail),
	FIELD("The state", "events_lost", struct ismi_state, events_lost),
	FIELD("The state", "links_changed", struct ismi_state, links_changed),
	FIELD("The state", "kept_ended", struct ismi_state, kept_ended),
	FIELD("The state", "links", struct ismi_state, link),
	FIELD("The state", "event", struct ismi_state, event),
	FIELD("The state", "slots", struct ismi_state, slot),
	FIELD("The state", "masks", struct ismi_state, mask),
	FIELD("The line", "bell", struct ismi_line, to_device),
	FIELD("The line", "bell", struct ismi_line, to_host),
	FIELD("The line", "event_head", struct ismi_line, event_head),
	FIELD("The link", "bell", struct ismi_link, bell[0]),
	FIELD("The link", "bell", struct ismi_link, bell[1]),
	FIELD("The ring", "magic", struct ring_shared, magic),
	FIELD("The ring", "version", struct ring_shared, version),
	FIELD("The ring", "capacity", struct ring_shared, capacity),
	FIELD("The ring", "start", struct ring_shared, start),
	FIELD("The ring", "tail", struct ring_shared, tail),
	FIELD("The ring", "reader_waits", struct ring_shared, reader_waits),
	FIELD("The ring", "reader_closed", struct ring_shared, reader_closed),
	FIELD("The ring", "reader_here", struct ring_shared, reader_here),
	FIELD("The ring", "reader_follows", struct ring_shared, reader_follows),
	FIELD("The ring", "reader_order", struct ring_shared, reader_order),
	FIELD("The ring", "writer_waits", struct ring_shared, writer_waits),
	FIELD("The ring", "writer_order", struct ring_shared, writer_order),
	{ "The ring", "data", RING_DATA, 0 },
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static FILE *doc_open(void)
{
	const char *srcdir = getenv("srcdir");
	char path[1024];

	snprintf(path, sizeof path, "%s/doc/shm-layout.md", srcdir ? srcdir : "..");
	FILE *f = fopen(path, "r");
	if (f == NULL)
		ck_abort_msg("cannot open %s", path);
	return f;
}

/* "4,096", "64 x 16", "EVENTS x 40"; "capacity" is 0, and "then" is @next. */
static size_t number(const char *text, size_t next)
{
	size_t product = 1;

	for (;;) {
		size_t n = 0;
		while (*text == ' ')
			text++;
		if (strncmp(text, "then", 4) == 0)
			return next;
		if (strncmp(text, "capacity", 8) == 0)
			return 0;
		if (strncmp(text, "EVENTS", 6) == 0) {
			n = ISMI_EVENTS;
			text += 6;
		}
		for (; (*text >= '0' && *text <= '9') || *text == ','; text++)
			n = *text == ',' ? n : n * 10 + (size_t)(*text - '0');
		product *= n;
		while (*text == ' ')
			text++;
		if (*text != 'x')
			return product;
		text++;
	}
}

START_TEST(every_row_is_the_codes)
{
	char line[LINE_MAX_], section[LINE_MAX_] = "", at[40], size[40], word[40];
	FILE *f = doc_open();
	size_t nr = 0, next = 0;

	while (fgets(line, sizeof line, f) != NULL) {
		if (strncmp(line, "## ", 3) == 0)
			snprintf(section, sizeof section, "%s", line + 3);
		if (sscanf(line, "| %39[^|]| %39[^|]| %39[a-z_]", at, size, word) != 3 || strncmp(at, "at ", 3) == 0)
			continue;
		if (nr == ROWS)
			ck_abort_msg("a row that no structure has: %s", line);
		const struct row *r = &rows[nr++];
		size_t said_at = number(at, next), said_size = number(size, 0);
		if (strncmp(section, r->section, strlen(r->section)) != 0 || strcmp(word, r->word) != 0)
			ck_abort_msg("%s%s: expected \"%s\" under \"%s\"", section, line, r->word, r->section);
		if (said_at != r->at || said_size != r->size)
			ck_abort_msg("%s%s: in the code it is at %zu and has %zu bytes", section, line, r->at, r->size);
		next = said_at + said_size;
	}
	fclose(f);
	ck_assert_uint_eq(nr, ROWS);
}
END_TEST

/* 4224 as "4,224" */
static const char *thousands(size_t n, char *buf, size_t size)
{
	if (n < 1000)
		snprintf(buf, size, "%zu", n);
	else
		snprintf(buf, size, "%zu,%03zu", n / 1000, n % 1000);
	return buf;
}

START_TEST(the_numbers_in_words_are_the_codes)
{
	static char doc[DOC_MAX];
	char want[12][80], n[20];
	size_t nr = 0;
	FILE *f = doc_open();

	doc[fread(doc, 1, sizeof doc - 1, f)] = '\0';
	fclose(f);
	snprintf(want[nr++], 80, "## The bell (%s bytes)", thousands(sizeof(struct ismi_bell), n, sizeof n));
	snprintf(want[nr++], 80, "magic 0x%08x, \"ISMS\"", ISMI_STATE_MAGIC);
	snprintf(want[nr++], 80, "version %d |", ISMI_STATE_VERSION);
	snprintf(want[nr++], 80, "%d x 16 | links", ISMI_LINKS);
	snprintf(want[nr++], 80, "EVENTS x %d |", ISMI_EVENT_SIZE);
	snprintf(want[nr++], 80, "%s x 16 | slots", thousands(ISMI_SLOTS, n, sizeof n));
	snprintf(want[nr++], 80, "magic 0x%08x, \"ISMR\"", RING_MAGIC);
	snprintf(want[nr++], 80, "version %d | creator", RING_VERSION);
	snprintf(want[nr++], 80, "an %d-byte head", RING_HEAD);
	snprintf(want[nr++], 80, "(%d record, %d padding to the end of the data area, %d end of stream, ", RING_RECORD,
		 RING_PAD, RING_END);
	snprintf(want[nr++], 80, "%d end of this region", RING_MOVED);
	for (size_t i = 0; i < nr; i++) {
		if (strstr(doc, want[i]) == NULL)
			ck_abort_msg("the document does not say: %s", want[i]);
	}
	/* Kind above, length below; padded to 8. */
	ck_assert_uint_eq(ring_head(RING_RECORD, 5), UINT64_C(1) << 32 | 5);
	ck_assert_uint_eq(ring_part(100000, 8192), UINT64_C(2) << 40 | UINT64_C(5) << 32 | 100000);
	ck_assert_uint_eq(ring_space(0), 8);
	ck_assert_uint_eq(ring_space(1), 16);
	ck_assert_uint_eq(ring_space(8), 16);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("layout");
	TCase *tc = harness_tcase(s, "layout", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, every_row_is_the_codes);
	tcase_add_test(tc, the_numbers_in_words_are_the_codes);
	return harness_main(argc, argv, suites);
}
