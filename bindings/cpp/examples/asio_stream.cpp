// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

// Lines over a stream of shared memory in a loop of Asio: the server answers each, the client says three.

#include <ism-asio.hpp>

#include <cctype>
#include <cstdio>
#include <functional>
#include <istream>
#include <memory>
#include <string>
#include <thread>

namespace {

using namespace std::chrono_literals;

/* One client of the server, which answers in capitals until the other end shuts down. */
struct session : std::enable_shared_from_this<session> {
	ism::asio_stream stream;
	std::string in, out;

	session(asio::io_context &loop, ism::stream s) : stream(loop.get_executor(), std::move(s)) {}
	void run()
	{
		auto self = shared_from_this();
		asio::async_read_until(stream, asio::dynamic_buffer(in), '\n', [this, self](std::error_code ec, std::size_t n) {
			if (ec)
				return;
			out = in.substr(0, n);
			in.erase(0, n);
			for (char &c : out)
				c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
			asio::async_write(stream, asio::buffer(out), [this, self](std::error_code failed, std::size_t) {
				if (!failed)
					run();
			});
		});
	}
};

} // namespace

int main()
{
	ism::test_domain domain;	// a program of its own would open "emu:" or a path
	ism::stream_options opts;
	opts.pollable = true;
	asio::io_context loop;
	auto dev = ism::device::open(domain.uri());
	auto listener = ism::listener::listen(dev, 0, opts);

	// The descriptor is the library's: Asio may watch it, and has to release() it at the end.
	asio::posix::stream_descriptor knock(loop, listener.native_handle());
	std::function<void(std::error_code)> knocked = [&](std::error_code ec) {
		std::error_code none;
		auto s = ec ? ism::stream() : listener.accept(0s, none);
		if (s)
			std::make_shared<session>(loop, std::move(s))->run();
		else if (!ec)
			knock.async_wait(knock.wait_read, knocked);	// this one serves one client
	};
	knock.async_wait(knock.wait_read, knocked);

	// Another thread stands for another process: it connects, and uses its end as it likes.
	std::thread client([&] {
		auto s = ism::stream::connect(ism::device::open(domain.uri()), listener.token(), 10s);
		for (std::string line : { "one\n", "two\n", "three\n" }) {
			std::byte answer[16];
			s.write({ reinterpret_cast<const std::byte *>(line.data()), line.size() }, 10s);
			auto n = s.read_some(answer, 10s);
			std::printf("%.*s", static_cast<int>(n), reinterpret_cast<const char *>(answer));
		}
		s.shutdown_write();
		std::byte rest[1];
		std::puts(s.read_some(rest, 10s) == 0 ? "end" : "more?");
	});
	loop.run();
	client.join();
	knock.release();
	return 0;
}
