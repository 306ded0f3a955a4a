// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

// The peer that speaks for C++ in the matrix of the bindings: bindings/conformance.md has the commands.

#include <ism.hpp>

#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <poll.h>
#include <random>
#include <sstream>
#include <string>

namespace {

using words = std::vector<std::string>;

ism::device dev;
std::map<std::string, ism::region> regions;
std::map<std::string, ism::ring> rings;
std::map<std::string, ism::listener> listeners;
std::map<std::string, ism::stream> streams;

/* What is wrong with a command, apart from what the library says. */
struct refused {
	int code;
	const char *why;
};

template <class Map>
auto &find(Map &map, const std::string &name)
{
	auto it = map.find(name);
	if (it == map.end())
		throw refused{ EBADF, "no such name" };
	return it->second;
}

std::uint64_t number(const std::string &word, int base = 10)
{
	return std::stoull(word, nullptr, base);
}

ism::timeout ms(const std::string &word)
{
	return std::chrono::milliseconds(number(word));
}

bool has(const words &w, const char *word)
{
	for (const auto &x : w) {
		if (x == word)
			return true;
	}
	return false;
}

std::string hex(std::uint64_t v)
{
	char text[17];
	std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(v));
	return text;
}

std::string hex(ism::const_bytes b)
{
	std::string text;
	for (std::byte x : b) {
		text += "0123456789abcdef"[static_cast<int>(x) >> 4];
		text += "0123456789abcdef"[static_cast<int>(x) & 15];
	}
	return text.empty() ? "-" : text;
}

std::vector<std::byte> from_hex(const std::string &text)
{
	std::vector<std::byte> b;
	for (std::size_t i = 0; text != "-" && i + 1 < text.size(); i += 2)
		b.push_back(static_cast<std::byte>(number(text.substr(i, 2), 16)));
	return b;
}

void pattern(ism::bytes to, std::uint64_t seed)
{
	for (std::size_t i = 0; i < to.size(); i++)
		to[i] = static_cast<std::byte>((seed + i) % 251);
}

