// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

// Records through a ring between two threads, the reader in a plain loop of epoll.

#include <ism.hpp>

#include <cstdio>
#include <string>
#include <sys/epoll.h>
#include <thread>
#include <unistd.h>

int main()
{
	ism::test_domain domain;	// a program of its own would open "emu:" or a path
	auto a = ism::device::open(domain.uri()), b = ism::device::open(domain.uri());
	auto ours = a.alloc(65536);
	auto theirs = b.attach(ours.token(), ism::read_write, ism::attach_options(ISM_ATTACH_VECTOR));
	auto out = ism::ring::create(ours, ism::ring::role::writer);
	auto in = ism::ring::attach(theirs, ism::ring::role::reader);

	std::thread writer([&] {
		for (int i = 1; i <= 3; i++) {
			std::string text = "record " + std::to_string(i);
			out.send({ reinterpret_cast<const std::byte *>(text.data()), text.size() });
		}
		out.close();
	});

	int ep = epoll_create1(EPOLL_CLOEXEC);
	epoll_event want{}, got{};
	want.events = EPOLLIN;
	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, in.native_handle(), &want) < 0)
		return 1;
	for (std::error_code ec; ec != std::errc::broken_pipe;) {
		auto record = in.peek(ec);
		if (!ec) {
			std::printf("%.*s\n", static_cast<int>(record.size()), reinterpret_cast<const char *>(record.data()));
			in.release();
		} else if (ec == std::errc::resource_unavailable_try_again) {
			epoll_wait(ep, &got, 1, -1);	// peek() again when it is readable
		} else if (ec != std::errc::broken_pipe) {
			return 1;
		}
	}
	std::puts("end");
	close(ep);
	writer.join();
	return 0;
}
