// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026 the libism authors

/**
 * @file ism.hpp
 * libism for C++17: one header over ism.h, ism-ring.h and ism-emu.h.
 *
 * Objects own what they stand for, can be moved and not copied, and let go of it when they end.  A region keeps its
 * device open, a ring its region, so the order in which they end does not matter.
 *
 * Every call that can fail comes twice: with a `std::error_code &` as its last argument, which never throws, and
 * without, which throws ism::error.  Codes compare with `std::errc`: `ec == std::errc::no_such_file_or_directory`.
 * A call on an object that was moved from or closed is `std::errc::bad_file_descriptor`.
 *
 * Threads: as in ism.h.  Calls on one object are safe from any thread, its end is not: interrupt and join first.
 */
#ifndef ISM_HPP
#define ISM_HPP

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

#include <poll.h>

#include <ism-emu.h>
#include <ism-ring.h>
#include <ism.h>

namespace ism {

/** A pointer and a size, as std::span has them in C++20. */
template <class T>
class span {
public:
	using element_type = T;

	constexpr span() noexcept = default;
	constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
	template <std::size_t N>
	constexpr span(T (&array)[N]) noexcept : data_(array), size_(N)
	{
	}
	/** Of std::vector, std::array, std::string, std::span: whatever has data() and size(). */
	template <class C, class = std::enable_if_t<std::is_convertible_v<
				   std::remove_pointer_t<decltype(std::declval<C &>().data())> (*)[], T (*)[]>>>
	constexpr span(C &&c) noexcept : data_(c.data()), size_(c.size()) {}

	constexpr T *data() const noexcept { return data_; }
	constexpr std::size_t size() const noexcept { return size_; }
	constexpr bool empty() const noexcept { return size_ == 0; }
	constexpr T *begin() const noexcept { return data_; }
	constexpr T *end() const noexcept { return data_ + size_; }
	constexpr T &operator[](std::size_t i) const noexcept { return data_[i]; }
	/** The part from @p offset on, of @p count elements or to the end; empty where there is none. */
	constexpr span subspan(std::size_t offset, std::size_t count = SIZE_MAX) const noexcept
	{
		if (offset > size_)
			return {};
		return { data_ + offset, count < size_ - offset ? count : size_ - offset };
	}

private:
	T *data_ = nullptr;
	std::size_t size_ = 0;
};

} // namespace ism

#ifdef __cpp_lib_span
/* So that a std::span can be made of what a call returns: it does not own what it shows. */
template <class T>
inline constexpr bool std::ranges::enable_borrowed_range<ism::span<T>> = true;
#endif

namespace ism {

using bytes = span<std::byte>;
using const_bytes = span<const std::byte>;

/** How long a wait may take; negative: for ever, 0: only look. */
using timeout = std::chrono::nanoseconds;
inline constexpr timeout forever{ -1 };

/** The category of this library's codes: errno's values, its own words. */
inline const std::error_category &category() noexcept
{
	struct words final : std::error_category {
		const char *name() const noexcept override { return "libism"; }
		std::string message(int value) const override { return ism_strerror(value); }
		std::error_condition default_error_condition(int value) const noexcept override
		{
			return { value, std::generic_category() };
		}
	};
	static const words one;
	return one;
}

/** What calls throw; what() has the details, code() the code. */
class error : public std::system_error {
public:
	explicit error(std::error_code code) : std::system_error(code, words(code)) {}

private:
	/* The library's details are about its own last failure. */
	static const char *words(std::error_code code) noexcept
	{
		return code.category() == category() && *ism_error_detail() != '\0' ? ism_error_detail() : "libism";
	}
};

namespace detail {

/** A negative errno becomes a code, anything else success. */
inline bool failed(long long r, std::error_code &ec) noexcept
{
	ec = r < 0 ? std::error_code(static_cast<int>(-r), category()) : std::error_code();
	return r < 0;
}

/** The same for what is found here, and not by the library. */
inline bool refused(int err, std::error_code &ec) noexcept
{
	ec = std::error_code(err, std::generic_category());
	return err != 0;
}

inline bool closed(const void *handle, std::error_code &ec) noexcept
{
	return refused(handle == nullptr ? EBADF : 0, ec);
}

/** Call @p fn with a code, and throw if it is one. */
template <class Fn>
auto or_throw(Fn &&fn)
{
	std::error_code ec;
	if constexpr (std::is_void_v<decltype(fn(ec))>) {
		fn(ec);
		if (ec)
			throw error(ec);
	} else {
		auto result = fn(ec);
		if (ec)
			throw error(ec);
		return result;
	}
}

/** A structure of the C API that knows its size. */
template <class T>
T sized() noexcept
{
	T t{};
	t.size = sizeof t;
	return t;
}

/** All entries of a listing, page by page. */
template <class Entry, class Fn>
std::vector<Entry> list(Fn &&fn, std::error_code &ec)
{
	std::vector<Entry> all;
	Entry page[32];
	std::uint64_t cursor = 0;
	do {
		int n = fn(page, std::size(page), sizeof page[0], &cursor);
		if (failed(n, ec))
			return {};
		all.insert(all.end(), page, page + n);
	} while (cursor != 0);
	return all;
}

/** When a wait of so long is over. */
class deadline {
public:
	explicit deadline(timeout t) noexcept : forever_(t.count() < 0)
	{
		auto now = std::chrono::steady_clock::now();
		if (!forever_)
			at_ = now + std::min<std::chrono::nanoseconds>(t, std::chrono::hours(24 * 365 * 100));
	}
	/** Of the time; 0: it is over, negative: for ever. */
	timeout left() const noexcept
	{
		if (forever_)
			return forever;
		return std::max(timeout(0), std::chrono::duration_cast<timeout>(at_ - std::chrono::steady_clock::now()));
	}

private:
	bool forever_;
	std::chrono::steady_clock::time_point at_;
};

/** For poll(2), rounded up: 0 would be a busy loop. */
inline int milliseconds(timeout t) noexcept
{
	return static_cast<int>(std::min<long long>(t.count() / 1000000 + 1, INT_MAX));
}

struct dialling;

using device_ptr = std::shared_ptr<ism_device>;

/** Handles that end together, and their devices, which end after them. */
struct ending {
	static constexpr std::size_t room = 64;
	device_ptr dev[room];
	ism_region *handle[room];
	std::size_t nr = 0;
	~ending() { ism_detach_regions(handle, nr); }
};

/** Where this thread's handles go while close_many() is at it. */
inline thread_local ending *together = nullptr;

struct region_state {
	device_ptr dev;
	ism_region *handle = nullptr;
	~region_state()
	{
		if (together == nullptr || handle == nullptr) {
			ism_detach_region(handle);
			return;
		}
		together->dev[together->nr] = std::move(dev);
		together->handle[together->nr++] = handle;
	}
};
using region_ptr = std::shared_ptr<region_state>;

struct ring_state {
	region_ptr region;
	ism_ring *handle;
	~ring_state() { ism_ring_close(handle); }
};

} // namespace detail

/** ISM_READ and the others of ism.h are used as they are; these two are what most calls need. */
inline constexpr std::uint32_t read_only = ISM_READ;
inline constexpr std::uint32_t read_write = ISM_READ | ISM_WRITE;

inline ism_open_opts open_options() noexcept { return detail::sized<ism_open_opts>(); }
inline ism_alloc_opts alloc_options(std::uint32_t flags = 0) noexcept
{
	auto o = detail::sized<ism_alloc_opts>();
	o.flags = flags;
	return o;
}
inline ism_attach_opts attach_options(std::uint32_t flags = 0) noexcept
{
	auto o = detail::sized<ism_attach_opts>();
	o.flags = flags;
	return o;
}

/** What a region's reference says: see region::reference(). */
struct reference {
	std::uint64_t gid, token;
};

inline reference parse_reference(const std::string &text, std::error_code &ec) noexcept
{
	reference r{ 0, 0 };
	detail::failed(ism_ref_parse(text.c_str(), &r.gid, &r.token), ec);
	return r;
}
inline reference parse_reference(const std::string &text)
{
	return detail::or_throw([&](std::error_code &ec) { return parse_reference(text, ec); });
}

inline const char *version() noexcept { return ism_version(); }

class region;

/**
 * A pointer that both sides of a region understand, though it is mapped at other addresses: how far from its beginning a T
 * is.  Zeros are none, as a region is made of them.  region::offset_of() makes one, and region::at() a pointer of it; who may
 * only read asks for `at<const T>(p)`.
 */
template <class T>
struct offset_ptr {
	std::uint64_t offset = 0;
	explicit operator bool() const noexcept { return offset != 0; }
	template <class C, class = std::enable_if_t<!std::is_const_v<T> && std::is_same_v<C, const T>>>
	operator offset_ptr<C>() const noexcept
	{
		return { offset };
	}
};

/** Something that happened to a device: what ism_wait(3) gives. */
struct event : ism_event {
	bool rung() const noexcept { return type == ISM_EVENT_UPDATE; }
	bool attached() const noexcept { return type == ISM_EVENT_ATTACH; }
	bool detached() const noexcept { return type == ISM_EVENT_DETACH; }
	bool moved() const noexcept { return type == ISM_EVENT_MOVED; }
	bool reset() const noexcept { return type == ISM_EVENT_RESET; }
	bool lost() const noexcept { return type == ISM_EVENT_LOST; }
	/** Is it about this region?  (The handle in it is only for comparing.) */
	bool about(const class region &r) const noexcept;
};

/** Memory that is shared, by a token.  Keeps its device open. */
class region {
public:
	/** None: every call says bad_file_descriptor. */
	region() noexcept = default;
	region(region &&) noexcept = default;
	region &operator=(region &&) noexcept = default;
	explicit operator bool() const noexcept { return state_ != nullptr; }
	/** The handle of the C API, which stays this object's; NULL if there is none. */
	ism_region *get() const noexcept { return state_ ? state_->handle : nullptr; }
	/** Let go now; a ring in it keeps it until the ring is closed. */
	void close() noexcept { state_.reset(); }

