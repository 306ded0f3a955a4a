# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# A virtual machine for the tests: QEMU and a kernel from the cache that `fetch`
# fills, an initial file system made here, and a shell in it to run commands with.
# Every wait has a deadline; what does not come within it is an error.

import ctypes
import glob
import json
import lzma
import os
import select
import shutil
import signal
import socket
import subprocess
import time

DEBUG = 'ISM_VM_DEBUG' in os.environ      # a kernel that checks itself, and is slow
DEADLINE = float(os.environ.get('ISM_VM_SECONDS', '300' if DEBUG else '150'))
ACCEL = os.environ.get('ISM_VM_ACCEL', 'tcg')
VIRTIO_ID = os.environ.get('ISM_VM_VIRTIO_ID', '38')

INIT = '''#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs tmp /dev/shm
mount -t tmpfs tmp /tmp
export PATH=/bin HOME=/root TMPDIR=/tmp LD_LIBRARY_PATH=/lib
echo 1 > /proc/sys/kernel/panic_on_oops
for m in /modules/*.ko; do insmod $m || echo "insmod $m failed"; done
stty -F /dev/ttyS1 raw -echo 2>/dev/null || stty raw -echo < /dev/ttyS1
exec < /dev/ttyS1 > /dev/ttyS1 2>&1
echo "<ready>"
while read -r line; do
    eval "$line"
    echo "<done $?>"
done
poweroff -f
'''


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def end_with_us():
    """For a child: no machine outlives the tests, whatever ends them."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# Debian's busybox has none; this one knows `lspci -n` alone.
LSPCI = """#!/bin/busybox sh
for d in /sys/bus/pci/devices/*; do
    echo "${d##*/0000:} $(cut -c3-6 $d/class): $(cut -c3- $d/vendor):$(cut -c3- $d/device) (rev $(cut -c3- $d/revision))"
done
"""


# Linux 6.1 forgets for a moment of its start that it has five levels of page tables: KASAN finds an interrupt then wild.
APPEND = 'console=ttyS0 quiet panic=-1 oops=panic ' + ('no5lvl ' if DEBUG else '')


class MachineError(Exception):
    pass


class Archive:
    """An initial file system, in cpio's "newc" format."""

    def __init__(self):
        self.parts, self.names = [], set()

    def _add(self, name, mode, data=b'', dev=(0, 0)):
        if name in self.names:
            return
        self.names.add(name)
        name_bytes = name.encode() + b'\0'
        fields = (len(self.parts) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, dev[0], dev[1], len(name_bytes), 0)
        head = b'070701' + b''.join(b'%08X' % f for f in fields) + name_bytes
        head += bytes(-len(head) % 4)
        self.parts.append(head + data + bytes(-len(data) % 4))

    def folder(self, name):
        at = ''
        for part in name.strip('/').split('/'):
            at = at + '/' + part if at else part
            self._add(at, 0o40755)

    def file(self, name, data, mode=0o755):
        if os.path.dirname(name):
            self.folder(os.path.dirname(name))
        self._add(name, 0o100000 | mode, data)

    def link(self, name, target):
        self._add(name, 0o120777, target.encode())

    def device(self, name, major, minor):
        self.folder(os.path.dirname(name))
        self._add(name, 0o20600, dev=(major, minor))

    def write(self, path):
        self._add('TRAILER!!!', 0)
        with open(path, 'wb') as out:
            for part in self.parts:
                out.write(part)


