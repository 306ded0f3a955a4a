/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * check_order.c - an end of a ring that finds its peer awake for long stops
 * exchanging the waits word, and a peer that sleeps is rung all the same.
 */
#include "unit.h"

#include "base/barrier.h"
#include "base/sys.h"
#include "ring_pair.h"

#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	REGION = 128 * 1024,
	LONG = 600,			/* records, after which each end has found the other awake for long */
	BURSTS = 400,
};

static struct ring_pair t;
static pthread_t reader_thread;

static void write_value(uint64_t v)
{
	ok(ism_ring_write(t.out, &v, sizeof v, SECONDS(30)));
}

static uint64_t read_value(void)
{
	uint64_t v = 0;

	ck_assert_int_eq(ok(ism_ring_read(t.in, &v, sizeof v, SECONDS(30))), sizeof v);
	return v;
}

static void both_awake(unsigned int records)
{
	for (uint64_t i = 0; i < records; i++) {
		write_value(i);
		ck_assert_uint_eq(read_value(), i);
	}
}

static void check_orders(uint32_t writer, uint32_t reader)
{
	ck_assert_uint_eq(atomic_load(&t.shared->writer_order), writer);
	ck_assert_uint_eq(atomic_load(&t.shared->reader_order), reader);
}

/* What an end says that has not found its peer awake for long; LIGHT is had only with membarrier(2). */
static uint32_t at_first(void)
{
	return ismi_barrier_register() ? RING_ORDER_CAN : RING_ORDER_EXCHANGE;
}

static uint32_t after_long(void)
{
	return ismi_barrier_register() ? RING_ORDER_LIGHT : RING_ORDER_EXCHANGE;
}

static _Atomic unsigned int barriers;

static int count_barriers(const char *call)
{
	if (strcmp(call, "membarrier") == 0)
		atomic_fetch_add(&barriers, 1);
	return 0;
}

static int no_barrier(const char *call)
{
	return strcmp(call, "membarrier") == 0 ? -EPERM : 0;
}

/* ------------------------------------------------------------------ one step after the other */

START_TEST(who_finds_the_peer_awake_for_long_only_looks)
{
	ring_pair_open(&t, REGION, 0);
	check_orders(at_first(), at_first());
	both_awake(10);
	check_orders(at_first(), at_first());
	both_awake(LONG);
	check_orders(after_long(), after_long());
	ring_pair_close(&t);
}
END_TEST

static void *read_one_main(void *arg)
{
	*(uint64_t *)arg = read_value();
	return NULL;
}

/* Whatever its system calls do meanwhile. */
static void a_sleeper_is_rung(int (*hook)(const char *call))
{
	uint64_t got = 0;

	ismi_sys_hook = hook;
	ck_assert_int_eq(pthread_create(&reader_thread, NULL, read_one_main, &got), 0);
	eventually(atomic_load(&t.shared->reader_waits) == 1, 30);
	write_value(77);
	pthread_join(reader_thread, NULL);
	ismi_sys_hook = NULL;
	ck_assert_uint_eq(got, 77);
}

START_TEST(who_had_to_ring_exchanges_again)
{
	ring_pair_open(&t, REGION, ISM_SPIN_NONE);
	both_awake(LONG);
	a_sleeper_is_rung(count_barriers);
	check_orders(at_first(), after_long());
	if (ismi_barrier_register())	/* the sleeper paid; and it need not, to a peer that exchanges */
		ck_assert_uint_ge(atomic_load(&barriers), 1);
	atomic_store(&barriers, 0);
	a_sleeper_is_rung(count_barriers);
	ck_assert_uint_eq(atomic_load(&barriers), 0);
	both_awake(LONG);
	check_orders(after_long(), after_long());
	ring_pair_close(&t);
}
END_TEST

/* What the writer published before it looked: only the barrier makes it visible. */
static int record_arrives(const char *call)
{
	if (strcmp(call, "membarrier") != 0)
		return 0;
	ck_assert_uint_eq(atomic_exchange(&t.shared->reader_waits, 0), 1);
	write_value(77);
	atomic_store(&t.shared->reader_waits, 1);
	return 0;
}

START_TEST(who_sleeps_looks_behind_the_barrier)
{
	if (!ismi_barrier_register())
		harness_skip("this kernel has no membarrier(2), or somebody filters it");
	ring_pair_open(&t, REGION, ISM_SPIN_NONE);
	both_awake(LONG);
	ismi_sys_hook = record_arrives;
	ck_assert_uint_eq(read_value(), 77);
	ismi_sys_hook = NULL;
	ring_pair_close(&t);
}
END_TEST

/* Not only to threads of this one. */
START_TEST(what_is_registered_reaches_other_processes)
{
	enum { REGISTER_GLOBAL_EXPEDITED = 1 << 2, GET_REGISTRATIONS = 1 << 9 };

	if (!ismi_barrier_register())
		harness_skip("this kernel has no membarrier(2), or somebody filters it");
	long r = syscall(SYS_membarrier, GET_REGISTRATIONS, 0, 0);
	if (r < 0)
		harness_skip("this kernel does not tell what is registered");
	ck_assert_int_ne(r & REGISTER_GLOBAL_EXPEDITED, 0);
}
END_TEST

