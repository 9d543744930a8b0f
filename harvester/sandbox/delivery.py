"""How an answer travels: as it should, dressed up as something else, or not at all.

A dress changes status, headers or body. A manner sends on its own; where it has used
the connection for itself, the empty response it returns goes nowhere.
"""

import asyncio
import contextlib
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache

from aiohttp import web

_JSON = {"Content-Type": "application/json; encoding=utf-8"}
_PAGE = b"<html><head><title>%s</title></head><body><h1>%s</h1></body></html>\n"
_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer about to be sent."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)


async def plainly(
    request: web.Request, reply: Reply, _: str = ""
) -> web.StreamResponse:
    """As it should be."""
    return web.Response(body=reply.body, status=reply.status, headers=reply.headers)


def _page(status: int, title: bytes, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(_PAGE % (title, title), status, {"Content-Type": "text/html", **named})


def html(_: Reply, __: str) -> Reply:
    """A page, with status 200."""
    return _page(200, "系统维护".encode())


def bad_status(_: Reply, status: str) -> Reply:
    """A gateway's page."""
    return _page(int(status), b"gateway error")


def not_found(_: Reply, __: str) -> Reply:
    """404 without a body, as WeChat answers a wrong path."""
    return Reply(b"", 404, {})


def unavailable(_: Reply, seconds: str) -> Reply:
    """503, and when to come back."""
    return _page(503, b"Service Unavailable", Retry_After=seconds)


def too_many(_: Reply, seconds: str) -> Reply:
    """429, and when to come back."""
    return _page(429, b"Too Many Requests", Retry_After=seconds)


def redirect(_: Reply, location: str) -> Reply:
    """307: the same method and body, elsewhere."""
    return Reply(b"", 307, {"Location": location})


def empty_body(reply: Reply, _: str) -> Reply:
    """Nothing, with status 200."""
    return replace(reply, body=b"")


def text_plain(reply: Reply, _: str) -> Reply:
    """JSON that says it is text."""
    return replace(reply, headers={"Content-Type": "text/plain"})


def set_cookie(reply: Reply, value: str) -> Reply:
    """With a cookie that must not come back."""
    return replace(
        reply, headers={**reply.headers, "Set-Cookie": f"sandbox={value}; Path=/"}
    )


def skewed_date(reply: Reply, hours: str) -> Reply:
    """With a Date header that is hours off."""
    date = format_datetime(
        datetime.now(UTC) + timedelta(hours=float(hours)), usegmt=True
    )
    return replace(reply, headers={**reply.headers, "Date": date})


def gzip_bomb(_: Reply, megabytes: str) -> Reply:
    """A small body that unpacks to a huge one."""
    return Reply(_bomb(int(megabytes)), 200, {**_JSON, "Content-Encoding": "gzip"})


@lru_cache(maxsize=1)
def _bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    parts = [packer.compress(b" " * _MEGABYTE) for _ in range(megabytes)]
    return b"".join([*parts, packer.compress(b'{"list":[]}'), packer.flush()])


def _raw(reply: Reply) -> bytes:
    """The whole answer as it stands on the wire, without a Connection header."""
    lines = [f"HTTP/1.1 {reply.status} OK", f"Content-Length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + reply.body


async def _cut_off(
    request: web.Request, data: bytes, *, abort: bool = False
) -> web.Response:
    """Sends these bytes as all there is, and ends the connection."""
    if request.transport is not None:
        request.transport.write(data)
        if abort:
            _reset_on_close(request.transport)
            request.transport.abort()
        request.transport.close()
    return web.Response()


def _reset_on_close(transport: asyncio.Transport) -> None:
    """Makes the kernel send RST in place of FIN."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def reset(request: web.Request, reply: Reply, _: str) -> web.StreamResponse:
    """Breaks the connection in the middle of the body."""
    whole = _raw(reply)
    return await _cut_off(request, whole[: -(len(reply.body) // 2) or None], abort=True)


async def truncated(request: web.Request, reply: Reply, _: str) -> web.StreamResponse:
    """Ends the connection before the promised length."""
    return await _cut_off(request, _raw(reply)[: -(len(reply.body) // 2) or None])


async def closing(request: web.Request, reply: Reply, _: str) -> web.StreamResponse:
    """Answers well, then ends the connection without having said so."""
    return await _cut_off(request, _raw(reply))


async def hang_up(request: web.Request, _: Reply, __: str) -> web.StreamResponse:
    """Reads the call and ends the connection."""
    return await _cut_off(request, b"")


async def junk(request: web.Request, _: Reply, __: str) -> web.StreamResponse:
    """Answers with what is no HTTP."""
    return await _cut_off(request, b"HTTP/1.1 banana\r\n\r\n")


async def silent(_: web.Request, __: Reply, ___: str) -> web.StreamResponse:
    """Never answers; ends when the client goes."""
    await asyncio.Event().wait()
    return web.Response()


async def slow(request: web.Request, reply: Reply, seconds: str) -> web.StreamResponse:
    """Answers late."""
    await asyncio.sleep(float(seconds))
    return await plainly(request, reply)


async def late(request: web.Request, reply: Reply, seconds: str) -> web.StreamResponse:
    """Answers, and a little later answers again without having been asked."""
    response = await plainly(request, reply)
    await response.prepare(request)
    await response.write_eof()
    transport = request.transport
    if transport is not None:
        asyncio.get_running_loop().call_later(
            float(seconds), _again, transport, _raw(reply)
        )
    return response


def _again(transport: asyncio.Transport, data: bytes) -> None:
    if not transport.is_closing():
        transport.write(data)


async def dribble(
    request: web.Request, reply: Reply, seconds: str
) -> web.StreamResponse:
    """Sends a byte, waits, sends a byte."""
    return await _stream(
        request, reply, len(reply.body), _drops(reply.body, float(seconds))
    )


async def _drops(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    for place in range(len(body)):
        yield body[place : place + 1]
        await asyncio.sleep(seconds)


async def huge_body(
    request: web.Request, reply: Reply, megabytes: str
) -> web.StreamResponse:
    """Sends white space without end before the rows."""
    size = int(megabytes) * _MEGABYTE
    return await _stream(
        request, reply, size + len(reply.body), _padded(reply.body, int(megabytes))
    )


async def _padded(body: bytes, megabytes: int) -> AsyncIterator[bytes]:
    for _ in range(megabytes):
        yield b" " * _MEGABYTE
    yield body


async def _stream(
    request: web.Request, reply: Reply, size: int, parts: AsyncIterator[bytes]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=reply.headers)
    response.content_length = size
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        async for part in parts:
            await response.write(part)
    return response
