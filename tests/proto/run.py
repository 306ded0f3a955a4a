# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# Runs the test_*.py beside it.  Arguments: words; only tests whose name has one
# of them are run.  The last line is "N passed, N failed, N skipped".

import faulthandler
import os
import sys
import time
import unittest

WATCHDOG = 3000     # seconds: every wait has a deadline of its own, this is for what nobody thought of


class Result(unittest.TestResult):
    """One line per test."""

    def __init__(self):
        super().__init__()
        self.failed = set()
        self.passed = 0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        skipped = any(test is t for t, _ in self.skipped)
        if test.id() not in self.failed and not skipped:
            self.passed += 1
            print('ok   %-90s %6.2f s' % (test.id(), time.monotonic() - self.began), flush=True)

    def _fail(self, test, error):
        self.failed.add(test.id())
        print('FAIL %s\n%s' % (test.id(), self._exc_info_to_string(error, test)), flush=True)

    def addError(self, test, err):
        self._fail(test, err)

    def addFailure(self, test, err):
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.failed.add(test.id())
            print('FAIL %s\n%s' % (subtest.id(), self._exc_info_to_string(err, test)), flush=True)

    def addUnexpectedSuccess(self, test):
        self.failed.add(test.id())
        print('FAIL %s: succeeded where it must not' % test.id(), flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print('SKIP: %s (%s)' % (reason, test.id()), flush=True)


def tests_in(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_in(test)
        else:
            yield test


def run(suite):
    """Run what a suite has, say how it went, and return an exit status."""
    words = sys.argv[1:]
    faulthandler.dump_traceback_later(WATCHDOG, exit=True)
    result = Result()
    unittest.TestSuite(t for t in tests_in(suite) if not words or any(w in t.id() for w in words)).run(result)
    print('%d passed, %d failed, %d skipped' % (result.passed, len(result.failed), len(result.skipped)), flush=True)
    return 1 if result.failed or result.passed == 0 else 0


if __name__ == '__main__':
    here = os.path.dirname(os.path.abspath(__file__))
    sys.exit(run(unittest.defaultTestLoader.discover(here, pattern='test_*.py')))
