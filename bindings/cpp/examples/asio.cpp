// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

// A device in a loop of Asio: the region is printed whenever it is rung.

#include <asio.hpp>
#include <ism.hpp>

#include <cstdio>
#include <cstring>
#include <functional>

int main()
{
	asio::io_context loop;
	auto writer = ism::device::open("loop:"), reader = ism::device::open("loop:");
	auto ours = writer.alloc(4096);
	auto theirs = reader.attach(ours.token(), ism::read_only);
	int rung = 0;

	// The descriptor is the library's: Asio may watch it, and has to release() it at the end.
	asio::posix::stream_descriptor bell(loop, reader.native_handle());
	std::function<void(std::error_code)> ready = [&](std::error_code ec) {
		if (ec)
			return;
		while (auto event = reader.next_event()) {
			if (event->rung() && event->about(theirs)) {
				std::puts(reinterpret_cast<const char *>(theirs.view().data()));
				rung++;
			}
		}
		if (rung < 3)
			bell.async_wait(bell.wait_read, ready);
	};
	bell.async_wait(bell.wait_read, ready);

	asio::steady_timer timer(loop);
	int n = 0;
	std::function<void(std::error_code)> ring = [&](std::error_code) {
		std::snprintf(reinterpret_cast<char *>(ours.writable_view().data()), ours.size(), "ring %d", ++n);
		ours.notify();
		if (n == 3)
			return;
		timer.expires_after(std::chrono::milliseconds(100));
		timer.async_wait(ring);
	};
	ring({});

	loop.run();
	bell.release();
	return rung == 3 ? 0 : 1;
}
