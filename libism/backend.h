/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copyright (c) 2026 the libism authors
 *
 * backend.h - what a backend provides, and what the core promises it.
 *
 * A backend connects one struct ism_device to whatever stands behind it.  The
 * core checks arguments and handles, maps memory, keeps regions and events, and
 * waits; a backend speaks to the device and delivers what arrives.  Rights
 * are the device's to enforce: what runs in the caller's process can be bypassed.
 *
 * Locks, outermost first: device.lock (control), device.bell (doorbells and
 * events).  Each entry says which of them the core holds.
 */
#ifndef ISMI_BACKEND_H
#define ISMI_BACKEND_H

#include <ism.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ismi_ref;
struct ismi_command;
struct ismi_pooled;

enum { ISMI_BACKEND_VERSION = 1 };

/* Memory of a region, as a descriptor: a backend never passes a pointer from a peer. */
struct ismi_memory {
	uint64_t token;
	uint64_t offset;	/* in the device's window */
	uint64_t size, requested;
	uint64_t event_from;	/* events recorded before this one are about an earlier life */
	uint32_t slot;		/* small number, unique among the device's regions */
	uint32_t rights;	/* all that the device may do */
	uint32_t peers;		/* other referrers now */
	int fd;			/* to map from; the core's to close */
	uint64_t fd_offset;	/* where the region begins there */
	uint64_t keep;		/* id of memory whose mapping may be kept when it is let go of; 0 */
	bool have;		/* the device says that we have kept it, and gives no descriptor */
};

struct ismi_alloc {
	uint64_t size;		/* whole chunks */
	uint64_t requested;
	bool private;		/* default rights none */
	bool huge;		/* hugetlb pages, or -EOPNOTSUPP */
	uint64_t peer;		/* pooled: the device that is granted all but MANAGE; 0 */
	struct ismi_pooled *const *reuse;	/* for each region its memory, NULL: a new one's; or NULL */
};

/* A reference that ends. */
struct ismi_leave {
	uint64_t token;
	/* Pooled, and the peer has let go: it becomes the next one, if that can be.  Out: false if others have its memory still. */
	bool renew;
	uint64_t next;		/* out: the next one's token; 0: it has gone */
	uint64_t event_from;	/* out: as of the next one's memory */
};

struct ismi_backend {
	size_t size;		/* of this structure: the core refuses a table it cannot read */
	const char *name;
	uint32_t version;

	/*
	 * Connect.  @address: what follows "scheme:", "" for the default.  Fills
	 * dev->priv and dev->info; may add descriptors to dev->epfd.  No locks.  On
	 * failure nothing is left.
	 */
	int (*open)(struct ism_device *dev, const char *address, const struct ism_open_opts *opts);
	/*
	 * Disconnect and free dev->priv.  No locks, no other call runs.  @forked:
	 * this is a child of the process that opened the device: free memory, and
	 * touch nothing that the parent shares.
	 */
	void (*close)(struct ism_device *dev, bool forked);

	/*
	 * Control.  All: device.lock held, may block up to dev->timeout_ns, errors as
	 * the public call has them, ret untouched on failure.
	 */
	int (*alloc)(struct ism_device *dev, const struct ismi_alloc *want, uint32_t nr, struct ismi_memory *ret);
	bool one_kernel;	/* no device of this kind is in a virtual machine: membarrier(2) reaches its peers of the same kind */
	bool own_memory;	/* memory that attach gives was made by this process: there is nothing to check */
	bool pools;		/* alloc knows want.peer and want.reuse */
	bool keeps;		/* attach_many: mappings may be kept, as it says when they have to go */
	int (*attach)(struct ism_device *dev, uint64_t token, uint32_t rights, struct ismi_memory *ret);
	void (*detach)(struct ism_device *dev, uint64_t token);
	/*
	 * Up to ISMI_BATCH_MAX at once; NULL: one by one, and none is renewed.
	 * attach_many: all or none; -EOPNOTSUPP: one by one.
	 */
	int (*attach_many)(struct ism_device *dev, const uint64_t *tokens, uint32_t nr, uint32_t rights,
			   struct ismi_memory *ret);
	void (*detach_many)(struct ism_device *dev, struct ismi_leave *leave, uint32_t nr);
	/* A successor of a region, of want->size, which is the region's. */
	int (*replace)(struct ism_device *dev, uint64_t token, const struct ismi_alloc *want, struct ismi_memory *ret);
	/* Its token, and how many other devices go over or have done so; -ENOENT: none for this device. */
	int (*successor)(struct ism_device *dev, uint64_t token, uint64_t *ret_token, uint32_t *ret_others);
	/* A successor of a region of others, without @nr of them, for reading. */
	int (*shut_out)(struct ism_device *dev, uint64_t token, const uint64_t *devid, size_t nr, struct ismi_memory *ret);
	/* @devid 0: the default. */
	int (*grant)(struct ism_device *dev, uint64_t token, uint64_t devid, uint32_t rights);
	/* Other referrers: fills up to @nr, returns how many there are. */
	int (*peers)(struct ism_device *dev, uint64_t token, uint64_t *ret_devids, size_t nr);
	/* A descriptor that becomes readable when this region rings; the core's to close. */
	int (*vector)(struct ism_device *dev, uint64_t token, bool on, int *ret_fd);
	/* Send the bytes of a control command: backends whose device takes them. */
	int (*command)(struct ism_device *dev, struct ismi_command *command);
	/* Work that poll() found and could not do under the bell lock. */
	void (*housekeep)(struct ism_device *dev);

	/* Ring the other referrers of a region.  No locks; any thread. */
	int (*notify)(struct ism_device *dev, struct ismi_ref *ref);

	/*
	 * Doorbells and events.  All: device.bell held, no system call but in fired.
	 *
	 * poll: deliver what has arrived, with ismi_deliver_*().
	 * arm: ask to be woken through dev->epfd by what arrives from now on;
	 *      false if something has arrived already.
	 * disarm: no need to wake us.
	 * fired: a descriptor in dev->epfd that open() or housekeep() added
	 *      with @data is ready: take the wake-up.
	 * reachable: can anybody ring this region, now that the host is gone?
	 * ref_end: free ref->priv.
	 */
	void (*poll)(struct ism_device *dev);
	bool (*arm)(struct ism_device *dev);
	void (*disarm)(struct ism_device *dev);
	void (*fired)(struct ism_device *dev, uint64_t data, uint32_t events);
	bool (*reachable)(struct ism_device *dev, const struct ismi_ref *ref);
	void (*ref_end)(struct ism_device *dev, struct ismi_ref *ref);

	/*
	 * For tests (ism-emu.h): the host dies, and the device finds out as it
	 * would if the host had been killed.  device.bell may be held.  Only of
	 * backends whose host can be within this process.
	 */
	void (*die)(struct ism_device *dev);
};

extern const struct ismi_backend ismi_backend_loop;
extern const struct ismi_backend ismi_backend_emu;
extern const struct ismi_backend ismi_backend_kdev;

#endif /* ISMI_BACKEND_H */
