// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

// The cases that the bindings of all languages have, see bindings/conformance.md.

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <ism.hpp>

#include <array>
#include <atomic>
#include <cstring>
#include <poll.h>
#include <random>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;
using std::errc;

namespace {

constexpr std::size_t mib = 1 << 20;
constexpr auto patience = 30s;

struct domain : ism::test_domain {
	using test_domain::test_domain;
	ism::device open() const { return ism::device::open(uri()); }
};

ism::const_bytes bytes_of(std::string_view text)
{
	return { reinterpret_cast<const std::byte *>(text.data()), text.size() };
}

std::string text_of(ism::const_bytes b)
{
	return { reinterpret_cast<const char *>(b.data()), b.size() };
}

/* The code that a call gives, which must not throw. */
template <class Fn>
std::error_code code_of(Fn &&fn)
{
	std::error_code ec;
	fn(ec);
	return ec;
}

void write(const ism::region &r, std::size_t at, std::string_view text)
{
	std::memcpy(r.writable_view().subspan(at, text.size()).data(), text.data(), text.size());
}

} // namespace

TEST_CASE("token")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto ours = a.alloc(1000000);
	auto theirs = b.attach(ours.token(), ism::read_write);

	CHECK(ours.size() == mib);
	CHECK(theirs.size() == mib);
	CHECK(theirs.requested_size() == 1000000);
	CHECK(ours.peers() == std::vector{ b.info().devid });
	write(ours, 7, "from one side");
	CHECK(text_of(theirs.view().subspan(7, 13)) == "from one side");
	write(theirs, mib - 5, "other");
	CHECK(text_of(ours.view().subspan(mib - 5)) == "other");
	theirs.at<std::atomic<std::uint64_t>>(64)->store(42, std::memory_order_release);
	CHECK(ours.at<const std::atomic<std::uint64_t>>(64)->load(std::memory_order_acquire) == 42);
	CHECK(ours.at<std::uint64_t>(mib - 7) == nullptr);
	CHECK(ours.at<std::uint64_t>(4) == nullptr);

	auto ec = code_of([&](auto &e) { b.attach(ours.token() ^ 1, ism::read_write, e); });
	CHECK(ec == errc::no_such_file_or_directory);
	CHECK(ec.message() == "no such region or device, or not for this device to know");
	CHECK(a.alloc_many(64, 1).size() == 64);
	CHECK(code_of([&](auto &e) { a.alloc_many(65, 1, ism::alloc_options(), e); }) == errc::invalid_argument);
	auto r = ism::parse_reference(ours.to_reference());
	CHECK(r.gid == a.info().gid);
	CHECK(r.token == ours.token());
	CHECK_THROWS_AS(ism::parse_reference("nonsense"), ism::error);
}

