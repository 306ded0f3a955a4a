# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# What the tests of the ism command share: running it, and a domain to run it in.

import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'proto'))

import run                                                                      # noqa: E402
from daemon import DaemonCase, clean_env, eventually                            # noqa: E402,F401
from ismwire import DEADLINE                                                    # noqa: E402,F401

ISM = os.path.abspath(os.environ.get('ISM_TEST_ISM') or './ism')
OK, FAILED, USAGE = 0, 1, 2


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return 'status %d\n%s%s' % (self.status, self.out, self.err)


def ism(*args, stdin='', env=None, stdout=subprocess.PIPE):
    """Run ism to its end."""
    done = subprocess.run([ISM, *args], input=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True,
                          env=clean_env(**(env or {})), timeout=3 * DEADLINE, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


class ToolCase(DaemonCase):
    """ism in the domain of a daemon of one's own."""

    def __init__(self, *args):
        super().__init__(*args)
        self.maxDiff = None

    @property
    def uri(self):
        return 'emu:' + self.daemon.path

    def ism(self, *args, **kwargs):
        return ism(args[0], '--device', self.uri, *args[1:], **kwargs)

    def good(self, *args, **kwargs):
        """It must succeed and say nothing on standard error; its standard output."""
        result = self.ism(*args, **kwargs)
        self.assertEqual((result.status, result.err), (OK, ''), result)
        return result.out

    def json(self, *args, **kwargs):
        return json.loads(self.good(*args, '--json', **kwargs))

    def bad(self, status, text, *args, **kwargs):
        """It must fail with this status, say this, and print nothing."""
        result = self.ism(*args, **kwargs)
        self.assertEqual((result.status, result.out), (status, ''), result)
        self.assertIn(text, result.err)
        return result.err


def main():
    # What starts a test in the background ignores some of them, and a tool that is started so leaves them ignored.
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    sys.exit(run.run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules['__main__'])))
