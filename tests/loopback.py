"""Servers on loopback for the tests of `harvester.api`: a scripted WeChat, and worse.

The script is a function from what was asked to what is answered; the sandbox plays a
whole platform, this plays one scene.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from harvester.accounts import Account
from harvester.catalogue.endpoint import Endpoint, Field, Request
from harvester.dates import Granularity
from harvester.plan import Call

DAY = 737997
"""2021-07-26, a Monday."""

APPID = "wx00000000000000aa"
EMPTY: dict[str, object] = {"list": []}


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    @property
    def token(self) -> str:
        return self.query.get("access_token", "")


Script = Callable[[Seen], Any]


@dataclass
class WeChat:
    """Answers by its script: a JSON value, bytes, or a whole response."""

    script: Script = lambda seen: EMPTY
    seen: list[Seen] = field(default_factory=list)
    url: str = ""

    @property
    def counts(self) -> Counter[str]:
        """How often each path was asked."""
        return Counter(seen.path for seen in self.seen)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        seen = Seen(
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            orjson.loads(raw) if raw else None,
        )
        self.seen.append(seen)
        answer = self.script(seen)
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, web.StreamResponse):
            return answer
        body = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        return web.Response(body=body, content_type="text/plain")


@asynccontextmanager
async def wechat(script: Script | None = None) -> AsyncIterator[WeChat]:
    """A server that answers by the script, on a free port."""
    server = WeChat(script or (lambda seen: EMPTY))
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{tail:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw(conversation: Conversation) -> AsyncIterator[str]:
    """A server that speaks bytes; gives its address."""
    tasks: set[asyncio.Task[Any]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await conversation(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """One request, headers and body. Raises IncompleteReadError at the end."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def endpoint(
    id: str = "getusersummary",
    *,
    family: str = "user",
    request: Request | None = None,
    errors: tuple[str, str] = ("errcode", "errmsg"),
    rows: tuple[str, ...] = ("list[]",),
) -> Endpoint:
    return Endpoint(
        id=id,
        family=family,
        path=f"/datacube/{id}",
        en=id,
        span=7,
        safe_span=7,
        granularity=Granularity.DAY,
        earliest=DAY,
        request=request or Request(),
        errors=errors,
        rows=rows,
        key=("ref_date",),
        fields=(Field(name="ref_date", at="list[].ref_date", type="date32"),),
    )


def call(appid: str = APPID, of: Endpoint | None = None, days: int = 7) -> Call:
    last = DAY + days - 1
    return Call(appid, of or endpoint(), DAY, last, ((DAY, last),))


def account(appid: str = APPID, **given: Any) -> Account:
    return Account(appid=appid, **given)


async def no_sleep(seconds: float) -> None:
    """Stands in for waiting: gives way once and goes on."""
    await asyncio.sleep(0)
