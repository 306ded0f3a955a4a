# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""A camera writes frames in place, a viewer looks at them read-only, and nothing is copied.

Output:
#> frame 0: mean 0.0
#> frame 1: mean 10.0
#> frame 2: mean 20.0
"""

import threading

import numpy as np

import ism

SHAPE = (480, 640)


def camera(dev: ism.Device, region: ism.Region) -> None:
    frame = np.frombuffer(region.view(), dtype=np.uint8, count=SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    for i in range(3):
        frame[:] = 10 * i
        region.notify()
        region.wait(30)  # until the viewer has seen it


def main() -> None:
    with ism.open() as a, ism.open() as b:
        mine = a.alloc(SHAPE[0] * SHAPE[1])
        theirs = b.attach(mine.token, readonly=True)
        thread = threading.Thread(target=camera, args=(a, mine))
        thread.start()
        seen = np.frombuffer(theirs.view(), dtype=np.uint8, count=SHAPE[0] * SHAPE[1]).reshape(SHAPE)
        for i in range(3):
            theirs.wait(30)
            print(f"frame {i}: mean {seen.mean()}")
            theirs.notify()
        thread.join()
        del seen  # a region closes when nobody looks at it any more


if __name__ == "__main__":
    main()
