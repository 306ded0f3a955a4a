/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * atomics.h - the memory orders that this project uses, by name.
 *
 * Three families: relaxed for counters, acquire/release to publish, and
 * seq_cst read-modify-writes and loads where a store-buffer race must be closed
 * (two sides that each write one word and then read the other's).  There are
 * no fences: the thread sanitizer does not follow them.
 */
#ifndef ISMI_ATOMICS_H
#define ISMI_ATOMICS_H

#include <stdatomic.h>

#define ismi_load_relaxed(p)	  atomic_load_explicit((p), memory_order_relaxed)
#define ismi_store_relaxed(p, v)  atomic_store_explicit((p), (v), memory_order_relaxed)
#define ismi_add_relaxed(p, v)	  atomic_fetch_add_explicit((p), (v), memory_order_relaxed)

#define ismi_load_acquire(p)	  atomic_load_explicit((p), memory_order_acquire)
#define ismi_store_release(p, v)  atomic_store_explicit((p), (v), memory_order_release)

#define ismi_load_seq(p)	  atomic_load_explicit((p), memory_order_seq_cst)
#define ismi_xchg_seq(p, v)	  atomic_exchange_explicit((p), (v), memory_order_seq_cst)
#define ismi_or_seq(p, v)	  atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)
#define ismi_and_seq(p, v)	  atomic_fetch_and_explicit((p), (v), memory_order_seq_cst)
#define ismi_add_seq(p, v)	  atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)

/* Words that two processes share must not hide a lock of one of them. */
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2, "needs lock-free 32 and 64 bit atomics");

/*
 * Bring a line here for writing, in time.  By its instruction, for compilers that
 * do not know that every x86-64 CPU takes it make it a prefetch for reading, which
 * is worse than none.
 */
static inline void ismi_prefetch_write(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/* Tell the CPU that this is a spin loop. */
static inline void ismi_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

#endif /* ISMI_ATOMICS_H */
