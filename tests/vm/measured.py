# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# What commands, doorbells and copying cost in a process and in a machine, and TCP
# between two machines beside that.

import gzip
import os
import unittest

from rig import Case, eventually
from machine import ACCEL, DEBUG


def vsock():
    """Why AF_VSOCK is not measured beside it."""
    if os.access('/dev/vhost-vsock', os.R_OK | os.W_OK):
        return 'there is /dev/vhost-vsock; not measured'
    if os.path.exists('/dev/vhost-vsock'):
        return 'not measured: this user may not use /dev/vhost-vsock'
    why = 'is its module loaded?'
    try:
        with gzip.open('/proc/config.gz', 'rt') as f:
            if '# CONFIG_VHOST_VSOCK is not set' in f.read():
                why = 'this kernel (Linux %s) was built without CONFIG_VHOST_VSOCK' % os.uname().release
    except OSError:
        pass
    return 'not measured: no /dev/vhost-vsock: ' + why


@unittest.skipIf(DEBUG, 'a kernel that checks itself is not measured')
class T7Measured(Case):
    """Reported, and not held to anything."""

    def doorbell(self, x, y, ring, answer, nr=200):
        """Microseconds that each took, between device "d" of @x and of @y."""
        token, = x.do('alloc bell d 65536')
        y.do('attach bell d ' + token)
        y.tell('%s bell %d' % (answer, nr))
        took, = x.do('%s bell %d' % (ring, nr))
        y.answer(answer)
        y.do('detach bell')
        x.do('detach bell')
        return int(took) / 1000

    def copy(self, x):
        """MB/s into a region of 8 MiB that another has attached."""
        x.do('alloc big d 8388608')
        rate, = x.do('copy big')
        x.do('detach big')
        return int(rate)

    def pair(self):
        """Two machines of the same kernel, with a network of their own."""
        net = os.path.join(self.rig.folder, 'net')
        actors, others = [], len(self.rig.machine_devices())
        # Last of all; the tests behind this one count devices.
        self.addCleanup(eventually, lambda: len(self.rig.machine_devices()) == others, 'both have gone')
        for i, (name, how) in enumerate((('p', 'server=on'), ('q', 'server=off'))):
            network = ['-netdev', 'stream,id=n0,%s,addr.type=unix,addr.path=%s' % (how, net),
                       '-device', 'virtio-net-pci,netdev=n0,romfile=']
            m = self.rig.machine(name, 'old', args=network)
            self.addCleanup(m.kill)
            self.rig.driver(m)
            m.must('ifconfig eth0 10.0.0.%d netmask 255.255.255.0 up' % (i + 1))
            actors.append(self.guest(m, 'd'))
        return actors

    def test_beside_tcp(self):
        p, q = self.pair()
        h, g = self.host('d'), self.host('d')
        how = 'under KVM' if ACCEL != 'tcg' else 'without KVM (with it: ISM_VM_ACCEL=kvm ./check.sh vm)'
        calls = [int(x.do('calls d 100')[0]) / 1000 for x in (h, p)]
        pairs = ((h, g), (h, p), (p, h), (p, q))
        bells = [self.doorbell(*x, 'bounce', 'pong') for x in pairs]
        # Until the one that rang, and looks all the time, sees what the other, woken by it, has stored.
        ways = [self.doorbell(*x, 'ring-look', 'store') for x in pairs]
        rates = [self.copy(x) for x in (h, p)]
        q.tell('tcp-serve')
        tcp_bell, tcp_rate = int(p.do('tcp-bounce 10.0.0.2 200')[0]) / 1000, int(p.do('tcp-copy 10.0.0.2')[0])
        q.answer('tcp-serve')
        for line in ('machines run ' + how,
                     'alloc and detach: %.0f us in a process, %.0f us in a machine' % tuple(calls),
                     'doorbell there and back: %.0f us process-process, %.0f us process-machine, %.0f us machine-process'
                     % tuple(bells[:3]),
                     'doorbell one way: %.0f us process-process, %.0f us process-machine, %.0f us machine-process, '
                     '%.0f us machine-machine' % tuple(ways),
                     'machine-machine: %.0f us; a byte there and back by TCP over virtio-net: %.0f us' % (bells[3], tcp_bell),
                     'copying into a region: %d MB/s in a process, %d MB/s in a machine; by TCP machine-machine %d MB/s'
                     % (*rates, tcp_rate),
                     'AF_VSOCK beside it: ' + vsock()):
            print('MEASURED: ' + line, flush=True)