	std::size_t size() const noexcept { return get() ? ism_region_size(get()) : 0; }
	std::size_t requested_size() const noexcept { return get() ? ism_region_requested_size(get()) : 0; }
	/** A capability: as secret as what is shared. */
	std::uint64_t token() const noexcept { return get() ? ism_region_token(get()) : 0; }
	std::uint32_t rights() const noexcept { return get() ? ism_region_rights(get()) : 0; }
	/** Which ISM_ALLOC_* wishes were met. */
	std::uint32_t flags() const noexcept { return get() ? ism_region_flags(get()) : 0; }
	bool writable() const noexcept { return (rights() & ISM_WRITE) != 0; }

	/**
	 * The memory.  Peers may write it at any moment: copy what you check.  Valid while this region, or a ring in it, is
	 * there.  Empty where there is none.
	 */
	const_bytes view() const noexcept { return { static_cast<const std::byte *>(address()), size() }; }
	/** To be written: read_only_file_system without ISM_WRITE. */
	bytes writable_view(std::error_code &ec) const noexcept
	{
		if (detail::closed(get(), ec) || detail::refused(writable() ? 0 : EROFS, ec))
			return {};
		return { static_cast<std::byte *>(address()), size() };
	}
	bytes writable_view() const
	{
		return detail::or_throw([&](std::error_code &ec) { return writable_view(ec); });
	}
	/** Where a T begins at @p offset, for atomics and structures of them; NULL beyond the end or not aligned. */
	template <class T>
	T *at(std::size_t offset) const noexcept
	{
		static_assert(std::is_trivially_destructible_v<T>, "other processes do not run this one's destructors");
		if (size() < sizeof(T) || offset > size() - sizeof(T) || offset % alignof(T) != 0 ||
		    (!std::is_const_v<T> && !writable()))
			return nullptr;
		return reinterpret_cast<T *>(static_cast<std::byte *>(address()) + offset);
	}
	/** The same for an offset that lay in the region, where a peer may have written anything: NULL if it leads nowhere. */
	template <class T>
	T *at(offset_ptr<T> p) const noexcept
	{
		return p && p.offset <= SIZE_MAX ? at<T>(static_cast<std::size_t>(p.offset)) : nullptr;
	}
	/** None for NULL, for what is not within the region, and for its first byte. */
	template <class T>
	offset_ptr<T> offset_of(const T *p) const noexcept
	{
		auto from = reinterpret_cast<std::uintptr_t>(address()), to = reinterpret_cast<std::uintptr_t>(p);
		if (p == nullptr || to < from || to - from >= size())
			return {};
		return { to - from };
	}

	/** Ring the other referrers. */
	void notify(std::error_code &ec) const noexcept
	{
		if (!detail::closed(get(), ec))
			detail::failed(ism_region_notify(get()), ec);
	}
	void notify() const
	{
		detail::or_throw([&](std::error_code &ec) { notify(ec); });
	}
	/** Wait for a ring: true when rung, false when the time is over. */
	bool wait(timeout t, std::error_code &ec) const noexcept
	{
		if (detail::closed(get(), ec))
			return false;
		int r = ism_region_wait(get(), t.count());
		return !detail::failed(r, ec) && r == 1;
	}
	bool wait(timeout t = forever) const
	{
		return detail::or_throw([&](std::error_code &ec) { return wait(t, ec); });
	}
	/** Take the ring without waiting: was there one? */
	bool clear(std::error_code &ec) const noexcept
	{
		if (detail::closed(get(), ec))
			return false;
		int r = ism_region_clear(get());
		return !detail::failed(r, ec) && r == 1;
	}
	bool clear() const
	{
		return detail::or_throw([&](std::error_code &ec) { return clear(ec); });
	}
	/** To poll for reading, lent; when it is readable, clear().  -1 on failure. */
	int native_handle(std::error_code &ec) const noexcept
	{
		if (detail::closed(get(), ec))
			return -1;
		int fd = ism_region_fd(get());
		return detail::failed(fd, ec) ? -1 : fd;
	}
	int native_handle() const
	{
		return detail::or_throw([&](std::error_code &ec) { return native_handle(ec); });
	}

