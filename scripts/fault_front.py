"""An HTTP front before a bucket that does to requests what networks and busy servers do.

Requests keep their Host header, so that signatures for this address are valid at the server behind it.
"""

import asyncio
import collections
import contextlib
import dataclasses
import random
import re
import urllib.parse

import raw_http
from content import KIB

# A request that is never answered is let go after this time, in seconds.
HANGS_FOR = 8
# Longest delay of a slow answer, in seconds.
SLOW_FOR = 1.5

# Every fault, and how often it is drawn relative to the others.
FAULTS = {
    "500": 4,  # refused: nothing is performed
    "503": 4,
    "403": 3,
    "early": 3,  # refused before the body is read
    "slow": 3,  # performed at once, answered late
    "cut": 4,  # the connection ends within the request: nothing is performed
    "lost": 4,  # performed, and the connection ends without an answer
    "half": 4,  # performed, and the connection ends within the answer
    "hang": 1,  # never answered; performed or not
}
REFUSALS = {"500": "InternalError", "503": "ServiceUnavailable", "403": "AccessDenied", "early": "SlowDown"}
# The calls that undo: where one of them is disturbed, something may stay.
UNDOING = {"DeleteObject", "AbortMultipartUpload", "ListMultipartUploads", "HeadObject"}


@dataclasses.dataclass
class Request:
    """The head of a request, and what it asks for."""

    head: bytes
    method: str
    key: str
    operation: str
    length: int

    @classmethod
    def parse(cls, head):
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        path, _, query = target.partition("?")
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        _, _, key = urllib.parse.unquote(path).removeprefix("/").partition("/")
        headers = raw_http.headers_of(head)
        operation = cls.operation_of(method, key, query, b"x-amz-copy-source" in headers)
        return cls(head, method, key or query.get("prefix", ""), operation, int(headers.get(b"content-length", 0)))

    @staticmethod
    def operation_of(method, key, query, is_copy):
        if not key:
            if "list-type" in query:
                return "ListObjectsV2"
            if "uploads" in query:
                return "ListMultipartUploads"
            return "PostForm" if method == "POST" else "HeadBucket"
        if "uploads" in query:
            return "CreateMultipartUpload"
        if "uploadId" in query:
            part = "UploadPartCopy" if is_copy else "UploadPart"
            return {"POST": "CompleteMultipartUpload", "PUT": part, "DELETE": "AbortMultipartUpload"}.get(method, "ListParts")
        put = "CopyObject" if is_copy else "PutObject"
        return {"PUT": put, "DELETE": "DeleteObject", "HEAD": "HeadObject"}.get(method, "GetObject")


class Front:
    """Listens on loopback for the duration of the `async with` block."""

    def __init__(self, port, seed):
        self.port, self.random = port, random.Random(f"{seed} faults")
        self.rate = 0.0
        # How often each fault struck each operation.
        self.struck = collections.Counter()
        # The keys where a call that undoes was disturbed.
        self.undo_disturbed = set()
        # By key: every call, the fault that struck it, and the status of the bucket's answer.
        self.history = collections.defaultdict(list)
        self.connections = 0
        self.serving = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=256 * KIB)
        self.address = self.server.sockets[0].getsockname()[:2]
        self.endpoint = f"http://127.0.0.1:{self.address[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)

    def draw(self, request):
        if self.random.random() >= self.rate or request.operation == "HeadBucket":
            return None
        fault = self.random.choices(list(FAULTS), list(FAULTS.values()))[0]
        self.struck[fault, request.operation] += 1
        if request.operation in UNDOING and fault != "slow":
            self.undo_disturbed.add(request.key)
        return fault

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.serving.add(task)
        self.connections += 1
        # A task that ends as cancelled is reported by asyncio as a failure.
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            while head := await raw_http.read_head(reader):
                if not await self.answer(Request.parse(head), reader, writer):
                    break
        self.connections -= 1
        self.serving.discard(task)
        writer.close()

    async def answer(self, request, reader, writer):
        """Whether the connection goes on."""
        fault = self.draw(request)
        self.history[request.key].append(f"{request.operation}{f' {fault}' if fault else ''}")
        if fault in ("500", "503", "403"):
            await read_body(reader, request.length)
            return await self.send(writer, self.refusal(fault, request))
        if fault == "early":
            await self.send(writer, self.refusal(fault, request))
            if self.random.random() < 0.5:
                await read_body(reader, request.length)
            return False
        if fault == "cut":
            await read_body(reader, self.random.randint(0, max(0, request.length - 1)))
            return self.cut(writer)
        if fault == "hang" and self.random.random() < 0.5:
            await read_body(reader, request.length)
            return await self.hang(reader)
        whole = await self.perform(request, reader)
        self.history[request.key].append(f"{request.operation} → {whole[9:12].decode()}")
        if fault == "hang":
            return await self.hang(reader)
        if fault == "lost":
            return self.cut(writer)
        if fault == "half":
            await self.send(writer, whole[: self.random.randint(1, len(whole) - 1)])
            return False
        if fault == "slow":
            await asyncio.sleep(self.random.uniform(0.1, SLOW_FOR))
        return await self.send(writer, whole)

    async def perform(self, request, reader):
        """The answer of the bucket, whole."""
        from_bucket, to_bucket = await asyncio.open_connection("127.0.0.1", self.port, limit=256 * KIB)
        left = request.length
        try:
            to_bucket.write(re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", request.head))
            while left:
                chunk = await reader.read(min(left, 256 * KIB))
                if not chunk:
                    # The bucket, too, sees that the request has no end.
                    raw_http.reset(to_bucket)
                    raise EOFError("the client has left")
                left -= len(chunk)
                with contextlib.suppress(OSError):  # it may have answered already
                    to_bucket.write(chunk)
                    await to_bucket.drain()
            return await raw_http.read_answer(from_bucket, request.method)
        finally:
            to_bucket.close()

    @staticmethod
    async def send(writer, answer):
        writer.write(answer)
        await writer.drain()
        return True

    def cut(self, writer):
        if self.random.random() < 0.5:
            raw_http.reset(writer)
        return False

    @staticmethod
    async def hang(reader):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), HANGS_FOR)
        return False

    @staticmethod
    def refusal(fault, request):
        status = "503" if fault == "early" else fault
        body = f"<Error><Code>{REFUSALS[fault]}</Code><Message>a fault on purpose</Message></Error>".encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        return head if request.method == "HEAD" else head + body


async def read_body(reader, left):
    while left:
        chunk = await reader.read(min(left, 256 * KIB))
        if not chunk:
            raise EOFError("the client has left")
        left -= len(chunk)