TEST_CASE("many at once")
{
	/* Where faults may be wanted, regions go one by one. */
	auto a = ism::device::open("loop:many"), b = ism::device::open("loop:many");
	auto ours = a.alloc_many(64, 1);
	std::vector<std::uint64_t> tokens;
	for (auto &r : ours)
		tokens.push_back(r.token());

	auto calls = b.stats().control_calls;
	auto theirs = b.attach_many(tokens, ism::read_write);
	CHECK(b.stats().control_calls == calls + 1);
	REQUIRE(theirs.size() == 64);
	for (std::size_t i = 0; i < 64; i++) {
		write(theirs[i], 0, std::string(1, static_cast<char>('0' + i)));
		CHECK(ours[i].view()[0] == std::byte('0' + i));
	}
	std::array<std::uint64_t, 2> twice{ tokens[5], tokens[5] };
	auto same = b.attach_many(twice, ism::read_only);
	CHECK(same[0].get() != same[1].get());
	CHECK(b.stats().regions == 64);

	auto unknown = tokens;
	unknown[63] ^= 1;
	auto attach = [&](ism::span<const std::uint64_t> what) {
		return code_of([&](auto &e) { CHECK(a.attach_many(what, ism::read_write, e).empty()); });
	};
	CHECK(attach(unknown) == errc::no_such_file_or_directory);
	CHECK(a.stats().regions == 64);
	tokens.push_back(tokens[0]);
	CHECK(attach(tokens) == errc::invalid_argument);
	CHECK(attach({}) == errc::invalid_argument);

	auto ring = ism::ring::create(theirs[0], ism::ring::role::writer);
	theirs[1].close();
	theirs.emplace_back();
	for (auto &r : same)
		theirs.push_back(std::move(r));
	theirs.push_back(a.attach(tokens[2], ism::read_only));
	ism::close_many(theirs);
	CHECK(std::none_of(theirs.begin(), theirs.end(), [](auto &r) { return bool(r); }));
	CHECK(b.stats().regions == 1);
	CHECK(ours[1].peers().empty());
	CHECK(ours[0].peers() == std::vector{ b.info().devid });
	ring.send(bytes_of("a ring keeps its region"), 0s);
	ism::close_many(theirs);
	ring.close();
	CHECK(b.stats().regions == 0);

	a.close();	/* the last to keep their device */
	ism::close_many(ours);
	std::error_code ec;
	CHECK(b.devices(ec).size() == 1);
	CHECK_THROWS_AS(a.attach_many(tokens, ism::read_only), ism::error);
	ism::close_many({});
}

TEST_CASE("replaced")
{
	domain d;
	auto a = d.open(), b = d.open(), out = d.open();
	auto old = a.alloc(mib), theirs = b.attach(old.token(), ism::read_write), lost = out.attach(old.token(), ism::read_write);

	CHECK(code_of([&](auto &e) { b.attach_successor(theirs, ism::read_write, e); }) == errc::no_such_file_or_directory);
	old.grant(out.info().devid, 0);
	auto fresh = a.replace(old);
	auto ev = b.wait(patience);
	while (ev && !ev->moved())
		ev = b.wait(patience);
	REQUIRE(ev);
	CHECK(ev->about(theirs));
	CHECK(ev->devid == a.info().devid);
	auto next = b.attach_successor(theirs, ism::read_write);
	write(next, 0, "fresh");
	CHECK(text_of(fresh.view().subspan(0, 5)) == "fresh");
	CHECK(old.view()[0] == std::byte(0));
	CHECK(code_of([&](auto &e) { out.attach_successor(lost, ism::read_only, e); }) == errc::no_such_file_or_directory);
	CHECK(code_of([&](auto &e) { out.attach(fresh.token(), ism::read_only, e); }) == errc::no_such_file_or_directory);
	CHECK(code_of([&](auto &e) { a.replace(old, ism::alloc_options(), e); }) == errc::connection_already_in_progress);
}

TEST_CASE("shut out by the host's user")
{
	domain d;
	auto host = d.open(), a = d.open(), b = d.open(), out = d.open();
	auto old = a.alloc(mib), theirs = b.attach(old.token(), ism::read_write), lost = out.attach(old.token(), ism::read_write);
	std::array<std::uint64_t, 1> devids{ a.info().devid };

	CHECK(code_of([&](auto &e) { host.shut_out(old.token(), devids, e); }) == errc::invalid_argument);
	devids[0] = out.info().devid;
	CHECK(code_of([&](auto &e) { host.shut_out(old.token() ^ 1, devids, e); }) == errc::no_such_file_or_directory);
	auto held = host.shut_out(old.token(), devids);
	CHECK(!held.writable());
	auto fresh = b.attach_successor(theirs, ism::read_write);
	CHECK(fresh.token() == held.token());
	CHECK(code_of([&](auto &e) { out.attach_successor(lost, ism::read_write, e); }) == errc::no_such_file_or_directory);
}