	void grant(std::uint64_t devid, std::uint32_t rights, std::error_code &ec) const noexcept
	{
		if (!detail::closed(get(), ec))
			detail::failed(ism_region_grant(get(), devid, rights), ec);
	}
	void grant(std::uint64_t devid, std::uint32_t rights) const
	{
		detail::or_throw([&](std::error_code &ec) { grant(devid, rights, ec); });
	}
	void grant_default(std::uint32_t rights, std::error_code &ec) const noexcept
	{
		if (!detail::closed(get(), ec))
			detail::failed(ism_region_grant_default(get(), rights), ec);
	}
	void grant_default(std::uint32_t rights) const
	{
		detail::or_throw([&](std::error_code &ec) { grant_default(rights, ec); });
	}

	/** The other devices that refer to it now. */
	std::vector<std::uint64_t> peers(std::error_code &ec) const
	{
		std::vector<std::uint64_t> ids;
		if (detail::closed(get(), ec))
			return ids;
		for (;;) {
			int n = ism_region_peers(get(), ids.data(), ids.size());
			if (detail::failed(n, ec))
				return {};
			bool all = static_cast<std::size_t>(n) <= ids.size();
			ids.resize(static_cast<std::size_t>(n));
			if (all)
				return ids;
		}
	}
	std::vector<std::uint64_t> peers() const
	{
		return detail::or_throw([&](std::error_code &ec) { return peers(ec); });
	}
	/** "ism:GID/TOKEN", which holds the token; empty where there is none. */
	std::string to_reference() const
	{
		char text[ISM_REF_SIZE];
		return get() && ism_ref_format(get(), text, sizeof text) > 0 ? text : "";
	}

private:
	friend class arena;
	friend class device;
	friend class ring;
	explicit region(detail::region_ptr state) noexcept : state_(std::move(state)) {}
	void *address() const noexcept { return get() ? ism_region_addr(get()) : nullptr; }

	detail::region_ptr state_;
};

/** Let go of all of them now, of those of one device in one round trip for each 64.  A ring in one keeps that one. */
inline void close_many(span<region> regions) noexcept
{
	for (; !regions.empty(); regions = regions.subspan(detail::ending::room)) {
		detail::ending all;
		detail::together = &all;
		for (region &r : regions.subspan(0, detail::ending::room))
			r.close();
		detail::together = nullptr;
	}
}

/**
 * The memory of a region for `std::pmr` containers, from @p offset on; it keeps the region.  What is given back is not
 * used again before all ends, and where there is no room left std::bad_alloc comes: there is no heap behind it.
 *
 * The peer finds what lies there by region::offset_of().  Of containers only those whose elements lie there alone, such as
 * std::pmr::vector, should be used where a peer may write: of others it would write the pointers that this side follows.
 */
class arena final : public std::pmr::memory_resource {
public:
	/** Throws ism::error for a region that may not be written, and for an offset beyond its end. */
	explicit arena(const region &in, std::size_t offset = 0) : state_(in.state_), room_(in.writable_view())
	{
		if (offset > room_.size())
			throw error(std::make_error_code(std::errc::invalid_argument));
		room_ = room_.subspan(offset);
	}
	/** Bytes that are left. */
	std::size_t left() const noexcept { return room_.size(); }

private:
	void *do_allocate(std::size_t size, std::size_t align) override
	{
		void *at = room_.data();
		std::size_t left = room_.size();
		if (std::align(align, size, at, left) == nullptr)
			throw std::bad_alloc();
		room_ = { static_cast<std::byte *>(at) + size, left - size };
		return at;
	}
	void do_deallocate(void *, std::size_t, std::size_t) override {}
	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override { return this == &other; }

	detail::region_ptr state_;
	bytes room_;
};

inline bool event::about(const class region &r) const noexcept
{
	return ism_event::region != nullptr && ism_event::region == r.get();
}

/** An endpoint of a sharing domain.  It ends when this object and all its regions have ended. */
class device {
public:
	/** None: open() gives one. */
	device() noexcept = default;
	device(device &&) noexcept = default;
	device &operator=(device &&) noexcept = default;

	/** @p uri: "loop:", "emu:PATH", ...; NULL: $ISM_DEVICE and so on, see ism_open(3). */
	static device open(const char *uri, const ism_open_opts &opts, std::error_code &ec) noexcept
	{
		device d;
		ism_device *handle = nullptr;
		if (!detail::failed(ism_open(uri, &opts, &handle), ec))
			d.dev_.reset(handle, ism_close);
		return d;
	}
	static device open(const char *uri = nullptr, const ism_open_opts &opts = open_options())
	{
		return detail::or_throw([&](std::error_code &ec) { return open(uri, opts, ec); });
	}

	explicit operator bool() const noexcept { return dev_ != nullptr; }
	ism_device *get() const noexcept { return dev_.get(); }
	/** One more object for the same endpoint, which ends with the last of them. */
	device share() const noexcept
	{
		device d;
		d.dev_ = dev_;
		return d;
	}
	/** Let go now; its regions keep it until they end, too. */
	void close() noexcept { dev_.reset(); }

	ism_info info(std::error_code &ec) const noexcept { return fill<ism_info>(ism_query, ec); }
	ism_info info() const
	{
		return detail::or_throw([&](std::error_code &ec) { return info(ec); });
	}
	ism_stats stats(std::error_code &ec) const noexcept { return fill<ism_stats>(ism_query_stats, ec); }
	ism_stats stats() const
	{
		return detail::or_throw([&](std::error_code &ec) { return stats(ec); });
	}
	ism_domain_info domain(std::error_code &ec) const noexcept { return fill<ism_domain_info>(ism_query_domain, ec); }
	ism_domain_info domain() const
	{
		return detail::or_throw([&](std::error_code &ec) { return domain(ec); });
	}

