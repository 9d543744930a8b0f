"""The wire: what servers do wrong, and what must never leave this machine."""

import asyncio
import gzip
import time
import tracemalloc
from email.utils import formatdate

import pytest
import uvloop
from aiohttp import web
from loopback import Seen, WeChat, http, raw, request_of, wechat

from harvester.api.wire import MOST_BYTES, Unreachable, Wire

SECRET = "canary-token-0123456789"
PATH = f"/datacube/getusersummary?access_token={SECRET}"


async def trouble(url: str, *, seconds: float = 5.0) -> Unreachable:
    """What the first request to this server comes to."""
    async with Wire((url,), timeout_seconds=seconds) as wire:
        with pytest.raises(Unreachable) as met:
            await wire.data("POST", PATH, b"{}")
    assert not isinstance(met.value, OSError)
    assert SECRET not in f"{met.value!r} {met.value}"
    assert met.value.__cause__ is None
    assert met.value.__context__ is None
    return met.value


async def test_a_body_comes_back_as_it_was_sent() -> None:
    async with (
        wechat(lambda seen: b'{"list": []}') as server,
        Wire((server.url,)) as wire,
    ):
        assert await wire.data("POST", PATH, b'{"a":1}') == b'{"list": []}'
        assert await wire.data("GET", PATH) == b'{"list": []}'
    posted, got = server.seen
    assert (posted.method, posted.body, posted.token) == ("POST", {"a": 1}, SECRET)
    assert posted.headers["Content-Type"] == "application/json"
    assert posted.headers["User-Agent"].startswith("harvester/")
    assert (got.method, got.body) == ("GET", None)
    assert "Content-Type" not in got.headers


async def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with wechat() as server, Wire((server.url,)) as wire:
        await wire.data("POST", PATH, b"{}")


async def test_cookies_are_never_sent_back() -> None:
    def script(seen: Seen) -> web.Response:
        response = web.Response(body=b"{}")
        response.set_cookie("account", "a")
        return response

    async with wechat(script) as server:
        named = server.url.replace("127.0.0.1", "localhost")  # addresses keep none
        async with Wire((named,)) as wire:
            for _ in range(3):
                await wire.data("POST", PATH, b"{}")
    assert all("Cookie" not in seen.headers for seen in server.seen)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_the_second_origin_sees_nothing(
    status: int,
) -> None:
    async with wechat() as other:
        where = f"{other.url}/steal?access_token={SECRET}"

        def script(seen: Seen) -> web.Response:
            return web.Response(status=status, headers={"Location": where})

        async with wechat(script) as server:
            met = await trouble(server.url)
    assert met.kind == "redirect"
    assert met.detail == f"to {other.url}"
    assert other.seen == []
    assert len(server.seen) == 1


@pytest.mark.parametrize("where", ["/elsewhere", "file:///etc/passwd", "http://[", ""])
async def test_a_redirect_to_nowhere_is_refused_after_one_call(where: str) -> None:
    def script(seen: Seen) -> web.Response:
        return web.Response(status=302, headers={"Location": where})

    async with wechat(script) as server:
        assert (await trouble(server.url)).kind == "redirect"
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "http_4xx"),
        (404, "http_4xx"),
        (429, "http_5xx"),
        (500, "http_5xx"),
        (502, "http_5xx"),
    ],
)
async def test_an_http_error_keeps_status_and_body(status: int, kind: str) -> None:
    def script(seen: Seen) -> web.Response:
        return web.Response(status=status, body=b"<html>")

    async with wechat(script) as server:
        met = await trouble(server.url)
    assert (met.kind, met.status, met.body) == (kind, status, b"<html>")
    assert met.retry_after is None


async def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    for value, least, most in (
        ("30", 30.0, 30.0),
        (formatdate(time.time() + 100, usegmt=True), 90.0, 100.0),
        (formatdate(time.time() - 100, usegmt=True), 0.0, 0.0),
    ):
        said = f"Retry-After: {value}"

        async def talk(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            said: str = said,
        ) -> None:
            await request_of(reader)
            writer.write(http(b"", said, status="503 Busy"))
            await writer.drain()

        async with raw(talk) as url:
            met = await trouble(url)
        assert met.retry_after is not None
        assert least <= met.retry_after <= most


