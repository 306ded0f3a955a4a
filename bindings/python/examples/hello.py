# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""Two processes share memory by token: where to start from.

Output:
#> the child attached 1048576 bytes and says: hello through shared memory
#> and answers: HELLO THROUGH SHARED MEMORY
"""

import multiprocessing

import ism


def child(ref: str) -> None:
    with ism.open() as dev, dev.attach(ref) as region:
        text = region[:27]
        print(f"the child attached {len(region)} bytes and says: {text.decode()}", flush=True)
        region[:27] = text.upper()
        region.notify()


def main() -> None:
    with ism.open() as dev, dev.alloc(1 << 20) as region:
        region[:27] = b"hello through shared memory"
        process = multiprocessing.get_context("spawn").Process(target=child, args=(region.ref,))
        process.start()
        if region.wait(30):
            print("and answers:", region[:27].decode())
        process.join()


if __name__ == "__main__":
    main()