	/** A new region of zeros, of whole chunks. */
	region alloc(std::size_t size, const ism_alloc_opts &opts, std::error_code &ec) const
	{
		ism_region *handle = nullptr;
		if (detail::closed(get(), ec) || detail::failed(ism_alloc_region(get(), size, &opts, &handle), ec))
			return {};
		return own(handle);
	}
	region alloc(std::size_t size, const ism_alloc_opts &opts = alloc_options()) const
	{
		return detail::or_throw([&](std::error_code &ec) { return alloc(size, opts, ec); });
	}
	/** Up to 64 of one size in one round trip: all or none. */
	std::vector<region> alloc_many(std::size_t nr, std::size_t size, const ism_alloc_opts &opts, std::error_code &ec) const
	{
		std::vector<region> regions = to_own(nr, ec);
		ism_region *handles[detail::ending::room];
		if (ec || detail::failed(ism_alloc_regions(get(), size, &opts, nr, handles), ec))
			return {};
		own_all(regions, handles);
		return regions;
	}
	std::vector<region> alloc_many(std::size_t nr, std::size_t size, const ism_alloc_opts &opts = alloc_options()) const
	{
		return detail::or_throw([&](std::error_code &ec) { return alloc_many(nr, size, opts, ec); });
	}
	/** The region that @p token names; @p rights: read_only or read_write. */
	region attach(std::uint64_t token, std::uint32_t rights, const ism_attach_opts &opts, std::error_code &ec) const
	{
		ism_region *handle = nullptr;
		if (detail::closed(get(), ec) || detail::failed(ism_attach_region(get(), token, rights, &opts, &handle), ec))
			return {};
		return own(handle);
	}
	region attach(std::uint64_t token, std::uint32_t rights, std::error_code &ec) const
	{
		return attach(token, rights, attach_options(), ec);
	}
	region attach(std::uint64_t token, std::uint32_t rights, const ism_attach_opts &opts = attach_options()) const
	{
		return detail::or_throw([&](std::error_code &ec) { return attach(token, rights, opts, ec); });
	}

	/** Up to 64, with the same rights, in one round trip: all or none.  A token that is there twice gives two regions. */
	std::vector<region> attach_many(span<const std::uint64_t> tokens, std::uint32_t rights, const ism_attach_opts &opts,
					std::error_code &ec) const
	{
		const std::uint64_t none = 0, *first = tokens.empty() ? &none : tokens.data();
		std::vector<region> regions = to_own(tokens.size(), ec);
		ism_region *handles[detail::ending::room];
		if (ec || detail::failed(ism_attach_regions(get(), first, rights, &opts, tokens.size(), handles), ec))
			return {};
		own_all(regions, handles);
		return regions;
	}
	std::vector<region> attach_many(span<const std::uint64_t> tokens, std::uint32_t rights, std::error_code &ec) const
	{
		return attach_many(tokens, rights, attach_options(), ec);
	}
	std::vector<region> attach_many(span<const std::uint64_t> tokens, std::uint32_t rights,
					const ism_attach_opts &opts = attach_options()) const
	{
		return detail::or_throw([&](std::error_code &ec) { return attach_many(tokens, rights, opts, ec); });
	}

	/** A successor of one of this device's regions, for those whose rights are left. */
	region replace(const region &old, const ism_alloc_opts &opts, std::error_code &ec) const
	{
		ism_region *handle = nullptr;
		if (detail::closed(old.get(), ec) || detail::failed(ism_region_replace(old.get(), &opts, &handle), ec))
			return {};
		return own(handle);
	}
	region replace(const region &old, const ism_alloc_opts &opts = alloc_options()) const
	{
		return detail::or_throw([&](std::error_code &ec) { return replace(old, opts, ec); });
	}
	/** That successor, when event::moved() has told of it. */
	region attach_successor(const region &old, std::uint32_t rights, std::error_code &ec) const
	{
		ism_region *handle = nullptr;
		if (detail::closed(old.get(), ec) || detail::failed(ism_attach_successor(old.get(), rights, nullptr, &handle), ec))
			return {};
		return own(handle);
	}
	region attach_successor(const region &old, std::uint32_t rights) const
	{
		return detail::or_throw([&](std::error_code &ec) { return attach_successor(old, rights, ec); });
	}

	/**
	 * A successor of the region that @p token names, without the devices @p devids, as the host's user; see ism_shut_out(3).
	 * It may be read.  Keep it until one of the others has gone over.
	 */
	region shut_out(std::uint64_t token, span<const std::uint64_t> devids, std::error_code &ec) const
	{
		ism_region *handle = nullptr;
		if (detail::closed(get(), ec) ||
		    detail::failed(ism_shut_out(get(), token, devids.data(), devids.size(), &handle), ec))
			return {};
		return own(handle);
	}
	region shut_out(std::uint64_t token, span<const std::uint64_t> devids) const
	{
		return detail::or_throw([&](std::error_code &ec) { return shut_out(token, devids, ec); });
	}

	/** The next event; nothing when the time is over. */
	std::optional<event> wait(timeout t, std::error_code &ec) const noexcept
	{
		event ev;
		if (detail::closed(get(), ec))
			return {};
		int r = ism_wait(get(), &ev, 1, sizeof(ism_event), t.count());
		return detail::failed(r, ec) || r == 0 ? std::nullopt : std::optional(ev);
	}
	std::optional<event> wait(timeout t = forever) const
	{
		return detail::or_throw([&](std::error_code &ec) { return wait(t, ec); });
	}
	/** The next event, if there is one already: what to call, until there is none, when native_handle() is readable. */
	std::optional<event> next_event(std::error_code &ec) const noexcept
	{
		event ev;
		if (detail::closed(get(), ec))
			return {};
		int r = ism_event_next(get(), &ev, sizeof(ism_event));
		return detail::failed(r, ec) || r == 0 ? std::nullopt : std::optional(ev);
	}
	std::optional<event> next_event() const
	{
		return detail::or_throw([&](std::error_code &ec) { return next_event(ec); });
	}
	/** End all waits on this device, or the next one: operation "interrupted".  From signal handlers, too. */
	void interrupt() const noexcept
	{
		if (get())
			ism_interrupt(get());
	}
	/** To poll for reading, lent: epoll, Asio's descriptors (release() them).  -1 on failure. */
	int native_handle(std::error_code &ec) const noexcept
	{
		if (detail::closed(get(), ec))
			return -1;
		int fd = ism_fd(get());
		return detail::failed(fd, ec) ? -1 : fd;
	}
	int native_handle() const
	{
		return detail::or_throw([&](std::error_code &ec) { return native_handle(ec); });
	}

