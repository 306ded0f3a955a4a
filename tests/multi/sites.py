# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
#
# sites.py SOURCE-DIR SITES-FILE - compare the places that made a system call
# while check_failpoints ran (failpoint_sites_write()) with those in the source.
# Each has to be among them, or in sites.txt with the reason why not.

import fnmatch
import os
import re
import subprocess
import sys

source, sites_file = sys.argv[1:]
# Where the calls themselves are: sys.c, sys-files.c, ...
SYS = re.compile(r'libism/base/sys(-\w+)?\.c$')
CALL = re.compile(r'\bismi_(sys_\w+)\(')
# Where it begins: at the first column, and not a declaration.
FUNCTION = re.compile(r'^[a-z].*?\b(\w+)\([^;]*$')


def in_source():
    """{(file, function, call): [line, ...]}"""
    found = {}
    for top in ('libism', 'libism-emu'):
        for folder, _, names in os.walk(os.path.join(source, top)):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), source)
                if not name.endswith('.c') or SYS.match(path):
                    continue
                function = None
                with open(os.path.join(source, path), encoding='utf-8') as f:
                    for number, line in enumerate(f, 1):
                        begins = FUNCTION.match(line)
                        if begins:
                            function = begins.group(1)
                        for call in CALL.findall(line):
                            found.setdefault((path, function, call), []).append(number)
    return found


def symbols(program, addresses):
    """{address: [(function, file, line), ...]}, the innermost of inlined ones first"""
    out = subprocess.run(['addr2line', '-e', program, '-a', '-f', '-i'], input='\n'.join(addresses), text=True,
                         capture_output=True, check=True).stdout.splitlines()
    result, at = {}, None
    i = 0
    while i < len(out):
        if out[i].startswith('0x'):
            at = int(out[i], 16)
            result[at] = []
            i += 1
            continue
        path, _, line = out[i + 1].partition(' ')[0].rpartition(':')
        result[at].append((out[i], os.path.normpath(path), int(line) if line.isdigit() else 0))
        i += 2
    return result


def reached():
    """{(file, call): {line, ...}}"""
    stacks = {}
    with open(sites_file, encoding='utf-8') as f:
        for line in f:
            program, *frames = line.split()
            stacks.setdefault(program, set()).add(tuple(frames))
    found = {}
    for program, lists in stacks.items():
        known = symbols(program, sorted({a for frames in lists for a in frames}))
        for frames in lists:
            call = None
            for address in frames:
                chain = known[int(address, 16)]
                inner, outer = chain[0], chain[-1]
                if SYS.search(inner[1]):
                    call = outer[0]
                    continue
                # The last of them: what lies above may well be called libism, too.
                path = inner[1]
                path = path[max(path.rfind(top) for top in ('/libism/', '/libism-emu/')) + 1:]
                if call is not None:
                    found.setdefault((path, call.replace('ismi_', '', 1)), set()).add(inner[2])
                break
    return found


def excused():
    """[((file, function, call), reason), ...]: the first three may have wildcards"""
    found = []
    with open(os.path.join(source, 'tests/multi/sites.txt'), encoding='utf-8') as f:
        for line in f:
            words = line.split(None, 3)
            if words and not line.startswith('#'):
                found.append((tuple(words[:3]), words[3].strip()))
    return found


def matches(pattern, key):
    return all(fnmatch.fnmatchcase(k, p) for k, p in zip(key, pattern))


def main():
    sites, got, excuses = in_source(), reached(), excused()
    missing, seen, total = [], 0, 0
    for (path, function, call), lines in sorted(sites.items()):
        for line in lines:
            total += 1
            # The return address may belong to another line of the same statement.
            if any(line - 1 <= at <= line + 3 for at in got.get((path, call), ())):
                seen += 1
            else:
                missing.append((path, line, function, call))
    wrong = 0
    for path, line, function, call in missing:
        why = next((reason for pattern, reason in excuses if matches(pattern, (path, function, call))), None)
        print('%s:%d: %s: %s not reached: %s' % (path, line, function, call, why or 'why? (tests/multi/sites.txt)'))
        wrong += why is None
    stale = [pattern for pattern, _ in excuses if not any(matches(pattern, key) for key in sites)]
    for pattern in stale:
        print('tests/multi/sites.txt: %s %s %s: there is no such call any more' % pattern)
    print('system calls: %d places in the code, %d reached, %d excused, %d not' % (total, seen, len(missing) - wrong, wrong))
    return 1 if wrong or stale else 0


sys.exit(main())