TEST_CASE("rights")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto id = b.info().devid;
	auto open = a.alloc(mib);
	auto seen = b.attach(open.token(), ism::read_only);

	CHECK(!seen.writable());
	CHECK(code_of([&](auto &e) { seen.writable_view(e); }) == errc::read_only_file_system);
	CHECK(seen.at<int>(0) == nullptr);
	CHECK(seen.at<const int>(0) != nullptr);
	CHECK(code_of([&](auto &e) { seen.grant(id, ISM_READ, e); }) == errc::operation_not_permitted);

	auto secret = a.alloc(mib, ism::alloc_options(ISM_ALLOC_PRIVATE));
	auto attach = [&](std::uint32_t rights) {
		return code_of([&](auto &e) { b.attach(secret.token(), rights, e); });
	};
	CHECK(attach(ism::read_only) == errc::no_such_file_or_directory);
	secret.grant(id, ISM_READ);
	CHECK(attach(ism::read_only) == errc::permission_denied);
	secret.grant(id, ISM_READ | ISM_ATTACH);
	CHECK(attach(ism::read_write) == errc::read_only_file_system);
	CHECK(!attach(ism::read_only));
	secret.grant_default(ISM_READ | ISM_WRITE | ISM_ATTACH);
	std::error_code ec;
	CHECK(b.referrers(open.token(), ec).size() == 2);
}

/* A list that both sides follow. */
struct node {
	std::uint64_t value;
	ism::offset_ptr<node> next;
};

TEST_CASE("pointers that both sides follow")
{
	domain d;
	auto ours = d.open().alloc(mib);
	auto theirs = d.open().attach(ours.token(), ism::read_only);

	static_assert(sizeof(ism::offset_ptr<node>) == 8 && std::is_trivially_copyable_v<ism::offset_ptr<node>>);
	CHECK(theirs.view().data() != ours.view().data());
	auto *head = ours.at<ism::offset_ptr<node>>(0);
	CHECK(!*head);	// zeros
	for (std::uint64_t i = 1; i <= 3; i++) {
		auto *n = ours.at<node>(64 * i);
		*n = { i, *head };
		*head = ours.offset_of(n);
	}
	std::uint64_t sum = 0;
	auto next = *theirs.at<const ism::offset_ptr<node>>(0);
	for (const node *n; (n = theirs.at<const node>(next)) != nullptr; next = n->next)
		sum = 10 * sum + n->value;
	CHECK(sum == 321);

	for (std::uint64_t wrong : { std::uint64_t{ 3 }, mib - 8, std::uint64_t{ mib }, UINT64_MAX, std::uint64_t{ 1 } << 32 })
		CHECK(theirs.at(ism::offset_ptr<const node>{ wrong }) == nullptr);
	CHECK(theirs.at(ism::offset_ptr<node>{ 64 }) == nullptr);	// not to be written
	CHECK(!ours.offset_of<node>(nullptr));
	CHECK(!ours.offset_of(theirs.at<const node>(64)));
	CHECK(!ism::region().offset_of(head));
}

TEST_CASE("containers in a region")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto ours = a.alloc(65536);
	auto theirs = b.attach(ours.token(), ism::read_only);
	ism::arena room(ours, 64);

	CHECK(room.left() == 65536 - 64);
	std::pmr::vector<std::uint64_t> squares(&room);
	for (std::uint64_t i = 0; i < 1000; i++)
		squares.push_back(i * i);
	auto at = ours.offset_of(squares.data());
	CHECK(at.offset >= 64);
	CHECK(theirs.at(ism::offset_ptr<const std::uint64_t>{ at.offset + 8 * 999 })[0] == 999 * 999);
	CHECK_THROWS_AS(squares.reserve(8192), std::bad_alloc);
	CHECK(squares.size() == 1000);
	CHECK(room.allocate(room.left(), 1) != nullptr);
	CHECK(room.left() == 0);
	CHECK_THROWS_AS(static_cast<void>(room.allocate(1, 1)), std::bad_alloc);
	CHECK(room == room);
	CHECK(room != ism::arena(ours));

	CHECK_THROWS_AS(ism::arena{ theirs }, ism::error);
	CHECK_THROWS_AS(ism::arena(ours, 65537), ism::error);
	ours.close();
	squares[7] = 7;	// the arena keeps it
	CHECK(theirs.at(ism::offset_ptr<const std::uint64_t>{ at.offset + 8 * 7 })[0] == 7);
}