	std::vector<ism_device_entry> devices(std::error_code &ec) const { return list<ism_device_entry>(ism_list_devices, ec); }
	std::vector<ism_region_entry> regions(std::error_code &ec) const { return list<ism_region_entry>(ism_list_regions, ec); }
	std::vector<ism_user_entry> users(std::error_code &ec) const { return list<ism_user_entry>(ism_list_users, ec); }
	std::vector<ism_referrer_entry> referrers(std::uint64_t token, std::error_code &ec) const
	{
		return list<ism_referrer_entry>(
			[token](ism_device *dev, ism_referrer_entry *e, std::size_t nr, std::size_t size,
				std::uint64_t *cursor) { return ism_list_referrers(dev, token, e, nr, size, cursor); }, ec);
	}
	/** Take another device off the domain, as the host's user. */
	void kick(std::uint64_t devid, std::error_code &ec) const noexcept
	{
		if (!detail::closed(get(), ec))
			detail::failed(ism_kick_device(get(), devid), ec);
	}

private:
	template <class T>
	T fill(int (*query)(ism_device *, T *), std::error_code &ec) const noexcept
	{
		auto t = detail::sized<T>();
		if (!detail::closed(get(), ec))
			detail::failed(query(get(), &t), ec);
		return t;
	}
	template <class Entry, class Fn>
	std::vector<Entry> list(Fn &&fn, std::error_code &ec) const
	{
		if (detail::closed(get(), ec))
			return {};
		return detail::list<Entry>([&](auto... args) { return fn(get(), args...); }, ec);
	}
	region own(ism_region *handle) const
	{
		/* What cannot be kept is let go of. */
		std::unique_ptr<ism_region, void (*)(ism_region *)> guard(handle, ism_detach_region);
		auto state = std::make_shared<detail::region_state>();
		state->dev = dev_;
		state->handle = guard.release();
		return region(std::move(state));
	}

	/* As many regions as a call is to make, without handles yet, so that memory is short before it. */
	std::vector<region> to_own(std::size_t nr, std::error_code &ec) const
	{
		std::vector<region> regions;
		if (detail::closed(get(), ec))
			return regions;
		nr = std::min(nr, detail::ending::room);
		regions.reserve(nr);
		for (std::size_t i = 0; i < nr; i++) {
			regions.push_back(region(std::make_shared<detail::region_state>()));
			regions.back().state_->dev = dev_;
		}
		return regions;
	}
	static void own_all(std::vector<region> &regions, ism_region *const *handles) noexcept
	{
		for (std::size_t i = 0; i < regions.size(); i++)
			regions[i].state_->handle = handles[i];
	}

	detail::device_ptr dev_;
};

/** One end of a ring of records in a region, which it keeps.  One thread at a time. */
class ring {
public:
	enum class role : std::uint32_t { writer = ISM_RING_WRITER, reader = ISM_RING_READER };

	ring() noexcept = default;
	ring(ring &&) noexcept = default;
	ring &operator=(ring &&) noexcept = default;
	explicit operator bool() const noexcept { return state_ != nullptr; }
	ism_ring *get() const noexcept { return state_ ? state_->handle : nullptr; }
	/** The peer is told: a reader reads what is there and then gets broken_pipe. */
	void close() noexcept { state_.reset(); }

	/** Make one; before the peer attaches, for example before the token is given away. */
	static ring create(const region &in, role r, std::error_code &ec) { return make(ism_ring_create, in, r, ec); }
	static ring create(const region &in, role r)
	{
		return detail::or_throw([&](std::error_code &ec) { return create(in, r, ec); });
	}
	/** Be the other end of one that is there. */
	static ring attach(const region &in, role r, std::error_code &ec) { return make(ism_ring_attach, in, r, ec); }
	static ring attach(const region &in, role r)
	{
		return detail::or_throw([&](std::error_code &ec) { return attach(in, r, ec); });
	}

	std::size_t max_record() const noexcept { return get() ? ism_ring_max_record(get()) : 0; }

	/** Write a record, copying it: timed_out when it takes too long, broken_pipe when the reader is gone. */
	void send(const_bytes record, timeout t, std::error_code &ec) const noexcept
	{
		if (!detail::closed(get(), ec))
			detail::failed(ism_ring_write(get(), record.data(), record.size(), t.count()), ec);
	}
	void send(const_bytes record, timeout t = forever) const
	{
		detail::or_throw([&](std::error_code &ec) { send(record, t, ec); });
	}
	/** Read a record into @p room, copying it: its length.  broken_pipe after the last. */
	std::size_t receive(bytes room, timeout t, std::error_code &ec) const noexcept
	{
		if (detail::closed(get(), ec))
			return 0;
		auto n = ism_ring_read(get(), room.data(), room.size(), t.count());
		return detail::failed(n, ec) ? 0 : static_cast<std::size_t>(n);
	}
	std::size_t receive(bytes room, timeout t = forever) const
	{
		return detail::or_throw([&](std::error_code &ec) { return receive(room, t, ec); });
	}

	/**
	 * Write several records, the first of which may wait: how many were written.  ism_ring_buf is a pointer and a length.
	 */
	std::size_t send_many(span<const ism_ring_buf> records, timeout t, std::error_code &ec) const noexcept
	{
		if (detail::closed(get(), ec))
			return 0;
		int n = ism_ring_write_many(get(), records.data(), records.size(), t.count());
		return detail::failed(n, ec) ? 0 : static_cast<std::size_t>(n);
	}
	std::size_t send_many(span<const ism_ring_buf> records, timeout t = forever) const
	{
		return detail::or_throw([&](std::error_code &ec) { return send_many(records, t, ec); });
	}
	/** Read several records into @p rooms, the first of which may wait: how many; their lengths replace those of the rooms. */
	std::size_t receive_many(span<ism_ring_buf> rooms, timeout t, std::error_code &ec) const noexcept
	{
		if (detail::closed(get(), ec))
			return 0;
		int n = ism_ring_read_many(get(), rooms.data(), rooms.size(), t.count());
		return detail::failed(n, ec) ? 0 : static_cast<std::size_t>(n);
	}
	std::size_t receive_many(span<ism_ring_buf> rooms, timeout t = forever) const
	{
		return detail::or_throw([&](std::error_code &ec) { return receive_many(rooms, t, ec); });
	}

	/** Room for a record in place, until commit(); resource_unavailable_try_again when there is none now. */
	bytes reserve(std::size_t size, std::error_code &ec) const noexcept
	{
		void *room = nullptr;
		if (detail::closed(get(), ec) || detail::failed(ism_ring_reserve(get(), size, &room), ec))
			return {};
		return { static_cast<std::byte *>(room), size };
	}
	bytes reserve(std::size_t size) const
	{
		return detail::or_throw([&](std::error_code &ec) { return reserve(size, ec); });
	}
	/** Publish what was reserved, @p size bytes of it. */
	void commit(std::size_t size, std::error_code &ec) const noexcept
	{
		if (!detail::closed(get(), ec))
			detail::failed(ism_ring_commit(get(), size), ec);
	}
	void commit(std::size_t size) const
	{
		detail::or_throw([&](std::error_code &ec) { commit(size, ec); });
	}
	/** The next record in place, until release(); a peer may still change it. */
	const_bytes peek(std::error_code &ec) const noexcept
	{
		const void *record = nullptr;
		std::size_t size = 0;
		if (detail::closed(get(), ec) || detail::failed(ism_ring_peek(get(), &record, &size), ec))
			return {};
		return { static_cast<const std::byte *>(record), size };
	}
	const_bytes peek() const
	{
		return detail::or_throw([&](std::error_code &ec) { return peek(ec); });
	}
	void release(std::error_code &ec) const noexcept
	{
		if (!detail::closed(get(), ec))
			detail::failed(ism_ring_release(get()), ec);
	}
	void release() const
	{
		detail::or_throw([&](std::error_code &ec) { release(ec); });
	}
	/** Wait for a record, or for room for one of @p size bytes. */
	void wait(std::size_t size, timeout t, std::error_code &ec) const noexcept
	{
		if (!detail::closed(get(), ec))
			detail::failed(ism_ring_wait(get(), size, t.count()), ec);
	}
	void wait(std::size_t size = 0, timeout t = forever) const
	{
		detail::or_throw([&](std::error_code &ec) { wait(size, t, ec); });
	}
	/** To poll for reading, lent, after a call said resource_unavailable_try_again.  -1 on failure. */
	int native_handle(std::error_code &ec) const noexcept
	{
		if (detail::closed(get(), ec))
			return -1;
		int fd = ism_ring_fd(get());
		return detail::failed(fd, ec) ? -1 : fd;
	}
	int native_handle() const
	{
		return detail::or_throw([&](std::error_code &ec) { return native_handle(ec); });
	}

private:
	template <class Fn>
	static ring make(Fn fn, const region &in, role r, std::error_code &ec)
	{
		ring made;
		if (detail::closed(in.get(), ec))
			return made;
		auto state = std::make_shared<detail::ring_state>();
		state->region = in.state_;
		if (!detail::failed(fn(in.get(), static_cast<std::uint32_t>(r), nullptr, &state->handle), ec))
			made.state_ = std::move(state);
		return made;
	}

