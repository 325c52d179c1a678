#!/usr/bin/env python3
"""A slow link: forwards TCP connections to BACKEND with a delay each way and one bandwidth for all of them.

    link.py BACKEND-HOST:PORT DELAY-MS MBIT-PER-SECOND

Prints its own address. A connection's first bytes wait one round trip more, for the handshake that they would have had to
wait for. Each direction has the full bandwidth, as on a leased line; windows that open slowly and losses are not acted out.
"""

import asyncio
import sys

CHUNK = 64 * 1024


class Direction:
    """The moment at which the wire is free again."""

    def __init__(self, rate):
        self.rate, self.free = rate, 0.0

    def occupied_until(self, size):
        self.free = max(self.free, asyncio.get_running_loop().time()) + size / self.rate
        return self.free


async def forward(reader, writer, wire, delay, extra):
    loop, queue = asyncio.get_running_loop(), asyncio.Queue(64)

    async def receive():
        late = extra
        while data := await reader.read(CHUNK):
            at = wire.occupied_until(len(data))
            await queue.put((at + delay + late, data))
            late = 0
            # No more is taken in than a few chunks ahead of the wire, so that the sender feels the bandwidth.
            await asyncio.sleep(max(0, at - loop.time() - 0.02))
        await queue.put((0, None))

    receiving = asyncio.create_task(receive())
    try:
        while True:
            at, data = await queue.get()
            if data is None:
                break
            await asyncio.sleep(max(0, at - loop.time()))
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, OSError):
        pass
    finally:
        receiving.cancel()


async def main():
    backend, delay, mbit = sys.argv[1], float(sys.argv[2]) / 1000, float(sys.argv[3])
    host, port = backend.rsplit(":", 1)
    up, down = Direction(mbit * 125_000), Direction(mbit * 125_000)

    async def connection(reader, writer):
        try:
            their_reader, their_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            forward(reader, their_writer, up, delay, 2 * delay),
            forward(their_reader, writer, down, delay, 0),
            return_exceptions=True,
        )
        for end in (their_writer, writer):
            end.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, limit=2 * CHUNK)
    print("%s:%s" % server.sockets[0].getsockname()[:2], flush=True)
    await server.serve_forever()


asyncio.run(main())