/* Of another version, or in a virtual machine. */
START_TEST(a_peer_that_cannot_call_is_exchanged_with)
{
	ring_pair_open(&t, REGION, 0);
	for (int i = 0; i < LONG; i++) {
		atomic_store(&t.shared->reader_order, RING_ORDER_EXCHANGE);
		both_awake(1);
	}
	ck_assert_uint_eq(atomic_load(&t.shared->writer_order), at_first());
	ring_pair_close(&t);
}
END_TEST

START_TEST(without_the_call_both_exchange)
{
	ismi_sys_hook = no_barrier;
	ring_pair_open(&t, REGION, 0);
	both_awake(LONG);
	check_orders(RING_ORDER_EXCHANGE, RING_ORDER_EXCHANGE);
	ismi_sys_hook = NULL;
	ring_pair_close(&t);
}
END_TEST

/* It is refused only later: who sleeps waits a little, and looks then. */
START_TEST(a_call_that_fails_later_loses_nothing)
{
	ring_pair_open(&t, REGION, ISM_SPIN_NONE);
	both_awake(LONG);
	a_sleeper_is_rung(no_barrier);
	ring_pair_close(&t);
}
END_TEST

START_TEST(who_polls_is_rung_too)
{
	ring_pair_open(&t, REGION, 0);
	both_awake(LONG);
	struct pollfd p = { .fd = ok(ism_ring_fd(t.in)), .events = POLLIN };
	uint64_t v;
	fails(ism_ring_read(t.in, &v, sizeof v, 0), -EAGAIN);
	write_value(77);
	ck_assert_int_eq(poll(&p, 1, 30000), 1);
	ck_assert_uint_eq(read_value(), 77);
	both_awake(LONG);
	ismi_sys_hook = record_arrives;
	ck_assert_uint_eq(read_value(), 77);
	ismi_sys_hook = NULL;
	ring_pair_close(&t);
}
END_TEST

START_TEST(a_successor_begins_with_exchanges)
{
	struct ism_region *next;

	ring_pair_open(&t, REGION, 0);
	both_awake(LONG);
	ok(ism_region_replace(t.rb, NULL, &next));
	both_awake(50);
	t.shared = ism_region_addr(next);
	check_orders(at_first(), at_first());
	both_awake(LONG);
	check_orders(after_long(), after_long());
	ring_pair_close(&t);
}
END_TEST

/* ------------------------------------------------------------------ both at once */

static void loops(uint32_t n)
{
	for (volatile uint32_t i = 0; i < n; i++)
		;
}

static void *read_bursts_main(void *arg)
{
	uint64_t *sum = arg, seed = 1;

	for (uint64_t i = 0; i < BURSTS * (LONG + 1); i++) {
		if (i % (LONG + 1) == LONG)
			loops(unit_below(&seed, 2000));
		*sum += read_value();
	}
	return NULL;
}

/*
 * The writer looks, as it has found the reader awake, when that goes to sleep: each time a
 * little sooner or later.  A lost ring would end in read_value()'s or write_value()'s time.
 */
START_TEST(nobody_sleeps_through_a_record)
{
	uint64_t sum = 0, expected = 0, seed = unit_seed();

	ring_pair_open(&t, REGION, ISM_SPIN_NONE);
	ck_assert_int_eq(pthread_create(&reader_thread, NULL, read_bursts_main, &sum), 0);
	for (uint64_t i = 0; i < BURSTS * (LONG + 1); i++) {
		if (i % (LONG + 1) == LONG)
			loops(unit_below(&seed, 4000));
		write_value(i);
		expected += i;
	}
	pthread_join(reader_thread, NULL);
	ck_assert_uint_eq(sum, expected);
	ring_pair_close(&t);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *s = suite_create("order");
	TCase *tc = harness_tcase(s, "order", 300);
	Suite *const suites[] = { s, NULL };

	tcase_add_test(tc, who_finds_the_peer_awake_for_long_only_looks);
	tcase_add_test(tc, who_had_to_ring_exchanges_again);
	tcase_add_test(tc, who_sleeps_looks_behind_the_barrier);
	tcase_add_test(tc, what_is_registered_reaches_other_processes);
	tcase_add_test(tc, a_peer_that_cannot_call_is_exchanged_with);
	tcase_add_test(tc, without_the_call_both_exchange);
	tcase_add_test(tc, a_call_that_fails_later_loses_nothing);
	tcase_add_test(tc, who_polls_is_rung_too);
	tcase_add_test(tc, a_successor_begins_with_exchanges);
	tcase_add_test(tc, nobody_sleeps_through_a_record);
	return harness_main(argc, argv, suites);
}