	std::shared_ptr<detail::ring_state> state_;
};

/** What a stream is made with. */
struct stream_options {
	std::size_t capacity = std::size_t{ 1 } << 18;	///< bytes of the ring of each direction
	/** Its ends have descriptors to poll, read_handle() and write_handle(); then every ring goes through the host. */
	bool pollable = false;
};

/**
 * Bytes in both directions, over a pair of rings: what the bindings of all languages speak, see listener.
 *
 * One thread at a time reads, one writes.  Where the peer ends its direction read_some() gives 0 once all is read; a peer
 * that died gives connection_reset to the reader.  Writing to who does not read any more is broken_pipe.
 */
class stream {
public:
	/** None: every call says bad_file_descriptor. */
	stream() noexcept = default;
	/** Over two rings that are there, in two regions: without any greeting. */
	stream(ring reader, ring writer) noexcept : reader_(std::move(reader)), writer_(std::move(writer)) {}
	stream(stream &&other) noexcept { *this = std::move(other); }
	stream &operator=(stream &&other) noexcept
	{
		reader_ = std::move(other.reader_);
		writer_ = std::move(other.writer_);
		record_ = std::exchange(other.record_, {});
		pollable_ = other.pollable_;
		return *this;
	}
	/** Is a direction open? */
	explicit operator bool() const noexcept { return reader_ || writer_; }

	/**
	 * Connect to a listener of any language, whose token this is: connection_refused when it is gone or overrun,
	 * timed_out when it does not accept in time.
	 */
	static stream connect(const device &dev, std::uint64_t listener, timeout t, const stream_options &opts,
			      std::error_code &ec);
	static stream connect(const device &dev, std::uint64_t listener, timeout t = forever,
			      const stream_options &opts = stream_options())
	{
		return detail::or_throw([&](std::error_code &ec) { return connect(dev, listener, t, opts, ec); });
	}

	/**
	 * Read what is there, or wait for some: how many bytes, 0 at the end.  With @p t 0 it does not wait, and says
	 * resource_unavailable_try_again; else timed_out.
	 */
	std::size_t read_some(bytes room, timeout t, std::error_code &ec) noexcept
	{
		detail::deadline end(t);
		if (!reader_ && writer_) {	// shut down: the end, as of a socket
			ec.clear();
			return 0;
		}
		while (record_.empty()) {
			record_ = reader_.peek(ec);
			if (ec == std::errc::resource_unavailable_try_again && t.count() != 0)
				await(reader_, 0, end, ec);	// and look again
			else if (!ec && record_.empty())
				reader_.release(ec);
			if (ec == std::errc::broken_pipe) {
				ec.clear();
				return 0;
			}
			if (ec)
				return 0;
		}
		ec.clear();
		std::size_t n = std::min(room.size(), record_.size());
		if (n > 0)
			std::memcpy(room.data(), record_.data(), n);
		record_ = record_.subspan(n);
		std::error_code ignored;	// a writer that cannot be told of the room: the next wait says it
		if (record_.empty())
			reader_.release(ignored);
		return n;
	}
	std::size_t read_some(bytes room, timeout t = forever)
	{
		return detail::or_throw([&](std::error_code &ec) { return read_some(room, t, ec); });
	}
	/** Write what there is room for, or wait for some: how many bytes.  @p t as in read_some(). */
	std::size_t write_some(const_bytes data, timeout t, std::error_code &ec) noexcept
	{
		detail::deadline end(t);
		if (!writer_ && reader_) {
			detail::refused(EPIPE, ec);
			return 0;
		}
		// Several records in flight, so that both ends can work at once.
		std::size_t n = std::min(data.size(), std::max<std::size_t>(writer_.max_record() / 4, 1));
		bytes room = writer_.reserve(n, ec);
		while (ec == std::errc::resource_unavailable_try_again && t.count() != 0) {
			await(writer_, n, end, ec);
			if (!ec)
				room = writer_.reserve(n, ec);
		}
		if (ec == std::errc::connection_reset)
			detail::refused(EPIPE, ec);
		if (ec)
			return 0;
		if (n > 0)
			std::memcpy(room.data(), data.data(), n);
		std::error_code ignored;	// a reader that sleeps and cannot be woken: the next wait says it
		writer_.commit(n, ignored);
		return n;
	}
	std::size_t write_some(const_bytes data, timeout t = forever)
	{
		return detail::or_throw([&](std::error_code &ec) { return write_some(data, t, ec); });
	}
	/** Write all of it; @p t for each part that has to wait. */
	void write(const_bytes data, timeout t, std::error_code &ec) noexcept
	{
		do
			data = data.subspan(write_some(data, t, ec));
		while (!ec && !data.empty());
	}
	void write(const_bytes data, timeout t = forever)
	{
		detail::or_throw([&](std::error_code &ec) { write(data, t, ec); });
	}

	/** The half close: the peer reads what was written, and then the end. */
	void shutdown_write() noexcept { writer_.close(); }
	/** The peer's writes are broken_pipe from now on. */
	void shutdown_read() noexcept
	{
		record_ = {};
		reader_.close();
	}
	void close() noexcept
	{
		shutdown_write();
		shutdown_read();
	}