TEST_CASE("doorbell")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto ours = a.alloc(mib);
	auto theirs = b.attach(ours.token(), ism::read_only);

	CHECK(!theirs.wait(20ms));
	std::thread ringer([&] {
		write(ours, 0, "first");
		ours.notify();
	});
	CHECK(theirs.wait(patience));
	CHECK(text_of(theirs.view().subspan(0, 5)) == "first");
	ringer.join();
	CHECK(!theirs.clear());
	CHECK(!theirs.wait(0s));

	std::thread waiter([&] {
		auto ec = code_of([&](auto &e) { theirs.wait(patience, e); });
		CHECK(ec == errc::interrupted);
	});
	b.interrupt();
	waiter.join();
}

TEST_CASE("doorbell in a loop of epoll")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto ours = a.alloc(mib);
	auto attach = ism::attach_options(ISM_ATTACH_VECTOR);
	auto theirs = b.attach(ours.token(), ism::read_only, attach);
	int ep = epoll_create1(EPOLL_CLOEXEC);
	epoll_event want{}, got{};

	want.events = EPOLLIN;
	REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, theirs.native_handle(), &want) == 0);
	CHECK(epoll_wait(ep, &got, 1, 20) == 0);
	for (int i = 0; i < 100; i++) {
		*ours.at<int>(0) = i;
		ours.notify();
		REQUIRE(epoll_wait(ep, &got, 1, 30000) == 1);
		REQUIRE(theirs.clear());
		CHECK(*theirs.at<const int>(0) == i);
	}
	close(ep);
}

TEST_CASE("events")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto theirs = b.alloc(mib);
	auto ours = a.attach(theirs.token(), ism::read_write);

	auto ev = b.wait(patience);
	REQUIRE(ev);
	CHECK(ev->attached());
	CHECK(ev->devid == a.info().devid);
	CHECK(ev->peers == 1);
	CHECK(ev->about(theirs));
	CHECK(!ev->about(ours));
	ours.notify();
	ev = b.wait(patience);
	REQUIRE(ev);
	CHECK(ev->rung());
	CHECK(b.native_handle() >= 0);
	CHECK(!b.next_event());
	ours.close();
	ev = b.wait(patience);
	REQUIRE(ev);
	CHECK(ev->detached());
	CHECK(ev->peers == 0);
}

TEST_CASE("ring")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto ours = a.alloc(65536);
	auto theirs = b.attach(ours.token(), ism::read_write);
	auto writer = ism::ring::create(ours, ism::ring::role::writer);
	auto reader = ism::ring::attach(theirs, ism::ring::role::reader);

	std::vector<char> room(writer.max_record());
	ism::span<char> all(room);
	ism::bytes in(reinterpret_cast<std::byte *>(all.data()), all.size());
	CHECK(code_of([&](auto &e) { reader.peek(e); }) == errc::resource_unavailable_try_again);
	CHECK(code_of([&](auto &e) { reader.receive(in, 0s, e); }) == errc::resource_unavailable_try_again);
	CHECK(code_of([&](auto &e) { reader.receive(in, 10ms, e); }) == errc::timed_out);
	CHECK(code_of([&](auto &e) { writer.peek(e); }) == errc::invalid_argument);

	std::thread sender([&] {
		for (std::size_t n = 0; n <= writer.max_record(); n += n / 3 + 1)
			writer.send(bytes_of(std::string(n, static_cast<char>('a' + n % 26))), patience);
		auto part = writer.reserve(100);
		std::memcpy(part.data(), "in place", 8);
		writer.commit(8);
		writer.close();
	});
	for (std::size_t n = 0; n <= room.size(); n += n / 3 + 1) {
		REQUIRE(reader.receive(in, patience) == n);
		CHECK(text_of(in.subspan(0, n)) == std::string(n, static_cast<char>('a' + n % 26)));
	}
	reader.wait(0, patience);
	CHECK(text_of(reader.peek()) == "in place");
	reader.release();
	sender.join();
	CHECK(code_of([&](auto &e) { reader.receive(in, patience, e); }) == errc::broken_pipe);
}