std::string crc32(ism::const_bytes b)
{
	std::uint32_t crc = UINT32_MAX;
	for (std::byte x : b) {
		crc ^= static_cast<std::uint32_t>(x);
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return hex(static_cast<std::uint64_t>(~crc)).substr(8);
}

template <class Span>
Span part(Span whole, std::uint64_t offset, std::uint64_t length)
{
	if (offset > whole.size() || length > whole.size() - offset)
		throw refused{ ERANGE, "beyond the region's end" };
	return whole.subspan(offset, length);
}

ism::const_bytes seen(const words &w)
{
	return part(find(regions, w[1]).view(), number(w[2]), number(w[3]));
}

ism::bytes written(const words &w, std::uint64_t length)
{
	return part(find(regions, w[1]).writable_view(), number(w[2]), length);
}

std::string hello(const words &)
{
	return std::string("cpp ") + ism::version() + " ring stream";
}

std::string open(const words &w)
{
	auto opts = ism::open_options();
	opts.name = "matrix-cpp";
	opts.flags = has(w, "host") ? 0 : ISM_OPEN_NO_HOST;
	dev = ism::device::open(w[1].c_str(), opts);
	auto info = dev.info();
	return std::to_string(info.devid) + " " + hex(info.gid);
}

std::string close(const words &)
{
	streams.clear();
	listeners.clear();
	rings.clear();
	regions.clear();
	dev.close();
	return "";
}

std::string alloc(const words &w)
{
	auto opts = ism::alloc_options((has(w, "private") ? ISM_ALLOC_PRIVATE : 0) | (has(w, "vector") ? ISM_ALLOC_VECTOR : 0));
	auto &r = regions[w[1]] = dev.alloc(number(w[2]), opts);
	return hex(r.token()) + " " + std::to_string(r.size());
}

std::string attach(const words &w)
{
	auto opts = ism::attach_options(has(w, "vector") ? ISM_ATTACH_VECTOR : 0);
	auto rights = w[3] == "rw" ? ism::read_write : ism::read_only;
	auto &r = regions[w[1]] = dev.attach(number(w[2], 16), rights, opts);
	return std::to_string(r.size());
}

std::string attach_many(const words &w)
{
	std::vector<std::uint64_t> tokens;
	for (std::size_t i = 3; i < w.size(); i++)
		tokens.push_back(number(w[i], 16));
	auto all = dev.attach_many(tokens, w[2] == "rw" ? ism::read_write : ism::read_only);
	auto size = all.at(0).size();
	for (std::size_t i = 0; i < all.size(); i++)
		regions[w[1] + std::to_string(i)] = std::move(all[i]);
	return std::to_string(size);
}

std::string close_many(const words &w)
{
	std::vector<ism::region> all;
	for (std::uint64_t i = 0; i < number(w[2]); i++) {
		auto name = w[1] + std::to_string(i);
		all.push_back(std::move(find(regions, name)));
		regions.erase(name);
	}
	ism::close_many(all);
	return "";
}

std::string grant(const words &w)
{
	static const std::string letters = "rwamc";
	auto &r = find(regions, w[1]);
	std::uint32_t rights = 0;
	for (std::size_t i = 0; i < letters.size(); i++)
		rights |= w[3].find(letters[i]) != std::string::npos ? UINT32_C(1) << i : 0;
	if (w[2] == "default")
		r.grant_default(rights);
	else
		r.grant(number(w[2]), rights);
	return "";
}

std::string peers(const words &w)
{
	auto ids = find(regions, w[1]).peers();
	std::string text = std::to_string(ids.size());
	for (auto id : ids)
		text += " " + std::to_string(id);
	return text;
}

std::string scribble(const words &w)
{
	auto to = written(w, number(w[3]));
	std::minstd_rand random(static_cast<unsigned int>(number(w[4])));
	auto end = std::chrono::steady_clock::now() + ms(w[5]);
	while (std::chrono::steady_clock::now() < end) {
		for (int i = 0; i < 100; i++)
			to[random() % to.size()] = static_cast<std::byte>(random());
	}
	return "";
}

/* C++ has no event loop of its own: poll(2) on what native_handle() gives. */
std::string await(const words &w)
{
	auto &r = find(regions, w[1]);
	pollfd p{ r.native_handle(), POLLIN, 0 };
	auto end = std::chrono::steady_clock::now() + ms(w[2]);
	bool rung = r.clear();
	while (!rung) {
		auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
		if (left <= 0)
			break;
		poll(&p, 1, static_cast<int>(left) + 1);
		rung = r.clear();
	}
	return rung ? "1" : "0";
}

std::string event(const words &w)
{
	static const std::map<std::uint32_t, const char *> kinds = { { ISM_EVENT_UPDATE, "UPDATE" },
		{ ISM_EVENT_ATTACH, "ATTACH" }, { ISM_EVENT_DETACH, "DETACH" }, { ISM_EVENT_MOVED, "MOVED" }, { ISM_EVENT_RESET, "RESET" },
		{ ISM_EVENT_LOST, "LOST" } };
	auto ev = dev.wait(ms(w[1]));
	if (!ev)
		return "none";
	std::string name = "-";
	for (const auto &[n, r] : regions) {
		if (ev->about(r))
			name = n;
	}
	std::ostringstream text;
	text << kinds.at(ev->type) << ' ' << ev->devid << ' ' << ev->peers << ' ' << name;
	return text.str();
}

std::string make_ring(const words &w)
{
	auto role = w[4] == "reader" ? ism::ring::role::reader : ism::ring::role::writer;
	auto &in = find(regions, w[2]);
	auto &ring = rings[w[1]] = w[3] == "create" ? ism::ring::create(in, role) : ism::ring::attach(in, role);
	return std::to_string(ring.max_record());
}

std::string receive(const words &w)
{
	std::vector<std::byte> room(1 << 20);
	auto n = find(rings, w[1]).receive(room, ms(w[2]));
	return hex(ism::const_bytes(room.data(), n));
}

std::string pump(const words &w)
{
	std::vector<std::byte> record(number(w[3]));
	for (std::uint64_t i = 0; i < number(w[2]); i++) {
		pattern(record, number(w[4]) + i);
		find(rings, w[1]).send(record, ms(w[5]));
	}
	return "";
}

std::string drain(const words &w)
{
	std::vector<std::byte> room(1 << 20), expected(number(w[3]));
	for (std::uint64_t i = 0; i < number(w[2]); i++) {
		auto n = find(rings, w[1]).receive(room, ms(w[5]));
		pattern(expected, number(w[4]) + i);
		if (n != expected.size() || std::memcmp(room.data(), expected.data(), n) != 0)
			throw refused{ EBADMSG, "a record differs" };
	}
	return "";
}

std::string ping(const words &w)
{
	auto &out = find(rings, w[1]), &in = find(rings, w[2]);
	std::vector<std::byte> record(number(w[4])), room(in.max_record());
	std::vector<std::chrono::nanoseconds> took(number(w[3]));
	auto patience = ms(w[6]);
	for (auto &t : took) {
		auto began = std::chrono::steady_clock::now();
		out.send(record, patience);
		in.receive(room, patience);
		t = std::chrono::steady_clock::now() - began;
	}
	std::sort(took.begin(), took.end());
	return std::to_string(took.at(took.size() / 2).count());
}

std::string echo(const words &w)
{
	auto &in = find(rings, w[1]), &out = find(rings, w[2]);
	std::vector<std::byte> record(number(w[5])), room(in.max_record());
	auto patience = ms(w[6]);
	for (std::uint64_t i = number(w[3]); i > 0; i--) {
		in.receive(room, patience);
		out.send(record, patience);
	}
	return "";
}

/* The rest, or so many bytes of it. */
std::vector<std::byte> read_from(ism::stream &s, std::size_t most, ism::timeout t)
{
	std::vector<std::byte> all, part(1 << 16);
	while (all.size() < most) {
		auto n = s.read_some(ism::bytes(part).subspan(0, most - all.size()), t);
		if (n == 0)
			break;
		all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(n));
	}
	return all;
}