	/**
	 * To poll for reading, lent, after read_some() with 0 said resource_unavailable_try_again: whatever the polling
	 * program does then, reading comes first.  operation_not_supported where it is not pollable.  -1 on failure.
	 */
	int read_handle(std::error_code &ec) const noexcept { return handle(reader_, ec); }
	int read_handle() const
	{
		return detail::or_throw([&](std::error_code &ec) { return read_handle(ec); });
	}
	/** The same for write_some(): another descriptor, and also to be polled for reading. */
	int write_handle(std::error_code &ec) const noexcept { return handle(writer_, ec); }
	int write_handle() const
	{
		return detail::or_throw([&](std::error_code &ec) { return write_handle(ec); });
	}

private:
	friend class listener;
	friend struct detail::dialling;

	static void await(const ring &r, std::size_t n, const detail::deadline &end, std::error_code &ec) noexcept
	{
		r.wait(n, end.left(), ec);
		if (ec == std::errc::resource_unavailable_try_again)	// nothing was left of the time
			detail::refused(ETIMEDOUT, ec);
	}
	int handle(const ring &r, std::error_code &ec) const noexcept
	{
		return !r || pollable_ ? r.native_handle(ec) : (detail::refused(EOPNOTSUPP, ec), -1);
	}
	/* Of a pollable stream, before its first look: from here on "try again" also asks the peer to ring. */
	void make_pollable(std::error_code &ec) noexcept
	{
		pollable_ = true;
		if (read_handle(ec) >= 0)
			write_handle(ec);
	}

	ring reader_, writer_;
	const_bytes record_;	// what is left of the record that is being read
	bool pollable_ = false;
};

namespace detail {

/* bindings/conformance.md has the convention. */
inline constexpr char greeting[] = "ISMSTRM1", listening[] = "ISMLSTN1";
inline constexpr std::size_t slots_at = 64, slots_max = 1024;

struct greeting_record {
	char magic[8];
	std::uint64_t token;	// of the other region; not in the answer
};

/* The slots of a listener's region: as many as fit, whatever it says. */
inline span<std::atomic<std::uint64_t>> slots(const region &in) noexcept
{
	auto *said = in.at<std::atomic<std::uint32_t>>(8);
	auto *first = in.at<std::atomic<std::uint64_t>>(slots_at);
	if (said == nullptr || first == nullptr)
		return {};
	std::size_t nr = said->load(std::memory_order_relaxed);
	return { first, std::min({ nr, slots_max, (in.size() - slots_at) / sizeof *first }) };
}

inline std::uint64_t magic_word(const char *magic) noexcept
{
	std::uint64_t word;
	std::memcpy(&word, magic, sizeof word);
	return word;
}

/* A stream that is offered to a listener, until that has answered. */
struct dialling {
	region listener;
	region regions[2];
	stream made;

	~dialling()
	{
		for (auto &slot : slots(listener)) {
			std::uint64_t mine = regions[0].token();
			if (mine != 0 && slot.compare_exchange_strong(mine, 0, std::memory_order_relaxed))
				break;
		}
	}

	/* Two regions that only the listening device may attach: others see its slots, too. */
	void offer(const device &dev, const stream_options &opts, std::error_code &ec)
	{
		auto theirs = dev.referrers(listener.token(), ec);
		auto creator = std::find_if(theirs.begin(), theirs.end(), [](auto &r) { return r.creator != 0; });
		if (ec || refused(creator == theirs.end() ? ECONNREFUSED : 0, ec))
			return;
		auto flags = ISM_ALLOC_PRIVATE | (opts.pollable ? ISM_ALLOC_VECTOR : 0);
		auto both = dev.alloc_many(2, opts.capacity, alloc_options(flags), ec);
		if (ec)
			return;
		for (std::size_t i = 0; i < 2; i++) {
			regions[i] = std::move(both[i]);
			if (!ec && creator->devid != dev.info(ec).devid)
				regions[i].grant(creator->devid, ISM_READ | ISM_WRITE | ISM_ATTACH, ec);
		}
		if (!ec)
			made.writer_ = ring::create(regions[0], ring::role::writer, ec);
		if (!ec)
			made.reader_ = ring::create(regions[1], ring::role::reader, ec);
		greeting_record hello{ {}, regions[1].token() };
		std::memcpy(hello.magic, greeting, sizeof hello.magic);
		if (!ec)
			made.writer_.send({ reinterpret_cast<const std::byte *>(&hello), sizeof hello }, timeout(0), ec);
		if (!ec && opts.pollable)
			made.make_pollable(ec);
	}

	/* Leave the token where the listener finds it, and ring. */
	void put(std::error_code &ec)
	{
		for (auto &slot : slots(listener)) {
			std::uint64_t free = 0;
			if (slot.compare_exchange_strong(free, regions[0].token(), std::memory_order_release,
							 std::memory_order_relaxed)) {
				listener.notify(ec);
				return;
			}
		}
		refused(ECONNREFUSED, ec);
	}

	void await(timeout t, std::error_code &ec)
	{
		constexpr timeout look = std::chrono::milliseconds(100);	// so often whether the listener is there
		deadline end(t);
		std::byte answer[sizeof(greeting_record::magic)];
		for (bool gone = false;;) {
			auto left = gone ? decltype(end.left())(0) : end.left();
			made.reader_.wait(0, left.count() < 0 ? look : std::min(left, look), ec);
			if (!ec) {
				auto n = made.reader_.receive({ answer, sizeof answer }, timeout(0), ec);
				bool right = !ec && n == sizeof answer && std::memcmp(answer, greeting, n) == 0;
				refused(right ? 0 : EPROTO, ec);
				return;
			}
			if (ec != std::errc::timed_out && ec != std::errc::resource_unavailable_try_again)
				return;
			if (gone)
				refused(ECONNREFUSED, ec);
			else if (left.count() == 0)
				refused(ETIMEDOUT, ec);
			else
				listener.wait(timeout(0), ec);
			// One that accepts once answers, and goes: the ring is looked at once more.
			if (ec == std::errc::broken_pipe)
				gone = true;
			else if (ec)
				return;
		}
	}
};

} // namespace detail

inline stream stream::connect(const device &dev, std::uint64_t listener, timeout t, const stream_options &opts,
			      std::error_code &ec)
{
	detail::dialling dial;
	dial.listener = dev.attach(listener, read_write, ec);
	if (ec)
		return {};
	auto *magic = dial.listener.at<const std::atomic<std::uint64_t>>(0);
	// Acquire: what is beside it was written before.
	if (detail::refused(magic != nullptr && magic->load(std::memory_order_acquire) == detail::magic_word(detail::listening) ?
				    0 : EPROTO, ec))
		return {};
	dial.offer(dev, opts, ec);
	if (!ec)
		dial.put(ec);
	if (!ec)
		dial.await(t, ec);
	return ec ? stream() : std::move(dial.made);
}

/** Where streams are connected to, from programs in any language that know its token. */
class listener {
public:
	listener() noexcept = default;
	listener(listener &&) noexcept = default;
	listener &operator=(listener &&) noexcept = default;
	explicit operator bool() const noexcept { return static_cast<bool>(region_); }