async def test_a_nonsense_retry_after_is_none() -> None:
    def script(seen: Seen) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "soon"})

    async with wechat(script) as server:
        assert (await trouble(server.url)).retry_after is None


async def test_nobody_listening_is_unreachable() -> None:
    assert (await trouble("http://127.0.0.1:9")).kind == "unreachable"


async def test_a_name_that_does_not_resolve_is_dns() -> None:
    assert (await trouble("http://nosuch.invalid")).kind == "dns"


async def test_plain_http_behind_https_is_tls() -> None:
    async with wechat() as server:
        met = await trouble(server.url.replace("http:", "https:"))
    assert met.kind == "tls"
    assert server.seen == []


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    await asyncio.Event().wait()


async def test_a_silent_server_is_a_timeout() -> None:
    async with raw(never) as url:
        assert (await trouble(url, seconds=0.2)).kind == "timeout"


async def test_a_dribbling_server_is_a_timeout() -> None:
    async def dribble(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw(dribble) as url:
        assert (await trouble(url, seconds=0.2)).kind == "timeout"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"\x16\x03junk\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        http(b"not gzip", "Content-Encoding: gzip"),
    ],
    ids=["nothing", "short", "half a chunk", "junk", "long header", "bad gzip"],
)
async def test_an_answer_that_breaks_off_is_a_reset(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with raw(talk) as url:
        assert (await trouble(url)).kind == "reset"


async def test_a_get_is_not_repeated_behind_our_back() -> None:
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await request_of(reader)
            requests += 1
            if requests > 1:
                return
            writer.write(http(b"{}"))

    async with raw(talk) as url, Wire((url,)) as wire:
        await wire.data("GET", PATH)
        with pytest.raises(Unreachable):
            await wire.data("GET", PATH)
    assert requests == 2


@pytest.mark.parametrize("packed", [True, False])
async def test_a_body_without_end_is_cut(packed: bool) -> None:
    body = b" " * (40 * 2**20)
    header = "Content-Encoding: gzip" if packed else "X-Nothing: here"
    sent = http(gzip.compress(body, 1) if packed else body, header)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        for start in range(0, len(sent), 65536):
            writer.write(sent[start : start + 65536])
            await writer.drain()
        await never(reader, writer)

    async with raw(talk) as url:
        tracemalloc.start()
        met = await trouble(url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert met.kind == "too_large"
    assert met.body is not None
    assert len(met.body) <= 4096
    assert peak < 3 * MOST_BYTES


async def test_the_largest_body_allowed_is_taken() -> None:
    async with (
        wechat(lambda seen: b" " * MOST_BYTES) as server,
        Wire((server.url,)) as wire,
    ):
        assert len(await wire.data("POST", PATH, b"{}")) == MOST_BYTES


def late_answers(pause: float, first: bytes = b"1", second: bytes = b"2") -> object:
    """A server that answers every request twice, the second time after a pause."""
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = str(connections).encode()
        while True:
            await request_of(reader)
            writer.write(http(b"right" + mine))
            await writer.drain()
            await asyncio.sleep(pause)
            writer.write(http(b"late" + mine))
            await writer.drain()

    return talk


async def _ask_thrice(pause: float, wait: float) -> list[bytes]:
    async with raw(late_answers(pause)) as url, Wire((url,)) as wire:  # type: ignore[arg-type]
        answers = []
        for _ in range(3):
            answers.append(await wire.data("POST", PATH, b"{}"))
            await asyncio.sleep(wait)
    return answers


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("pause", [0.0, 0.01])
def test_a_late_second_answer_never_serves_the_next_request(
    run: object, pause: float
) -> None:
    answers = run(_ask_thrice(pause, wait=0.05))  # type: ignore[operator]
    assert answers == [b"right1", b"right2", b"right3"]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_late_answer_that_nobody_has_read_yet_serves_nobody(run: object) -> None:
    async def ask_while_the_loop_stands() -> list[bytes]:
        async with raw(late_answers(0.0)) as url, Wire((url,)) as wire:  # type: ignore[arg-type]
            answers = [await wire.data("POST", PATH, b"{}")]
            time.sleep(0.05)  # noqa: ASYNC251 - both answers lie in the socket now
            answers.append(await wire.data("POST", PATH, b"{}"))
        return answers

    assert run(ask_while_the_loop_stands())[1] == b"right2"  # type: ignore[operator]


async def test_a_connection_is_used_again_when_it_is_silent() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await request_of(reader)
            writer.write(http(b"{}"))

    async with raw(talk) as url, Wire((url,)) as wire:
        for _ in range(20):
            await wire.data("POST", PATH, b"{}")
    assert connections == 1


async def test_a_server_that_closes_after_every_answer_costs_no_request() -> None:
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await request_of(reader)
        requests += 1
        writer.write(http(b"{}"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with raw(talk) as url, Wire((url,)) as wire:
        for _ in range(20):
            await wire.data("POST", PATH, b"{}")
            await asyncio.sleep(0.001)
    assert requests == 20


async def test_an_answer_that_was_given_up_reaches_nobody_else() -> None:
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await request_of(reader)
            requests += 1
            if requests == 1:
                await asyncio.sleep(0.2)
            writer.write(http(b"%d" % requests))
            await writer.drain()

    async with raw(talk) as url, Wire((url,), timeout_seconds=0.1) as wire:
        with pytest.raises(Unreachable):
            await wire.data("POST", PATH, b"{}")
        assert await wire.data("POST", PATH, b"{}") == b"2"


async def test_data_falls_back_to_the_next_address_and_stays_there() -> None:
    async with wechat() as second, Wire(("http://127.0.0.1:9", second.url)) as wire:
        for _ in range(3):
            await wire.data("POST", PATH, b"{}")
        assert list(wire._by_hope()) == [second.url, "http://127.0.0.1:9"]
    assert len(second.seen) == 3


async def test_token_calls_do_not_fall_back() -> None:
    async with wechat() as second, Wire(("http://127.0.0.1:9", second.url)) as wire:
        with pytest.raises(Unreachable, match="unreachable"):
            await wire.main("/cgi-bin/stable_token", b"{}")
    assert second.seen == []


async def test_an_answer_of_any_kind_is_no_reason_to_fall_back() -> None:
    async with (
        wechat(lambda seen: web.Response(status=502)) as first,
        wechat() as second,
        Wire((first.url, second.url)) as wire,
    ):
        with pytest.raises(Unreachable, match="http_5xx"):
            await wire.data("POST", PATH, b"{}")
    assert second.seen == []


async def test_when_no_address_answers_the_last_trouble_is_told() -> None:
    async with Wire(("http://nosuch.invalid", "http://127.0.0.1:9")) as wire:
        with pytest.raises(Unreachable, match="unreachable"):
            await wire.data("POST", PATH, b"{}")


def dated(ahead: float) -> WeChat:
    def script(seen: Seen) -> web.Response:
        date = formatdate(time.time() + ahead, usegmt=True)
        return web.Response(body=b"{}", headers={"Date": date})

    return WeChat(script)


async def test_the_clocks_skew_is_told_from_the_answers() -> None:
    async with wechat(dated(-1000).script) as server, Wire((server.url,)) as wire:
        assert wire.skew_seconds is None
        await wire.data("POST", PATH, b"{}")
        assert wire.skew_seconds == pytest.approx(1000, abs=2)


async def test_another_systems_clock_is_not_believed() -> None:
    async with (
        wechat(dated(-1000).script) as tokens,
        wechat() as server,
        Wire((server.url,)) as wire,
    ):
        await wire.send("GET", f"{tokens.url}/wx", headers={"X": "y"})
        assert wire.skew_seconds is None


async def test_a_wrong_date_is_ignored() -> None:
    def script(seen: Seen) -> web.Response:
        return web.Response(body=b"{}", headers={"Date": "once upon a time"})

    async with wechat(script) as server, Wire((server.url,)) as wire:
        await wire.data("POST", PATH, b"{}")
        assert wire.skew_seconds is None


async def test_a_bug_is_not_taken_for_the_network() -> None:
    wire = Wire(("http://127.0.0.1:9",))
    async with wire:
        pass
    with pytest.raises(RuntimeError):
        await wire.data("POST", PATH, b"{}")