namespace {

/* What both ends of a stream need. */
struct pair {
	domain d;
	ism::device a = d.open(), b = d.open();
	ism::listener l;
	ism::stream one, two;

	explicit pair(const ism::stream_options &opts = {}) : l(ism::listener::listen(a, 0, opts))
	{
		std::thread dialler([&] { two = ism::stream::connect(b, l.token(), patience, opts); });
		one = l.accept(patience);
		dialler.join();
	}
};

std::string pattern(std::size_t n)
{
	std::string text(n, 0);
	for (std::size_t i = 0; i < n; i++)
		text[i] = static_cast<char>(i % 251);
	return text;
}

std::string read_all(ism::stream &s)
{
	std::string all, part(5000, 0);
	for (;;) {
		ism::span<char> room(part);
		auto n = s.read_some({ reinterpret_cast<std::byte *>(room.data()), room.size() }, patience);
		if (n == 0)
			return all;
		all.append(part, 0, n);
	}
}

} // namespace

TEST_CASE("stream")
{
	pair p;
	std::array<std::byte, 16> room;

	CHECK(code_of([&](auto &e) { p.one.read_some(room, 0s, e); }) == errc::resource_unavailable_try_again);
	CHECK(code_of([&](auto &e) { p.one.read_some(room, 10ms, e); }) == errc::timed_out);
	CHECK(code_of([&](auto &e) { p.one.read_some(room, 1ns, e); }) == errc::timed_out);
	CHECK(code_of([&](auto &e) { p.one.read_handle(e); }) == errc::operation_not_supported);
	/* More than the ring holds: the reader's pace counts; and the half close leaves the other direction open. */
	auto sent = pattern(3000000);
	std::thread writer([&] {
		p.one.write(bytes_of(sent), patience);
		p.one.shutdown_write();
	});
	CHECK(read_all(p.two) == sent);
	writer.join();
	CHECK(p.two.read_some(room, 0s) == 0);
	p.two.write(bytes_of("answer"), patience);
	REQUIRE(p.one.read_some(ism::bytes(room).subspan(0, 3), patience) == 3);
	REQUIRE(p.one.read_some(room, patience) == 3);
	CHECK(text_of(ism::const_bytes(room.data(), 3)) == "wer");
	CHECK(code_of([&](auto &e) { p.one.write_some(room, 0s, e); }) == errc::broken_pipe);

	/* A reader that stops stops the writer, and one that has closed is told of. */
	std::error_code ec;
	do
		p.two.write_some(bytes_of(sent), 10ms, ec);
	while (!ec);
	CHECK(ec == errc::timed_out);
	CHECK(code_of([&](auto &e) { p.two.write_some(bytes_of(sent), 1ns, e); }) == errc::timed_out);
	p.one.shutdown_read();
	CHECK(code_of([&](auto &e) { p.two.write_some(room, patience, e); }) == errc::broken_pipe);
	p.one.close();
	CHECK(!p.one);
	CHECK(code_of([&](auto &e) { p.one.read_some(room, 0s, e); }) == errc::bad_file_descriptor);
}