	/**
	 * Listen.  @p flags: with ISM_ALLOC_PRIVATE only devices that are granted READ, WRITE and ATTACH on in() can connect.
	 * Of @p opts, `pollable` is for what it accepts.
	 */
	static listener listen(const device &dev, std::uint32_t flags, const stream_options &opts, std::error_code &ec)
	{
		listener l;
		auto in = dev.alloc(1, alloc_options(flags | ISM_ALLOC_VECTOR), ec);
		if (ec)
			return l;
		auto *magic = in.at<std::atomic<std::uint64_t>>(0);
		auto *said = in.at<std::atomic<std::uint32_t>>(8);
		if (detail::refused(magic == nullptr || said == nullptr ? EPROTO : 0, ec))
			return l;
		auto nr = std::min(detail::slots_max, (in.size() - detail::slots_at) / sizeof(std::uint64_t));
		said->store(static_cast<std::uint32_t>(nr), std::memory_order_relaxed);
		// Last: who finds it finds the rest.
		magic->store(detail::magic_word(detail::listening), std::memory_order_release);
		l.dev_ = dev.share();
		l.region_ = std::move(in);
		l.opts_ = opts;
		return l;
	}
	static listener listen(const device &dev, std::uint32_t flags = 0, const stream_options &opts = stream_options())
	{
		return detail::or_throw([&](std::error_code &ec) { return listen(dev, flags, opts, ec); });
	}

	/** What stream::connect() needs: treat it as a password. */
	std::uint64_t token() const noexcept { return region_.token(); }
	const region &in() const noexcept { return region_; }
	void close() noexcept { region_.close(); }
	/** To poll for reading, lent; when it is readable, accept() with 0.  -1 on failure. */
	int native_handle(std::error_code &ec) const noexcept { return region_.native_handle(ec); }
	int native_handle() const
	{
		return detail::or_throw([&](std::error_code &ec) { return native_handle(ec); });
	}

	/**
	 * The next stream: timed_out when there is none in time, and with 0 resource_unavailable_try_again.  Who dials and
	 * breaks the rules is passed over.
	 */
	stream accept(timeout t, std::error_code &ec)
	{
		constexpr timeout look = std::chrono::seconds(1);	// so often whether the host is there
		detail::deadline end(t);
		for (;;) {
			region_.clear(ec);	// before the look: a ring after it makes the descriptor readable
			stream s = ec ? stream() : scan(ec);
			if (s || ec)
				return s;
			auto left = end.left();
			if (left.count() == 0) {
				detail::refused(t.count() == 0 ? EAGAIN : ETIMEDOUT, ec);
				return s;
			}
			pollfd p{ native_handle(ec), POLLIN, 0 };
			if (!ec && poll(&p, 1, detail::milliseconds(left.count() < 0 ? look : std::min(left, look))) == 0)
				region_.peers(ec);
			if (ec)
				return s;
		}
	}
	stream accept(timeout t = forever)
	{
		return detail::or_throw([&](std::error_code &ec) { return accept(t, ec); });
	}

private:
	stream scan(std::error_code &ec)
	{
		for (auto &slot : detail::slots(region_)) {
			if (slot.load(std::memory_order_relaxed) == 0)
				continue;
			// Acquire: what the dialler wrote before it put its token there.
			auto token = slot.exchange(0, std::memory_order_acquire);
			auto s = token != 0 ? take(token, ec) : stream();
			if (s)
				return s;
			for (auto ours : { std::errc::too_many_files_open, std::errc::too_many_files_open_in_system,
					   std::errc::not_enough_memory })
				if (ec == ours)
					return s;
			if (ec.value() == EHOSTDOWN || ec.value() == EOWNERDEAD)
				return s;
			ec.clear();
		}
		return {};
	}

	/* The other end of what a dialler offers. */
	stream take(std::uint64_t token, std::error_code &ec) const
	{
		auto opts = attach_options(opts_.pollable ? ISM_ATTACH_VECTOR : 0);
		detail::greeting_record hello{};
		stream s;
		auto first = dev_.attach(token, read_write, opts, ec);
		if (!ec)
			s.reader_ = ring::attach(first, ring::role::reader, ec);
		std::size_t n = ec ? 0 : s.reader_.receive({ reinterpret_cast<std::byte *>(&hello), sizeof hello }, timeout(0), ec);
		bool right = n == sizeof hello && std::memcmp(hello.magic, detail::greeting, sizeof hello.magic) == 0;
		if (!ec)
			detail::refused(right ? 0 : EPROTO, ec);
		auto second = ec ? region() : dev_.attach(hello.token, read_write, opts, ec);
		if (!ec)
			s.writer_ = ring::attach(second, ring::role::writer, ec);
		if (!ec)
			s.writer_.send({ reinterpret_cast<const std::byte *>(detail::greeting), sizeof hello.magic }, timeout(0), ec);
		if (!ec && opts_.pollable)
			s.make_pollable(ec);
		return ec ? stream() : std::move(s);
	}

	device dev_;
	region region_;
	stream_options opts_;
};

/** A domain of a test's own, with faults; see ism-emu.h. */
class test_domain {
public:
	/** @p faults: such as "alloc:3=ENOSPC"; NULL: $ISM_EMU_FAULTS.  @p flags: ISM_EMU_LOOP. */
	explicit test_domain(std::uint32_t flags = 0, const char *faults = nullptr)
	{
		auto o = detail::sized<ism_emu_opts>();
		o.flags = flags;
		o.faults = faults;
		std::error_code ec;
		ism_emu *emu = nullptr;
		if (detail::failed(ism_emu_start(&o, &emu), ec))
			throw error(ec);
		emu_.reset(emu);
	}
	ism_emu *get() const noexcept { return emu_.get(); }
	const char *uri() const noexcept { return ism_emu_uri(get()); }
	/** The directory of its socket; NULL with ISM_EMU_LOOP. */
	const char *directory() const noexcept { return ism_emu_dir(get()); }
	void set_faults(const char *faults) { check(ism_emu_set_faults(get(), faults)); }
	/** How often a point was passed, and how many faults have happened. */
	std::uint64_t passes(const char *point) const { return count(ism_emu_passes(get(), point)); }
	std::uint64_t fired() const { return count(ism_emu_fired(get())); }
	/** The host dies as if by SIGKILL, and comes back. */
	void kill() { check(ism_emu_kill(get())); }
	void restart() { check(ism_emu_restart(get())); }

private:
	struct stop {
		void operator()(ism_emu *emu) const noexcept { ism_emu_stop(emu); }
	};
	static std::uint64_t count(long long n)
	{
		check(n);
		return static_cast<std::uint64_t>(n);
	}
	static void check(long long r)
	{
		std::error_code ec;
		if (detail::failed(r, ec))
			throw error(ec);
	}

	std::unique_ptr<ism_emu, stop> emu_;
};

} // namespace ism

#endif // ISM_HPP
