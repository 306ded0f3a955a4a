/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * with-libuv.c - a device in a loop of libuv, beside a timer.
 */
#include <ism.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

enum { RINGS = 3 };

struct app {
	uv_loop_t loop;
	uv_poll_t poll;
	uv_timer_t timer;
	struct ism_device *dev;
	int status;
};

static void check(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s: %s\n", what, ism_strerror(r), ism_error_detail());
		exit(1);
	}
}

/* The other process: comes, rings a few times, goes. */
static void peer(uint64_t token)
{
	struct ism_device *dev;
	struct ism_region *region;

	check(ism_open(NULL, NULL, &dev), "open");
	check(ism_attach_region(dev, token, ISM_READ | ISM_WRITE, NULL, &region), "attach");
	for (int i = 0; i < RINGS; i++) {
		check(ism_region_notify(region), "notify");
		check(ism_region_wait(region, INT64_C(10000000000)), "wait");
	}
	ism_close(dev);
}

static void end(struct app *app, int status)
{
	app->status = status;
	uv_close((uv_handle_t *)&app->poll, NULL);
	uv_close((uv_handle_t *)&app->timer, NULL);
}

/* libuv calls this while the descriptor is readable: take everything, and it falls silent. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct app *app = poll->data;
	struct ism_event ev;

	(void)events;
	while (status == 0 && ism_event_next(app->dev, &ev, sizeof ev) > 0) {
		if (ev.type == ISM_EVENT_ATTACH) {
			printf("a peer came\n");
		} else if (ev.type == ISM_EVENT_UPDATE) {
			printf("a doorbell\n");
			check(ism_region_notify(ev.region), "notify");
		} else if (ev.type == ISM_EVENT_DETACH) {
			printf("the peer has gone\n");
			end(app, 0);
			return;
		}
	}
}

static void on_timer(uv_timer_t *timer)
{
	fprintf(stderr, "nothing happened for 20 seconds\n");
	end(timer->data, 1);
}

int main(void)
{
	struct app app = { .status = 1 };
	struct ism_region *region;
	int fd;

	check(ism_open(NULL, NULL, &app.dev), "open");
	check(ism_alloc_region(app.dev, 4096, NULL, &region), "alloc");
	check(fd = ism_fd(app.dev), "fd");
	if (fork() == 0) {
		peer(ism_region_token(region));
		_exit(0);
	}
	uv_loop_init(&app.loop);
	uv_poll_init(&app.loop, &app.poll, fd);
	uv_timer_init(&app.loop, &app.timer);
	app.poll.data = app.timer.data = &app;
	uv_poll_start(&app.poll, UV_READABLE, on_readable);
	uv_timer_start(&app.timer, on_timer, 20000, 0);
	uv_run(&app.loop, UV_RUN_DEFAULT);
	uv_loop_close(&app.loop);
	ism_close(app.dev);
	wait(NULL);
	return app.status;
}