TEST_CASE("stream in a loop of epoll")
{
	ism::stream_options opts;
	opts.pollable = true;
	opts.capacity = 65536;
	pair p(opts);
	auto sent = pattern(1000000);
	std::string got, part(10000, 0);
	ism::span<char> room(part);
	std::size_t written = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC), fds[] = { p.one.write_handle(), p.two.read_handle() };

	for (int fd : fds) {
		epoll_event want{};
		want.events = EPOLLIN | EPOLLET;
		REQUIRE(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &want) == 0);
	}
	/* One thread, both ends: each goes on until it would wait. */
	for (;;) {
		std::error_code full, empty;
		while (!full && written < sent.size())
			written += p.one.write_some(bytes_of(sent).subspan(written, 7000), 0s, full);
		if (written == sent.size())
			p.one.shutdown_write();
		std::size_t n;
		while ((n = p.two.read_some({ reinterpret_cast<std::byte *>(room.data()), room.size() }, 0s, empty)) > 0)
			got.append(part, 0, n);
		if (!empty)
			break;
		REQUIRE(empty == errc::resource_unavailable_try_again);
		epoll_event ready{};
		REQUIRE(epoll_wait(ep, &ready, 1, 30000) == 1);
	}
	CHECK(got == sent);
	close(ep);
}

TEST_CASE("stream to the killed")
{
	for (bool pollable : { false, true }) {
		domain d;
		auto b = d.open();
		ism::stream_options opts;
		opts.pollable = pollable;
		auto l = ism::listener::listen(b, 0, opts);
		pid_t pid = fork();
		if (pid == 0) {
			auto s = ism::stream::connect(ism::device::open(d.uri()), l.token(), patience);
			s.write(bytes_of("AB"), patience);
			pause();
		}
		std::array<std::byte, 2> room;
		auto s = l.accept(patience);
		REQUIRE(s.read_some(room, patience) == 2);
		kill(pid, SIGKILL);
		waitpid(pid, nullptr, 0);
		std::error_code ec;
		if (pollable) {
			do {
				pollfd p{ s.read_handle(), POLLIN, 0 };
				REQUIRE(poll(&p, 1, 30000) == 1);
				s.read_some(room, 0s, ec);
			} while (ec == errc::resource_unavailable_try_again);
		} else {
			s.read_some(room, patience, ec);
		}
		CHECK(ec == errc::connection_reset);
		do
			s.write_some(room, patience, ec);
		while (!ec);
		CHECK(ec == errc::broken_pipe);
	}
}

TEST_CASE("hostile dialler and listener")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto l = ism::listener::listen(a);
	auto slots = b.attach(l.token(), ism::read_write);
	auto junk = b.alloc(65536);

	CHECK(code_of([&](auto &e) { l.accept(0s, e); }) == errc::resource_unavailable_try_again);
	for (auto token : { junk.token(), std::uint64_t{ 0x1234 } }) {
		slots.at<std::atomic<std::uint64_t>>(64)->store(token);
		slots.notify();
		CHECK(code_of([&](auto &e) { l.accept(100ms, e); }) == errc::timed_out);
	}
	slots.at<std::atomic<std::uint32_t>>(8)->store(UINT32_MAX);	/* no more slots than fit */
	CHECK(code_of([&](auto &e) { l.accept(10ms, e); }) == errc::timed_out);
	CHECK(code_of([&](auto &e) { ism::stream::connect(b, junk.token(), 1s, {}, e); }) == errc::protocol_error);
	/* Nobody accepts: the token is taken back. */
	CHECK(code_of([&](auto &e) { ism::stream::connect(b, l.token(), 10ms, {}, e); }) == errc::timed_out);
	for (std::size_t at = 64; at + 8 <= slots.size(); at += 8)
		REQUIRE(slots.at<std::atomic<std::uint64_t>>(at)->load() == 0);
	/* Nobody else may take what is offered, although it sees the slot. */
	std::thread dialler([&] { ism::stream::connect(b, l.token(), patience); });
	auto thief = d.open();
	auto seen = thief.attach(l.token(), ism::read_only);
	std::uint64_t token;
	while ((token = seen.at<const std::atomic<std::uint64_t>>(64)->load()) == 0)
		std::this_thread::yield();
	CHECK(code_of([&](auto &e) { thief.attach(token, ism::read_write, e); }) == errc::no_such_file_or_directory);
	CHECK(l.accept(patience));
	dialler.join();
	auto gone = l.token();
	l.close();
	CHECK(code_of([&](auto &e) { ism::stream::connect(b, gone, 1s, {}, e); }));
}