def libraries(path):
    """What a program is linked with, as ldd says."""
    text = subprocess.run(['ldd', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    return {word for line in text.splitlines() for word in line.split() if word.startswith('/')}


class Kernel:
    """One of the kernels in the cache; @name is "old", "new", or "debug"."""

    CORE = ('virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci')
    NET = ('failover', 'net_failover', 'virtio_net')

    def __init__(self, cache, name):
        self.root = os.path.join(cache, 'linux-' + name)
        self.name = name
        with open(os.path.join(self.root, 'release')) as f:
            self.release = f.read().strip()
        self.modules = glob.glob(self.root + '/lib/modules/*') + glob.glob(self.root + '/usr/lib/modules/*')
        self.modules = ([m for m in self.modules if os.path.isdir(m + '/kernel')] + [self.root])[0]     # or it has none
        images = glob.glob(self.root + '/boot/vmlinuz-*') + glob.glob(self.modules + '/vmlinuz')
        self.image = images[0]

    def headers(self):
        return os.path.join(self.root, 'usr/src/linux-headers-' + self.release)

    def module(self, name):
        """The bytes of a module, or None if it is built in."""
        for path in glob.glob(self.modules + '/kernel/**/' + name + '.ko*', recursive=True):
            with open(path, 'rb') as f:
                data = f.read()
            return lzma.decompress(data) if path.endswith('.xz') else data
        return None

    def build_driver(self, source, out):
        """Build the driver out of tree; returns the module's path."""
        target = os.path.join(out, 'kmod-' + self.name)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        # What this machine's compiler and tools lack and a module does not need.
        args = ['CC=gcc', 'CROSS_COMPILE=', 'CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=', 'CONFIG_DEBUG_INFO_BTF_MODULES=',
                'KCFLAGS=-Wno-attributes']
        made = subprocess.run(['make', '-s', '-C', target, 'KDIR=' + self.headers(), *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        module = os.path.join(target, 'virtio_ism.ko')
        if made.returncode != 0 or not os.path.exists(module):
            raise MachineError('the driver does not build against %s:\n%s' % (self.release, made.stdout[-6000:]))
        return module, made.stdout


def make_initrd(path, cache, kernel, programs=(), files=(), extra_modules=()):
    """programs: host paths, with the libraries they need; files: (name, bytes)."""
    a = Archive()
    a.file('init', INIT.encode())
    with open(os.path.join(cache, 'busybox/bin/busybox'), 'rb') as f:
        a.file('bin/busybox', f.read())
    a.file('bin/lspci', LSPCI.encode())
    a.device('dev/console', 5, 1)
    a.device('dev/ttyS1', 4, 65)
    a.folder('lib64')
    number = 0
    for name in kernel.CORE + kernel.NET:
        data = kernel.module(name)
        if data is not None:
            a.file('modules/%02d-%s.ko' % (number, name), data)
            number += 1
    for name in extra_modules:
        with open(name, 'rb') as f:
            a.file('drivers/' + os.path.basename(name), f.read())
    for program in programs:
        with open(program, 'rb') as f:
            a.file('bin/' + os.path.basename(program), f.read())
        for lib in libraries(program):
            with open(lib, 'rb') as f:
                a.file(('lib64/' if 'ld-linux' in lib else 'lib/') + os.path.basename(lib), f.read())
    for name, data in files:
        a.file(name, data)
    a.write(path)


class Machine:
    """A running virtual machine; @command is what `ism vm` says, with one device, @more are sockets for others."""

    def __init__(self, command, kernel, initrd, folder, name, more=(), args=(), smp=1, append=''):
        self.name, self.folder = name, folder
        self.console = os.path.join(folder, name + '.console')
        self.log = os.path.join(folder, name + '.qemu')
        shell, monitor = (os.path.join(folder, name + end) for end in ('.shell', '.monitor'))
        listeners = []
        for path in (shell, monitor):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(DEADLINE)
            listeners.append(listener)
        command += ['-nodefaults', '-no-user-config', '-display', 'none', '-smp', str(smp),
                    '-kernel', kernel.image, '-initrd', initrd,
                    '-append', APPEND + append,
                    '-serial', 'file:' + self.console,
                    '-chardev', 'socket,id=shell,path=' + shell, '-serial', 'chardev:shell',
                    '-chardev', 'socket,id=monitor,path=' + monitor, '-mon', 'chardev=monitor,mode=control']
        for i, path in enumerate(more):
            command += ['-chardev', 'socket,id=more%d,path=%s' % (i, path),
                        '-device', 'vhost-user-test-device-pci,chardev=more%d,virtio-id=%s,num_vqs=3,vq_size=64,config_size=32'
                        % (i, VIRTIO_ID)]
        command += args
        with open(self.log, 'wb') as log:
            self.proc = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         preexec_fn=end_with_us)
        try:
            self.shell, self.monitor = (self._accept(x) for x in listeners)
        except BaseException:
            self.kill()
            raise
        finally:
            for listener, path in zip(listeners, (shell, monitor)):
                listener.close()
                os.unlink(path)
        self.buffer = b''

    def _accept(self, listener):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if select.select([listener], [], [], 0.1)[0]:
                return listener.accept()[0]
            if self.proc.poll() is not None:
                break
        raise MachineError('%s did not start: %s' % (self.name, self.said()))

    def said(self):
        """What QEMU and the guest's kernel said last."""
        text = ''
        for path in (self.log, self.console):
            try:
                with open(path, errors='replace') as f:
                    text += '--- %s\n%s\n' % (path, f.read()[-6000:])
            except FileNotFoundError:
                pass
        return text

    def until(self, word, seconds=None):
        """What the shell says up to a line that begins with @word, and that line."""
        end = time.monotonic() + (seconds or DEADLINE)
        word = word.encode()
        while True:
            lines = self.buffer.replace(b'\r', b'').split(b'\n')
            for i, line in enumerate(lines[:-1]):
                at = line.find(word)
                if at >= 0:
                    self.buffer = b'\n'.join(lines[i + 1:])
                    before = lines[:i] + ([line[:at]] if at else [])
                    return b'\n'.join(before).decode(errors='replace'), line[at:].decode()
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.shell], [], [], left)[0]:
                raise MachineError('%s did not say %s within its time: %r\n%s' % (self.name, word, self.buffer[-2000:], self.said()))
            data = self.shell.recv(65536)
            if not data:
                raise MachineError('%s has ended: %r\n%s' % (self.name, self.buffer[-2000:], self.said()))
            self.buffer += data

    def ready(self, seconds=None):
        self.until('<ready>', seconds)
        return self

    def start(self, command):
        self.shell.sendall(command.encode() + b'\n')

    def finish(self, seconds=None):
        """The status and the output of what was started."""
        text, line = self.until('<done ', seconds)
        return int(line[6:-1]), text

    def run(self, command, seconds=None):
        self.start(command)
        return self.finish(seconds)

    def must(self, command, seconds=None):
        status, text = self.run(command, seconds)
        if status != 0:
            raise MachineError('%s: "%s" ended with %d: %s\n%s' % (self.name, command, status, text, self.said()))
        return text

    def qmp(self, execute, **arguments):
        """A command to QEMU itself; returns its answer."""
        if not getattr(self, 'greeted', False):
            self.monitor.settimeout(DEADLINE)
            self.lines = self.monitor.makefile('rb')
            json.loads(self.lines.readline())
            self.greeted = True
            self.qmp('qmp_capabilities')
        self.monitor.sendall(json.dumps({'execute': execute, 'arguments': arguments}).encode() + b'\n')
        while True:
            line = self.lines.readline()
            if not line:
                raise MachineError('%s: QEMU has ended: %s' % (self.name, self.said()))
            answer = json.loads(line)
            if 'return' in answer:
                return answer['return']
            if 'error' in answer:
                raise MachineError('%s: %s: %s' % (self.name, execute, answer['error']['desc']))

    def alive(self):
        return self.proc.poll() is None

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait(DEADLINE)
        for name in ('shell', 'monitor'):
            if getattr(self, name, None) is not None:
                getattr(self, name).close()

    def poweroff(self):
        """An orderly end."""
        self.start('poweroff -f')
        self.proc.wait(DEADLINE)
        self.kill()
