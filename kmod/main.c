// SPDX-License-Identifier: BSD-2-Clause
/*
 * Copyright (c) 2026 the libism authors
 *
 * main.c - virtio-ism: a guest's driver for the internal shared memory device.
 */
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>
#include <linux/workqueue.h>

#include "virtio_ism.h"

enum { ISM_VIRTIO_ID = 44, ISM_F_EXT = 1, ISM_SHM_WINDOW = 1 };

static unsigned int virtio_id;
module_param(virtio_id, uint, 0444);
MODULE_PARM_DESC(virtio_id, "also take devices with this virtio id, for hosts that cannot offer 44");

static DEFINE_IDA(numbers);

/* ------------------------------------------------------------------ life of a device */

static void device_free(struct kref *kref)
{
	struct ism_device *dev = container_of(kref, struct ism_device, kref);

	ida_free(&numbers, dev->number);
	kfree(dev->request);
	kfree(dev->reply);
	kfree(dev->records);
	kfree(dev->notify);
	kfree(dev);
}

void ism_device_put(struct ism_device *dev)
{
	kref_put(&dev->kref, device_free);
}

static struct ism_device *device_new(struct virtio_device *vdev)
{
	struct ism_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	kref_init(&dev->kref);
	dev->vdev = vdev;
	mutex_init(&dev->control);
	init_completion(&dev->replied);
	spin_lock_init(&dev->lock);
	hash_init(dev->refs);
	INIT_LIST_HEAD(&dev->contexts);
	INIT_LIST_HEAD(&dev->ringing);
	dev->number = ida_alloc(&numbers, GFP_KERNEL);
	/* Buffers that the host writes have no neighbours of ours in their cache lines. */
	dev->request = kzalloc(ISM_REQUEST_MAX, GFP_KERNEL);
	dev->reply = kzalloc(ISM_REPLY_MAX, GFP_KERNEL);
	dev->records = kcalloc(ISM_BUFFERS, ISM_RECORD, GFP_KERNEL);
	dev->notify = kcalloc(ISM_NOTIFIES, sizeof(*dev->notify), GFP_KERNEL);
	if (dev->number < 0 || !dev->request || !dev->reply || !dev->records || !dev->notify) {
		if (dev->number < 0)
			dev->number = ida_alloc(&numbers, GFP_KERNEL | __GFP_NOFAIL);
		ism_device_put(dev);
		return NULL;
	}
	return dev;
}

static u64 config64(struct virtio_device *vdev, unsigned int offset)
{
	__le64 v;

	vdev->config->get(vdev, offset, &v, sizeof(v));
	return le64_to_cpu(v);
}

static int read_config(struct ism_device *dev)
{
	struct virtio_device *vdev = dev->vdev;
	struct virtio_shm_region window;

	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1) || !virtio_has_feature(vdev, ISM_F_EXT)) {
		dev_err(&vdev->dev, "the host's device lacks feature bit 1 (ismd offers it): this driver needs it\n");
		return -ENODEV;
	}
	if (!virtio_get_shm_region(vdev, &window, ISM_SHM_WINDOW)) {
		dev_err(&vdev->dev, "no shared memory region %d\n", ISM_SHM_WINDOW);
		return -ENODEV;
	}
	dev->window_phys = window.addr;
	dev->window_size = window.len;
	dev->gid = config64(vdev, 0);
	dev->devid = config64(vdev, 8);
	dev->chunk = config64(vdev, 16);
	if (!dev->devid || !is_power_of_2(dev->chunk) || dev->chunk < PAGE_SIZE || dev->chunk > dev->window_size) {
		dev_err(&vdev->dev, "device %llu with chunks of %llu bytes in a window of %llu\n", dev->devid, dev->chunk,
			dev->window_size);
		return -ENODEV;
	}
	return 0;
}

static int start(struct ism_device *dev)
{
	int err = read_config(dev);

	if (!err)
		err = ism_queues_find(dev);
	if (err)
		return err;
	virtio_device_ready(dev->vdev);
	return ism_queues_start(dev);
}

