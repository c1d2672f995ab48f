# The lab's relay: reads "ADDRESS PORT", connects there, answers "+" or "-",
# then copies both ways; each direction ends by itself.
import asyncio
import sys


async def copy(source, sink):
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.close()


async def serve(source, sink):
    try:
        address, port = (await source.readline()).split()
        far_source, far_sink = await asyncio.wait_for(
            asyncio.open_connection(address.decode(), int(port)), 10
        )
    except (OSError, ValueError, asyncio.TimeoutError):
        sink.write(b"-")
        sink.close()
        return
    sink.write(b"+")
    await asyncio.gather(copy(source, far_sink), copy(far_source, sink))
    far_sink.close()
    sink.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
