# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026 the libism authors
"""An asyncio server over shared memory, with the streams of asyncio.

Output:
#> client 0: ECHO 0
#> client 1: ECHO 1
#> client 2: ECHO 2
"""

import asyncio

import ism


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def client(dev: ism.Device, ref: str, number: int) -> str:
    reader, writer = await ism.open_connection(dev, ref)
    writer.write(f"echo {number}\n".encode())
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer.decode().strip()


async def main() -> None:
    with ism.open() as a, ism.open() as b:  # usually in two programs
        async with await ism.start_server(serve, a) as server:
            answers = await asyncio.gather(*(client(b, server.ref, n) for n in range(3)))
        for number, answer in enumerate(answers):
            print(f"client {number}: {answer}")


if __name__ == "__main__":
    asyncio.run(main())