TEST_CASE("several records at once")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto ours = a.alloc(65536);
	auto writer = ism::ring::create(ours, ism::ring::role::writer);
	auto reader = ism::ring::attach(b.attach(ours.token(), ism::read_write), ism::ring::role::reader);
	char words[3][8] = { "one", "two", "three" }, room[4][8];
	ism_ring_buf records[3], rooms[4];

	for (int i = 0; i < 3; i++)
		records[i] = { words[i], std::strlen(words[i]) };
	for (int i = 0; i < 4; i++)
		rooms[i] = { room[i], sizeof room[i] };
	CHECK(code_of([&](auto &e) { reader.receive_many(rooms, 0s, e); }) == errc::resource_unavailable_try_again);
	REQUIRE(writer.send_many(records, 0s) == 3);
	REQUIRE(reader.receive_many(rooms, patience) == 3);
	for (int i = 0; i < 3; i++)
		CHECK(std::string_view(room[i], rooms[i].len) == words[i]);
}

TEST_CASE("domain")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto ours = a.alloc(mib);
	std::error_code ec;

	ours.grant(b.info().devid, ISM_READ);
	CHECK(code_of([&](auto &e) { b.attach(ours.token() ^ 1, ism::read_only, e); }) == errc::no_such_file_or_directory);
	auto told = a.domain();
	CHECK(told.gid == a.info().gid);
	CHECK(told.host == a.info().host);
	CHECK(std::string_view(told.version) == ism::version());
	CHECK(told.devices == 2);
	CHECK(told.regions == 1);
	CHECK(told.bytes == mib);
	CHECK(told.counted == 1);
	CHECK(told.allocs == 1);
	CHECK(told.failed == 1);
	auto users = b.users(ec);
	REQUIRE(users.size() == 1);
	CHECK(users[0].uid == getuid());
	CHECK(users[0].devices == 2);
	CHECK(users[0].grants == 1);
	CHECK(users[0].bytes == mib);
	a.close();
	CHECK(code_of([&](auto &e) { a.domain(e); }) == errc::bad_file_descriptor);
	CHECK(a.users(ec).empty());
}

TEST_CASE("hostile")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto ours = a.alloc(65536);
	auto theirs = b.attach(ours.token(), ism::read_write);
	auto writer = ism::ring::create(ours, ism::ring::role::writer);
	auto reader = ism::ring::attach(theirs, ism::ring::role::reader);
	std::mt19937 random(7);
	std::vector<std::byte> in(65536);

	for (int i = 0; i < 2000; i++) {
		auto all = ours.writable_view();
		for (int k = 0; k < 50; k++)
			all[random() % all.size()] = static_cast<std::byte>(random());
		std::error_code ec;
		reader.receive(in, 0s, ec);
		writer.send(bytes_of("record"), 0s, ec);
	}
	CHECK(b.alloc(1).size() == 65536);	/* and answers afterwards */
}

TEST_CASE("killed")
{
	domain d;
	auto b = d.open();
	auto theirs = b.alloc(mib);
	int ready[2];
	REQUIRE(pipe(ready) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		auto a = ism::device::open(d.uri());
		auto ours = a.attach(theirs.token(), ism::read_write);
		write(ours, 0, "last words");
		(void)!::write(ready[1], "x", 1);
		pause();
	}
	char c;
	REQUIRE(read(ready[0], &c, 1) == 1);
	REQUIRE(b.wait(patience)->attached());
	kill(pid, SIGKILL);
	waitpid(pid, nullptr, 0);
	CHECK(code_of([&](auto &e) { theirs.wait(patience, e); }) == errc::broken_pipe);
	CHECK(text_of(theirs.view().subspan(0, 10)) == "last words");
	CHECK(b.wait(patience)->detached());
	close(ready[0]);
	close(ready[1]);
}

