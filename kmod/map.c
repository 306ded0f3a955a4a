// SPDX-License-Identifier: BSD-2-Clause
/*
 * Copyright (c) 2026 the libism authors
 *
 * map.c - regions in a process's address space.
 *
 * Pages are put in at the fault, and only while the context has the region with
 * the right for it: so a detach, or the end of the device, can take them out again.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "virtio_ism.h"

/* The attachment that has this offset. */
static struct ism_att *area_find(const struct ism_context *ctx, u64 offset)
{
	struct rb_node *n = ctx->areas.rb_node;

	while (n) {
		struct ism_att *att = rb_entry(n, struct ism_att, area);

		if (offset < att->offset)
			n = n->rb_left;
		else if (offset - att->offset >= att->size)
			n = n->rb_right;
		else
			return att;
	}
	return NULL;
}

int ism_area_add(struct ism_att *att)
{
	struct ism_context *ctx = att->ctx;
	struct rb_node **link = &ctx->areas.rb_node, *parent = NULL;
	int err = 0;

	down_write(&ctx->areas_lock);
	while (*link) {
		const struct ism_att *other = rb_entry(*link, struct ism_att, area);

		parent = *link;
		if (att->offset + att->size <= other->offset) {
			link = &parent->rb_left;
		} else if (other->offset + other->size <= att->offset) {
			link = &parent->rb_right;
		} else {
			err = -EPROTO;	/* the host gave a place twice */
			goto out;
		}
	}
	rb_link_node(&att->area, parent, link);
	rb_insert_color(&att->area, &ctx->areas);
out:
	up_write(&ctx->areas_lock);
	return err;
}

void ism_area_del(struct ism_att *att)
{
	struct ism_context *ctx = att->ctx;

	down_write(&ctx->areas_lock);
	rb_erase(&att->area, &ctx->areas);
	up_write(&ctx->areas_lock);
	/* Other contexts' mappings of the same part come back by faults. */
	unmap_mapping_range(ctx->mapping, att->offset, att->size, 1);
}

/* All of the fault's chunk that the mapping and the region have. */
static vm_fault_t insert_around(struct vm_fault *vmf, const struct ism_att *att)
{
	const struct ism_device *dev = att->ctx->dev;
	struct vm_area_struct *vma = vmf->vma;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT, begin = max(offset & ~(dev->chunk - 1), att->offset);
	u64 end = min(begin + dev->chunk, att->offset + att->size), vma_at = (u64)vma->vm_pgoff << PAGE_SHIFT;
	vm_fault_t ret = vmf_insert_pfn(vma, vmf->address & PAGE_MASK, (dev->window_phys + offset) >> PAGE_SHIFT);

	begin = max(begin, vma_at);
	end = min(end, vma_at + (vma->vm_end - vma->vm_start));
	for (u64 at = begin; at < end && ret == VM_FAULT_NOPAGE; at += PAGE_SIZE) {
		/* The rest is for speed: what cannot be had now comes with its own fault. */
		if (vmf_insert_pfn(vma, vma->vm_start + (at - vma_at), (dev->window_phys + at) >> PAGE_SHIFT) !=
		    VM_FAULT_NOPAGE)
			break;
	}
	return ret;
}

static vm_fault_t ism_fault(struct vm_fault *vmf)
{
	struct ism_context *ctx = vmf->vma->vm_file->private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	const struct ism_att *att;

	down_read(&ctx->areas_lock);
	att = area_find(ctx, (u64)vmf->pgoff << PAGE_SHIFT);
	if (att && !(vmf->vma->vm_flags & VM_WRITE && !(att->rights & ISM_WRITE)))
		ret = insert_around(vmf, att);
	up_read(&ctx->areas_lock);
	return ret;
}

static const struct vm_operations_struct ism_vm_ops = {
	.fault = ism_fault,
};

static void add_flags(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

static int map_status(struct ism_context *ctx, struct vm_area_struct *vma, u64 size)
{
	if (size != PAGE_SIZE)
		return -EINVAL;
	if (vma->vm_flags & VM_WRITE)
		return -EACCES;
	add_flags(vma, 0, VM_MAYWRITE);
	return remap_vmalloc_range(vma, ctx->status, 0);
}

int ism_mmap(struct file *file, struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT, size = vma->vm_end - vma->vm_start;
	struct ism_context *ctx = file->private_data;
	const struct ism_att *att;
	int err = 0;

	if (offset == ISM_IOC_STATUS_OFFSET)
		return map_status(ctx, vma, size);
	down_read(&ctx->areas_lock);
	att = area_find(ctx, offset);
	if (!att)
		err = -ENXIO;
	else if (size > att->offset + att->size - offset)
		err = -EINVAL;
	else if (vma->vm_flags & VM_WRITE && !(att->rights & ISM_WRITE))
		err = -EACCES;
	else if (!(att->rights & ISM_WRITE))
		add_flags(vma, 0, VM_MAYWRITE);
	up_read(&ctx->areas_lock);
	if (err)
		return err;
	/* A private copy of shared memory is of no use, and pages without a struct page cannot be copied. */
	if ((vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE)
		return -EINVAL;
	add_flags(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP, 0);
	vma->vm_ops = &ism_vm_ops;
	return 0;
}