std::string feed(const words &w)
{
	std::vector<std::byte> all(number(w[2]));
	pattern(all, number(w[3]));
	find(streams, w[1]).write(all, ms(w[4]));
	return "";
}

std::string eat(const words &w)
{
	auto all = read_from(find(streams, w[1]), SIZE_MAX, ms(w[2]));
	return std::to_string(all.size()) + " " + crc32(ism::bytes(all));
}

std::string listen(const words &w)
{
	auto &l = listeners[w[1]] = ism::listener::listen(dev);
	return hex(l.token());
}

std::string dial(const words &w)
{
	streams[w[1]] = ism::stream::connect(dev, number(w[2], 16), ms(w[3]));
	return "";
}

struct command {
	std::size_t least;	/* at least, with the name */
	std::function<std::string(const words &)> run;
};

const std::map<std::string, command> commands = {
	{ "hello", { 1, hello } },
	{ "open", { 2, open } },
	{ "close", { 1, close } },
	{ "alloc", { 3, alloc } },
	{ "attach", { 4, attach } },
	{ "detach", { 2, [](const words &w) { regions.erase(w[1]); return ""; } } },
	{ "grant", { 4, grant } },
	{ "peers", { 2, peers } },
	{ "write", { 4, [](const words &w) {
		auto b = from_hex(w[3]);
		std::memcpy(written(w, b.size()).data(), b.data(), b.size());
		return "";
	} } },
	{ "read", { 4, [](const words &w) { return hex(seen(w)); } } },
	{ "fill", { 5, [](const words &w) { pattern(written(w, number(w[3])), number(w[4])); return ""; } } },
	{ "crc", { 4, [](const words &w) { return crc32(seen(w)); } } },
	{ "attachmany", { 4, attach_many } },
	{ "closemany", { 3, close_many } },
	{ "scribble", { 6, scribble } },
	{ "notify", { 2, [](const words &w) { find(regions, w[1]).notify(); return ""; } } },
	{ "replace", { 3, [](const words &w) {
		auto &r = regions[w[2]] = dev.replace(find(regions, w[1]));
		return hex(r.token());
	} } },
	{ "successor", { 4, [](const words &w) {
		auto rights = w[3] == "rw" ? ism::read_write : ism::read_only;
		regions[w[2]] = dev.attach_successor(find(regions, w[1]), rights);
		return "";
	} } },
	{ "direct", { 1, [](const words &) { return std::to_string(dev.stats().rings_direct); } } },
	{ "wait", { 3, [](const words &w) { return find(regions, w[1]).wait(ms(w[2])) ? "1" : "0"; } } },
	{ "await", { 3, await } },
	{ "event", { 2, event } },
	{ "ring", { 5, make_ring } },
	{ "send", { 4, [](const words &w) { find(rings, w[1]).send(from_hex(w[3]), ms(w[2])); return ""; } } },
	{ "recv", { 3, receive } },
	{ "pump", { 6, pump } },
	{ "drain", { 6, drain } },
	{ "ping", { 7, ping } },
	{ "echo", { 7, echo } },
	{ "listen", { 2, listen } },
	{ "accept", { 4, [](const words &w) { streams[w[2]] = find(listeners, w[1]).accept(ms(w[3])); return ""; } } },
	{ "dial", { 4, dial } },
	{ "put", { 4, [](const words &w) { find(streams, w[1]).write(from_hex(w[3]), ms(w[2])); return ""; } } },
	{ "get", { 4, [](const words &w) {
		auto b = read_from(find(streams, w[1]), number(w[2]), ms(w[3]));
		return hex(ism::bytes(b));
	} } },
	{ "feed", { 5, feed } },
	{ "eat", { 3, eat } },
	{ "shut", { 2, [](const words &w) { find(streams, w[1]).shutdown_write(); return ""; } } },
	{ "hangup", { 2, [](const words &w) { streams.erase(w[1]); return ""; } } },
	{ "unlisten", { 2, [](const words &w) { listeners.erase(w[1]); return ""; } } },
	{ "unring", { 2, [](const words &w) { rings.erase(w[1]); return ""; } } },
};

std::string answer(const words &w)
{
	auto fail = [](int code, const char *why) { return "err " + std::to_string(code) + " " + why; };
	auto found = commands.find(w[0]);
	if (found == commands.end())
		return fail(ENOSYS, "unknown command");
	if (w.size() < found->second.least)
		return fail(EINVAL, "too few words");
	try {
		auto text = found->second.run(w);
		return text.empty() ? "ok" : "ok " + text;
	} catch (const ism::error &e) {
		return fail(e.code().value(), e.what());
	} catch (const refused &r) {
		return fail(r.code, r.why);
	} catch (const std::exception &e) {
		return fail(EINVAL, e.what());
	}
}

} // namespace

int main()
{
	std::string line;
	while (std::getline(std::cin, line)) {
		std::istringstream in(line);
		words w;
		for (std::string word; in >> word;)
			w.push_back(word);
		if (w.empty())
			continue;
		if (w[0] == "quit")
			break;
		std::cout << answer(w) << std::endl;
	}
	std::cout << "ok" << std::endl;
	close({});
	return 0;
}