TEST_CASE("host gone")
{
	domain d;
	auto a = d.open(), b = d.open();
	auto ours = a.alloc(mib);
	auto theirs = b.attach(ours.token(), ism::read_only);
	while (a.stats().rings_direct == 0) {	/* until there is a direct doorbell */
		ours.notify();
		REQUIRE(theirs.wait(patience));
	}
	d.kill();
	std::optional<ism::event> ev;
	do
		ev = b.wait(patience);
	while (ev && !ev->reset());
	CHECK(ev);
	ours.notify();
	CHECK(theirs.wait(patience));
	CHECK(code_of([&](auto &e) { a.alloc(1, ism::alloc_options(), e); }) == std::error_code(EHOSTDOWN, ism::category()));
	d.restart();
	CHECK(d.open().alloc(1).size() == 65536);
}

TEST_CASE("closed and moved")
{
	domain d;
	auto a = d.open();
	auto r = a.alloc(mib);
	auto moved = std::move(r);

	static_assert(!std::is_copy_constructible_v<ism::device> && !std::is_copy_assignable_v<ism::region> &&
		      !std::is_copy_constructible_v<ism::ring>);
	static_assert(std::is_nothrow_move_constructible_v<ism::region> && std::is_nothrow_move_assignable_v<ism::device>);
	CHECK(!r);
	CHECK(r.view().empty());
	CHECK_THROWS_AS(r.notify(), ism::error);
	a.close();
	CHECK(code_of([&](auto &e) { a.alloc(1, ism::alloc_options(), e); }) == errc::bad_file_descriptor);
	write(moved, 0, "still here");	/* a region keeps its device */
	auto ring = ism::ring::create(moved, ism::ring::role::writer);
	moved.close();
	ring.send(bytes_of("and a ring its region"), 0s);
	ring.close();
	CHECK(code_of([&](auto &e) { ring.send({}, 0s, e); }) == errc::bad_file_descriptor);
	try {
		ism::device::open("nowhere:");
		CHECK(false);
	} catch (const ism::error &e) {
		CHECK(e.code() == errc::invalid_argument);
		CHECK(std::string_view(e.what()).find("expected loop:[NAME]") != std::string_view::npos);
	}
}

TEST_CASE("forked")
{
	domain d;
	auto a = d.open();
	auto r = a.alloc(mib);
	pid_t pid = fork();
	if (pid == 0) {
		auto ec = code_of([&](auto &e) { r.notify(e); });
		r.close();
		a.close();
		_exit(ec == errc::owner_dead ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	CHECK(status == 0);
	r.notify();
	CHECK(a.alloc(1).size() == 65536);
}

TEST_CASE("faults, listings, options")
{
	domain d(0, "alloc:2=ENOSPC");
	auto opts = ism::open_options();
	opts.name = "named";
	auto a = ism::device::open(d.uri(), opts);
	std::error_code ec;

	auto r = a.alloc(1);
	CHECK(code_of([&](auto &e) { a.alloc(1, ism::alloc_options(), e); }) == errc::no_space_on_device);
	CHECK(d.fired() == 1);
	CHECK(d.passes("alloc") == 2);
	d.set_faults("");
	auto devices = a.devices(ec);
	REQUIRE(devices.size() == 1);
	CHECK(std::string_view(devices[0].name) == "named");
	for (int i = 0; i < 3; i++)
		CHECK(a.alloc_many(40, 1).size() == 40);
	CHECK(a.regions(ec).size() == 1);
	CHECK(a.stats().regions == 1);
	CHECK(ism_find_device(a.info().gid) == a.get());
}
