/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * boost.cpp - Boost.Interprocess: its message queue, blocking and looked at again and again.
 */
#include "harness.h"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstdio>
#include <unistd.h>

using boost::interprocess::message_queue;

namespace {

struct Names {
	char name[2][64];
};

struct State {
	message_queue out, in;
	State(const char *o, const char *i)
		: out(boost::interprocess::open_only, o), in(boost::interprocess::open_only, i) {}
};

void *create(size_t bytes)
{
	auto *n = static_cast<Names *>(peers_shared(sizeof(Names)));

	for (int i = 0; i < 2; i++) {
		snprintf(n->name[i], sizeof n->name[i], "ism-bench-boost-%d-%d", static_cast<int>(getpid()), i);
		message_queue::remove(n->name[i]);
		message_queue q(boost::interprocess::create_only, n->name[i], bytes > 65536 ? 16 : 128, bytes);
	}
	return n;
}

int open_end(struct end *e)
{
	auto *n = static_cast<Names *>(e->shared);

	e->state = new State(n->name[e->side], n->name[!e->side]);
	return 0;
}

int put(struct end *e, const void *buf, size_t bytes)
{
	static_cast<State *>(e->state)->out.send(buf, bytes, 0);
	return 0;
}

int get(struct end *e, void *buf, size_t bytes)
{
	message_queue::size_type got;
	unsigned int priority;

	static_cast<State *>(e->state)->in.receive(buf, bytes, got, priority);
	return got == bytes ? 0 : -1;
}

int spin_put(struct end *e, const void *buf, size_t bytes)
{
	while (!static_cast<State *>(e->state)->out.try_send(buf, bytes, 0))
		peers_relax();
	return 0;
}

int spin_get(struct end *e, void *buf, size_t bytes)
{
	message_queue::size_type got;
	unsigned int priority;

	while (!static_cast<State *>(e->state)->in.try_receive(buf, bytes, got, priority))
		peers_relax();
	return got == bytes ? 0 : -1;
}

void close_end(struct end *e)
{
	message_queue::remove(static_cast<Names *>(e->shared)->name[e->side]);
	delete static_cast<State *>(e->state);
}

} // namespace

int main(int argc, char **argv)
{
	static const struct transport t[] = {
		{ "boost-mq", 0, SLEEPS, create, open_end, put, get, close_end },
		{ "boost-mq-spin", 0, 0, create, open_end, spin_put, spin_get, close_end },
	};

	return peers_main(argc, argv, t, sizeof t / sizeof t[0]);
}
