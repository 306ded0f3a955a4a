/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * iceoryx.cpp - Eclipse iceoryx 2.0, with iox-roudi beside it.  -place touches eight bytes of each chunk.
 */
#include "harness.h"

#include "iceoryx_hoofs/log/logmanager.hpp"
#include "iceoryx_posh/popo/untyped_publisher.hpp"
#include "iceoryx_posh/popo/untyped_subscriber.hpp"
#include "iceoryx_posh/popo/wait_set.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"

#include <cstring>
#include <memory>
#include <string>
#include <unistd.h>

namespace {

struct State {
	std::unique_ptr<iox::popo::UntypedPublisher> out;
	std::unique_ptr<iox::popo::UntypedSubscriber> in;
	std::unique_ptr<iox::popo::WaitSet<2>> wait;
};

/* Each run has a service of its own, so that nothing is left of the last one. */
void *create(size_t bytes)
{
	char *instance = static_cast<char *>(peers_shared(64));

	snprintf(instance, 64, "%d-%zu", static_cast<int>(getpid()), bytes);
	return instance;
}

int open_with(struct end *e, bool waits)
{
	using namespace iox;
	using iox::capro::IdString_t;
	auto *s = new State;
	const char *mine = e->side ? "b" : "a", *other = e->side ? "a" : "b";
	const std::string app = std::string("ism-bench-") + mine + std::to_string(getpid());
	const IdString_t instance{cxx::TruncateToCapacity, static_cast<const char *>(e->shared)};

	log::LogManager::GetLogManager().SetDefaultLogLevel(log::LogLevel::kError, log::LogLevelOutput::kHideLogLevel);
	runtime::PoshRuntime::initRuntime(RuntimeName_t{cxx::TruncateToCapacity, app.c_str()});
	popo::PublisherOptions po;
	po.subscriberTooSlowPolicy = popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
	popo::SubscriberOptions so;
	so.queueFullPolicy = popo::QueueFullPolicy::BLOCK_PRODUCER;
	so.queueCapacity = 16;
	s->out = std::make_unique<popo::UntypedPublisher>(
		capro::ServiceDescription{"Bench", instance, IdString_t{cxx::TruncateToCapacity, mine}}, po);
	s->in = std::make_unique<popo::UntypedSubscriber>(
		capro::ServiceDescription{"Bench", instance, IdString_t{cxx::TruncateToCapacity, other}}, so);
	while (s->in->getSubscriptionState() != SubscribeState::SUBSCRIBED || !s->out->hasSubscribers())
		usleep(50);
	if (waits) {
		s->wait = std::make_unique<popo::WaitSet<2>>();
		s->wait->attachState(*s->in, popo::SubscriberState::HAS_DATA).or_else([](auto) { _exit(1); });
	}
	e->state = s;
	return 0;
}

int open_spin(struct end *e)
{
	return open_with(e, false);
}

int open_wait(struct end *e)
{
	return open_with(e, true);
}

int send_touching(struct end *e, const void *buf, size_t bytes, size_t touched)
{
	auto *s = static_cast<State *>(e->state);
	bool sent = false;

	while (!sent) {		/* all chunks may be under way */
		s->out->loan(static_cast<uint32_t>(bytes)).and_then([&](void *chunk) {
			memcpy(chunk, buf, touched);
			s->out->publish(chunk);
			sent = true;
		});
	}
	return 0;
}

bool taken(struct end *e, void *buf, size_t touched)
{
	auto *s = static_cast<State *>(e->state);
	bool got = false;

	s->in->take().and_then([&](const void *chunk) {
		memcpy(buf, chunk, touched);
		s->in->release(chunk);
		got = true;
	});
	return got;
}

int put(struct end *e, const void *buf, size_t bytes)
{
	return send_touching(e, buf, bytes, bytes);
}

int put_place(struct end *e, const void *buf, size_t bytes)
{
	return send_touching(e, buf, bytes, 8);
}

int get(struct end *e, void *buf, size_t bytes)
{
	while (!taken(e, buf, bytes))
		peers_relax();
	return 0;
}

int get_place(struct end *e, void *buf, size_t)
{
	return get(e, buf, 8);
}

int get_wait(struct end *e, void *buf, size_t bytes)
{
	while (!taken(e, buf, bytes))
		static_cast<State *>(e->state)->wait->wait();
	return 0;
}

void close_end(struct end *e)
{
	delete static_cast<State *>(e->state);
}

} // namespace

int main(int argc, char **argv)
{
	static const struct transport t[] = {
		{ "iceoryx-spin", 0, 0, create, open_spin, put, get, close_end },
		{ "iceoryx-place", 0, 0, create, open_spin, put_place, get_place, close_end },
		{ "iceoryx-waitset", 0, 0, create, open_wait, put, get_wait, close_end },
	};

	return peers_main(argc, argv, t, sizeof t / sizeof t[0]);
}
