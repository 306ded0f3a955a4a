// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

/**
 * @file ism-asio.hpp
 * Streams of ism.hpp in a loop of Asio, its own or Boost's: where ISM_ASIO says `boost::asio`, that is meant.
 */
#ifndef ISM_ASIO_HPP
#define ISM_ASIO_HPP

#include <ism.hpp>

#ifndef ISM_ASIO
#include <asio.hpp>
#define ISM_ASIO asio
#endif

namespace ism {

/**
 * A pollable stream as Asio's AsyncReadStream and AsyncWriteStream: async_read(), async_read_until() and async_write() take
 * it.  At the end of the stream a read gives `asio::error::eof`.
 *
 * One read and one write at a time.  It must outlive them, as a socket must: cancel() or close() them, and let their
 * handlers run.
 */
class asio_stream {
	using descriptor = ISM_ASIO::posix::stream_descriptor;
	using error_code = decltype(ISM_ASIO::error::make_error_code(ISM_ASIO::error::eof));

public:
	using executor_type = descriptor::executor_type;

	/** Of a stream that was made with stream_options::pollable; throws ism::error for another. */
	asio_stream(const executor_type &ex, stream s)
	    : stream_(std::move(s)), readable_(ex, stream_.read_handle()), writable_(ex)
	{
		try {
			writable_.assign(stream_.write_handle());
		} catch (...) {
			readable_.release();
			throw;
		}
	}
	asio_stream(const asio_stream &) = delete;
	asio_stream &operator=(const asio_stream &) = delete;
	~asio_stream() { close(); }

	executor_type get_executor() noexcept { return readable_.get_executor(); }
	/** The stream itself, to be used while nothing is under way in that direction. */
	stream &get() noexcept { return stream_; }

	/** Operations under way end with `asio::error::operation_aborted`. */
	void cancel()
	{
		error_code ignored;
		if (readable_.is_open())
			readable_.cancel(ignored);
		if (writable_.is_open())
			writable_.cancel(ignored);
	}
	/** The half close: nothing may be under way in this direction. */
	void shutdown_write()
	{
		if (writable_.is_open())
			writable_.release();
		stream_.shutdown_write();
	}
	void close()
	{
		shutdown_write();
		if (readable_.is_open())
			readable_.release();	// the descriptor is the library's
		stream_.close();
	}

	template <class Buffers, class Token>
	auto async_read_some(const Buffers &to, Token &&token)
	{
		ISM_ASIO::mutable_buffer first = first_of<ISM_ASIO::mutable_buffer>(to);
		auto look = [this, first](std::error_code &ec) {
			return stream_.read_some({ static_cast<std::byte *>(first.data()), first.size() }, timeout(0), ec);
		};
		return start(readable_, look, first.size(), true, std::forward<Token>(token));
	}
	template <class Buffers, class Token>
	auto async_write_some(const Buffers &from, Token &&token)
	{
		ISM_ASIO::const_buffer first = first_of<ISM_ASIO::const_buffer>(from);
		auto look = [this, first](std::error_code &ec) {
			return stream_.write_some({ static_cast<const std::byte *>(first.data()), first.size() }, timeout(0), ec);
		};
		return start(writable_, look, first.size(), false, std::forward<Token>(token));
	}

private:
	/* The first of the buffers that is not empty: "some" is what a call may do. */
	template <class Buffer, class Buffers>
	static Buffer first_of(const Buffers &buffers)
	{
		auto end = ISM_ASIO::buffer_sequence_end(buffers);
		for (auto it = ISM_ASIO::buffer_sequence_begin(buffers); it != end; ++it) {
			if (Buffer(*it).size() > 0)
				return *it;
		}
		return {};
	}

	/* Look; where it would have to wait, wait for the descriptor, and look again. */
	template <class Look>
	struct operation {
		descriptor &ready;
		Look look;
		std::size_t size;
		bool reads;
		enum { first_look, posted, waiting } at = first_look;
		std::size_t n = 0;
		error_code result{};

		template <class Self>
		void operator()(Self &self, error_code ec = {})
		{
			if (at == posted || ec) {
				self.complete(ec ? ec : result, n);
				return;
			}
			std::error_code wrong;
			if (size > 0)
				n = look(wrong);
			if (wrong == std::errc::resource_unavailable_try_again) {
				at = waiting;
				ready.async_wait(descriptor::wait_read, std::move(self));
				return;
			}
			if (wrong)
				result = error_code(wrong.value(), ISM_ASIO::error::get_system_category());
			else if (n == 0 && size > 0 && reads)
				result = ISM_ASIO::error::make_error_code(ISM_ASIO::error::eof);
			if (at == waiting) {
				self.complete(result, n);
				return;
			}
			at = posted;	// no handler is called from within the call that starts it
			ISM_ASIO::post(ready.get_executor(), std::move(self));
		}
	};

	template <class Look, class Token>
	static auto start(descriptor &ready, Look look, std::size_t size, bool reads, Token &&token)
	{
		return ISM_ASIO::async_compose<Token, void(error_code, std::size_t)>(
			operation<Look>{ ready, look, size, reads }, token, ready);
	}

	stream stream_;
	descriptor readable_, writable_;
};

} // namespace ism

#endif // ISM_ASIO_HPP
