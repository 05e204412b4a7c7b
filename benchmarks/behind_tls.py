"""TLS before a server of the same machine, in a process of its own; see cpu.py."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def tls(url: str, folder: str) -> Iterator[tuple[str, str]]:
    """The address of a server behind TLS, and the file of the authority to trust.

    Args:
        url: The address without TLS, on 127.0.0.1.
        folder: Where the file of the authority goes.
    """
    authority = Path(folder) / "authority.pem"
    port, _, path = url.removeprefix("http://127.0.0.1:").partition("/")
    command = [sys.executable, __file__, port, str(authority)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"https://127.0.0.1:{int(process.stdout.readline())}/{path}", str(authority)
        finally:
            process.terminate()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(port: int, authority: str) -> None:
    import trustme

    made = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert("127.0.0.1").configure_cert(context)
    made.cert_pem.write_to_path(authority)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, to[1]), carry(to[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
