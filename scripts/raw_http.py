"""HTTP/1.1 over raw sockets: whole answers, and clients that behave in every way a socket allows."""

import asyncio
import contextlib
import dataclasses
import json
import re
import socket
import struct

from content import KIB

# How long a client waits for the end of an exchange, in seconds: much longer than any limit of the program's.
PATIENCE = 60


def headers_of(head):
    lines = head.split(b"\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines if line)}


async def read_head(reader):
    """Head of the next message; empty where the connection ends first."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError):
        return b""


async def read_answer(reader, method="POST"):
    """A whole answer, head and body, with its length in the head."""
    head = await read_head(reader)
    while head.startswith(b"HTTP/1.1 100"):
        head = await read_head(reader)
    if not head:
        raise EOFError("no answer")
    headers = headers_of(head)
    if method == "HEAD" or head[9:12] in (b"204", b"304"):
        return head
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = await read_chunks(reader)
        head = re.sub(rb"(?i)\r\ntransfer-encoding:[^\r]*", b"", head)
        return head[:-2] + b"content-length: %d\r\n\r\n" % len(body) + body
    return head + await reader.readexactly(int(headers.get(b"content-length", 0)))


async def read_chunks(reader):
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


def reset(writer):
    """Resets the connection, as a network failure does, instead of closing it in order."""
    linger = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@dataclasses.dataclass
class Answer:
    """Result of an exchange, as its client sees it."""

    # All bytes of the request that matter were sent.
    sent: bool
    # `None`: there was no whole answer, or nobody read it.
    status: int | None = None
    body: bytes = b""

    def json(self):
        return json.loads(self.body)

    def outcome(self):
        return "broken off" if not self.sent else self.status or "sent, not answered"

    @property
    def is_unknown(self):
        """The request may have been obeyed, or not."""
        return self.sent and self.status is None


class Hung(Exception):
    """The other side neither answered nor closed the connection."""


# Ways in which a client may send a request and read its answer.
WHOLE = ("whole", "trickle", "half-close")
BROKEN = ("cut", "reset", "half-close early", "silent", "leave", "leave by reset", "unread")


async def exchange(address, request, manner, rng, needless=0, takes=0.02):
    """Sends a request in this manner; its last `needless` bytes make no difference. Who leaves does so
    within about the time that the answer `takes`, in seconds."""
    try:
        return await asyncio.wait_for(_exchange(address, request, manner, rng, needless, takes), PATIENCE)
    except asyncio.TimeoutError:
        raise Hung(f"{request[:60]!r}, {manner}: no end within {PATIENCE} s") from None


async def _exchange(address, request, manner, rng, needless, takes):
    at = len(request)
    if manner in ("cut", "reset", "half-close early", "silent"):
        # Half of them within the head or the last bytes, where less happens between two reads.
        edge = rng.choice((400, 400, len(request), len(request)))
        at = rng.randrange(min(edge, len(request)))
        at = len(request) - 1 - at if rng.random() < 0.3 else at
    reader, writer = await asyncio.open_connection(*address, limit=256 * KIB)
    answer = Answer(sent=at >= len(request) - needless)
    try:
        with contextlib.suppress(OSError):
            await send(writer, request[:at], manner, rng)
        if manner.startswith("half-close"):
            with contextlib.suppress(OSError):
                writer.write_eof()
        if manner in ("cut", "reset", "leave", "leave by reset", "unread"):
            await asyncio.sleep(rng.choice((0, 0.2, 1.2, 1.2, 5)) * rng.random() * takes)
            if manner == "unread":
                await asyncio.sleep(2 * rng.random())
            if manner.endswith("reset"):
                reset(writer)
            return answer
        with contextlib.suppress(OSError, EOFError):
            whole = await read_answer(reader, request.split(b" ", 1)[0].decode())
            head, _, answer.body = whole.partition(b"\r\n\r\n")
            answer.status = int(head[9:12])
        return answer
    finally:
        writer.close()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), PATIENCE / 2)


async def send(writer, request, manner, rng):
    ends = [len(request)]
    if manner == "trickle" and request:
        ends = sorted({rng.randrange(len(request)) for _ in range(rng.randint(1, 12))} | {len(request)})
    start = 0
    for end in ends:
        if start:
            await asyncio.sleep(0.05 * rng.random())
        writer.write(request[start:end])
        await writer.drain()
        start = end