static void stop(struct ism_device *dev)
{
	ism_region_lose_all(dev);
	if (dev->running)
		ism_queues_stop(dev);
}

/* The machine goes down in good order: others are told, as a reset alone would not. */
static int on_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	struct ism_device *dev = container_of(nb, struct ism_device, reboot);

	mutex_lock(&dev->control);
	ism_region_lose_all(dev);
	mutex_unlock(&dev->control);
	return NOTIFY_DONE;
}

/* ------------------------------------------------------------------ driver */

static int ism_probe(struct virtio_device *vdev)
{
	struct ism_device *dev = device_new(vdev);
	int err;

	if (!dev)
		return -ENOMEM;
	vdev->priv = dev;
	err = start(dev);
	if (err)
		goto err_put;
	snprintf(dev->name, sizeof(dev->name), "ism%d", dev->number);
	dev->misc = (struct miscdevice){
		.minor = MISC_DYNAMIC_MINOR,
		.name = dev->name,
		.fops = &ism_fops,
		.parent = &vdev->dev,
		.mode = 0660,
	};
	err = misc_register(&dev->misc);
	if (err)
		goto err_stop;
	dev->reboot.notifier_call = on_reboot;
	register_reboot_notifier(&dev->reboot);
	dev_info(&vdev->dev, "%s: domain %016llx, device %llu, window of %llu MiB\n", dev->name, dev->gid, dev->devid,
		 dev->window_size >> 20);
	return 0;

err_stop:
	mutex_lock(&dev->control);
	stop(dev);
	mutex_unlock(&dev->control);
err_put:
	ism_device_put(dev);
	return err;
}

static void ism_remove(struct virtio_device *vdev)
{
	struct ism_device *dev = vdev->priv;

	unregister_reboot_notifier(&dev->reboot);
	misc_deregister(&dev->misc);
	mutex_lock(&dev->control);
	stop(dev);
	dev->vdev = NULL;
	mutex_unlock(&dev->control);
	ism_device_put(dev);
}

/* The host is another one: it tells by a new id. */
static void ism_config_changed(struct virtio_device *vdev)
{
	struct ism_device *dev = vdev->priv;

	if (config64(vdev, 8) != dev->devid)
		dev_warn(&vdev->dev, "the host has been restarted: bind the driver anew\n");
}

#ifdef CONFIG_PM_SLEEP
static int ism_freeze(struct virtio_device *vdev)
{
	struct ism_device *dev = vdev->priv;

	mutex_lock(&dev->control);
	stop(dev);
	mutex_unlock(&dev->control);
	return 0;
}

static int ism_restore(struct virtio_device *vdev)
{
	struct ism_device *dev = vdev->priv;
	int err;

	mutex_lock(&dev->control);
	err = start(dev);
	mutex_unlock(&dev->control);
	return err;
}
#endif

static struct virtio_device_id ids[] = {
	{ ISM_VIRTIO_ID, VIRTIO_DEV_ANY_ID },
	{ 0, VIRTIO_DEV_ANY_ID },	/* the parameter */
	{ 0 },
};

static const unsigned int features[] = { ISM_F_EXT };

static struct virtio_driver ism_driver = {
	.driver.name = "virtio_ism",
	.id_table = ids,
	.feature_table = features,
	.feature_table_size = ARRAY_SIZE(features),
	.probe = ism_probe,
	.remove = ism_remove,
	.config_changed = ism_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = ism_freeze,
	.restore = ism_restore,
#endif
};

static int __init ism_init(void)
{
	ids[1].device = virtio_id;
	return register_virtio_driver(&ism_driver);
}

static void __exit ism_exit(void)
{
	unregister_virtio_driver(&ism_driver);
	ida_destroy(&numbers);
}

module_init(ism_init);
module_exit(ism_exit);

MODULE_DEVICE_TABLE(virtio, ids);
MODULE_DESCRIPTION("virtio-ism: regions of memory shared with other machines and processes of the host");
MODULE_AUTHOR("the libism authors");
MODULE_LICENSE("Dual BSD/GPL");
