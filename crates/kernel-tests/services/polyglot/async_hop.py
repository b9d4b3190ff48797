"""A hop in front of another: answers `/NAME/ID` with what the next hop says to `/back/ID`, and `/status/NNN` with that
status. One thread serves and asks, by asyncio's streams: connections that are kept open towards the client, one for each
call towards the next hop.

Arguments: port, port of the next hop.
"""

import asyncio
import sys

PORT, NEXT = map(int, sys.argv[1:])


async def ask(last):
    reader, writer = await asyncio.open_connection("127.0.0.1", NEXT)
    writer.write(f"GET /back/{last} HTTP/1.1\r\nHost: 127.0.0.1:{NEXT}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return body


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            name, _, last = head.split(" ", 2)[1][1:].partition("/")
            status, body = (int(last), last.encode()) if name == "status" else (200, await ask(last))
            writer.write(f"HTTP/1.1 {status} As asked\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=128) as server:
        await server.serve_forever()


asyncio.run(main())
