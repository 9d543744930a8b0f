"""Each named fault does what it says, to those it is meant for, as often as it should."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import orjson
import pytest

from harvester.errors import UsageError
from harvester.sandbox.app import running
from harvester.sandbox.faults import FAULTS
from harvester.sandbox.injection import Injection, Place, parse
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings, appids
from harvester.sandbox.tokens import Kind

NOON = datetime(2026, 1, 20, 4, tzinfo=UTC)
ACCOUNT, OTHER = appids(1, 2)
TITLED = ("getarticletotaldetail", "2026-01-07", "2026-01-07")
WEEK = ("getusersummary", "2026-01-13", "2026-01-19")
PLATFORM = "wxfedcba9876543210"


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes
    truth: Any
    """What a healthy sandbox answers."""

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def rows(self) -> Any:
        return self.document["list"]


class Caller(NamedTuple):
    sandbox: Sandbox
    session: aiohttp.ClientSession

    def token(self, appid: str = ACCOUNT) -> str:
        tokens = self.sandbox.platform.tokens
        return (
            tokens.newest(Kind.STABLE, appid) or tokens.mint(Kind.STABLE, appid)
        ).value

    async def ask(self, window: tuple[str, str, str] = WEEK, token: str = "") -> Answer:
        endpoint_id, first, last = window
        days = {"begin_date": first, "end_date": last}
        async with self.session.post(
            f"{self.sandbox.url}/datacube/{endpoint_id}",
            params={"access_token": token or self.token()},
            json=days,
            allow_redirects=False,
        ) as response:
            body = await response.read()
            truth = self.sandbox.world.answer(
                endpoint_id,
                ACCOUNT,
                datetime.fromisoformat(first).date(),
                datetime.fromisoformat(last).date(),
                NOON,
            )
            return Answer(response.status, response.headers, body, truth)

    async def post(self, path: str, **body: str) -> Any:
        token = {"component_access_token": self.component()}
        url = self.sandbox.url + path
        async with self.session.post(url, json=body, params=token) as response:
            return orjson.loads(await response.read())

    def component(self) -> str:
        tokens = self.sandbox.platform.tokens
        known = tokens.newest(Kind.COMPONENT, PLATFORM)
        return (known or tokens.mint(Kind.COMPONENT, PLATFORM)).value

    async def outcomes(
        self, times: int, window: tuple[str, str, str] = WEEK
    ) -> list[int]:
        return [
            (await self.ask(window)).document.get("errcode", 0) for _ in range(times)
        ]


@asynccontextmanager
async def calling(*faults: str) -> AsyncIterator[Caller]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with (
        running(Settings(faults=faults), now=lambda: NOON) as sandbox,
        aiohttp.ClientSession(
            timeout=timeout, cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as session,
    ):
        yield Caller(sandbox, session)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busy", -1),
        ("expired-token", 42001),
        ("rejected-token", 40001),
        ("quota", 45009),
        ("minute-quota", 45011),
        ("revoked", 61003),
        ("denied-set", 61007),
        ("denied", 48001),
        ("frozen", 50002),
        ("forbidden", 48004),
        ("punished", 50004),
        ("not-ready", 61503),
        ("narrow", 61501),
        ("unavailable", 61501),
        ("retired", 47009),
        ("bad-ip", 61004),
        ("unknown-code", 99999),
        ("unknown-code=12345", 12345),
        ("string-code", "-1"),
        ("string-code=61003", "61003"),
    ],
)
async def test_a_refusal_has_its_code(text: str, expected: int | str) -> None:
    async with calling(text) as caller:
        answer = await caller.ask()
        assert (answer.status, answer.document["errcode"]) == (200, expected)
        assert " rid: " in answer.document["errmsg"]
        assert caller.sandbox.faults.fired() == {text: 1}


STABLE = (
    "/cgi-bin/stable_token",
    {"grant_type": "client_credential", "appid": ACCOUNT, "secret": "s"},
)
COMPONENT = (
    "/cgi-bin/component/api_component_token",
    {
        "component_appid": PLATFORM,
        "component_appsecret": "s",
        "component_verify_ticket": "t",
    },
)
AUTHORIZER = (
    "/cgi-bin/component/api_authorizer_token",
    {
        "component_appid": PLATFORM,
        "authorizer_appid": ACCOUNT,
        "authorizer_refresh_token": "r",
    },
)
QUERY = (
    "/cgi-bin/component/api_query_auth",
    {"component_appid": PLATFORM, "authorization_code": "c"},
)


@pytest.mark.parametrize(
    ("text", "call", "expected"),
    [
        ("wrong-secret", STABLE, 40125),
        ("wrong-secret", COMPONENT, 40125),
        ("bad-own-ip", STABLE, 40164),
        ("bad-ip", COMPONENT, 61004),
        ("bad-ticket", COMPONENT, 61006),
        ("expired-ticket", COMPONENT, 61005),
        ("bad-refresh-token", AUTHORIZER, 61023),
        ("revoked", AUTHORIZER, 61003),
        ("frozen", AUTHORIZER, 50002),
        ("punished", STABLE, 50004),
        ("token-quota", AUTHORIZER, 45009),
        ("expired-component-token", AUTHORIZER, 42001),
        ("bad-code", QUERY, 61009),
        ("expired-code", QUERY, 61010),
        ("frozen@*/api_query_auth", QUERY, 50002),
        ("busy@*/api_authorizer_token", AUTHORIZER, -1),
        ("busy", AUTHORIZER, None),
    ],
)
async def test_token_calls_have_faults_of_their_own(
    text: str, call: tuple[str, dict[str, str]], expected: int | None
) -> None:
    async with calling(text) as caller:
        path, body = call
        assert (await caller.post(path, **body)).get("errcode") == expected


async def test_an_authorizer_token_may_come_without_a_refresh_token() -> None:
    async with calling("without-refresh-token") as caller:
        path, body = AUTHORIZER
        answer = await caller.post(path, **body)
        assert answer["authorizer_refresh_token"] == ""
        assert answer["authorizer_access_token"]


async def test_a_grant_may_come_without_tokens() -> None:
    async with calling("without-tokens") as caller:
        path, body = QUERY
        code = caller.sandbox.scan(ACCOUNT)
        answer = await caller.post(path, **{**body, "authorization_code": code})
        assert answer["authorization_info"].keys() == {"authorizer_appid", "func_info"}


async def test_a_success_may_lack_its_token() -> None:
    async with calling("empty-token") as caller:
        for path, body in (STABLE, COMPONENT, AUTHORIZER):
            answer = await caller.post(path, **body)
            (value,) = (answer[key] for key in answer if key.endswith("access_token"))
            assert value == ""
            assert answer["expires_in"] >= 7199


async def test_an_expired_platform_token_is_dead() -> None:
    async with calling("expired-component-token") as caller:
        path, body = AUTHORIZER
        old = caller.component()
        assert (await caller.post(path, **body))["errcode"] == 42001
        assert caller.component() != old
        assert "expires_in" in await caller.post(path, **body)


async def test_an_expired_token_is_dead_and_each_account_meets_that_once() -> None:
    async with calling("expired-token") as caller:
        old = caller.token()
        assert (await caller.ask(token=old)).document["errcode"] == 42001
        assert (await caller.ask(token=old)).document["errcode"] == 42001
        assert (await caller.ask()).document == (await caller.ask()).truth
        other = caller.token(OTHER)
        assert (await caller.ask(token=other)).document["errcode"] == 42001
        assert caller.sandbox.faults.fired() == {"expired-token": 2}


async def test_a_narrow_endpoint_takes_one_day() -> None:
    async with calling("narrow") as caller:
        answer = await caller.ask(("getusersummary", "2026-01-19", "2026-01-19"))
        assert answer.document == answer.truth


async def test_an_error_text_may_repeat_the_token() -> None:
    async with calling("echo-token") as caller:
        assert caller.token() in (await caller.ask()).document["errmsg"]


def numbers_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: numbers_as_text(member) for key, member in value.items()}
    if isinstance(value, list):
        return [numbers_as_text(member) for member in value]
    return str(value) if isinstance(value, int) else value


def with_first(answer: Answer, **fields: Any) -> Any:
    first, *others = answer.truth["list"]
    return [first | fields, *others]


ALTERED: dict[str, Callable[[Answer], bool]] = {
    "delayed": lambda got: got.document == got.truth | {"is_delay": True},
    "delayed=text": lambda got: got.document == got.truth | {"is_delay": "true"},
    "empty-list": lambda got: got.document == {"list": []},
    "no-list": lambda got: got.document == {"errcode": 0, "errmsg": "ok"},
    "zero-code": lambda got: got.document == got.truth | {"errcode": 0, "errmsg": "ok"},
    "outside": lambda got: (
        got.rows[:-1] == got.truth["list"] and got.rows[-1]["ref_date"] == "2019-02-28"
    ),
    "only-outside=2020-02-02": lambda got: (
        {row["ref_date"] for row in got.rows} == {"2020-02-02"}
    ),
    "duplicate-rows": lambda got: (
        got.rows == got.truth["list"] + got.truth["list"][-1:]
    ),
    "extra-field": lambda got: all("sandbox_extra" in row for row in got.rows),
    "extra-field=new": lambda got: [row.pop("new") for row in got.rows] != [],
    "missing-field": lambda got: (
        got.rows[0].keys() == {"ref_date", "user_source", "new_user"}
        and got.rows[1:] == got.truth["list"][1:]
    ),
    "missing-field=ref_date": lambda got: "ref_date" not in got.rows[0],
    "null-field": lambda got: got.rows == with_first(got, cancel_user=None),
    "null-field=new_user": lambda got: got.rows == with_first(got, new_user=None),
    "fraction": lambda got: got.rows == with_first(got, cancel_user=1.5),
    "boolean": lambda got: got.rows[0]["cancel_user"] is True,
    "huge-integer": lambda got: got.rows == with_first(got, cancel_user=2**64),
    "text-numbers": lambda got: got.rows == numbers_as_text(got.truth["list"]),
    "nan": lambda got: got.rows[0]["user_source"] != got.rows[0]["user_source"],
    "duplicate-keys": lambda got: got.rows == with_first(got, ref_date="2001-01-01"),
    "bom": lambda got: (
        got.body[:3] == b"\xef\xbb\xbf" and orjson.loads(got.body[3:]) == got.truth
    ),
    "cut": lambda got: (
        orjson.dumps(got.truth).startswith(got.body) and len(got.body) > 100
    ),
    "array": lambda got: got.document == [got.truth],
    "deep=1100": lambda got: got.body.count(b"[") == 1100,
    "html": lambda got: (
        got.status == 200 and got.headers["Content-Type"] == "text/html"
    ),
    "empty-body": lambda got: (got.status, got.body) == (200, b""),
    "http-500": lambda got: got.status == 500 and b"<html>" in got.body,
    "http-502": lambda got: got.status == 502 and b"<html>" in got.body,
    "http-503=7": lambda got: (got.status, got.headers["Retry-After"]) == (503, "7"),
    "http-429": lambda got: (got.status, got.headers["Retry-After"]) == (429, "1"),
    "http-404": lambda got: (got.status, got.body) == (404, b""),
    "redirect=http://127.0.0.1:1/x": lambda got: (
        (got.status, got.headers["Location"]) == (307, "http://127.0.0.1:1/x")
    ),
    "text-plain": lambda got: (
        got.headers["Content-Type"] == "text/plain" and got.document == got.truth
    ),
    "skewed-date": lambda got: (
        abs(
            (parsedate_to_datetime(got.headers["Date"]) - datetime.now(UTC)).seconds
            - 10800
        )
        < 60
    ),
    "gzip-bomb=2": lambda got: (
        int(got.headers["Content-Length"]) < 20_000 and len(got.body) > 2_000_000
    ),
    "huge-body=2": lambda got: (
        int(got.headers["Content-Length"]) > 2_000_000 and got.document == got.truth
    ),
    "slow=0.01": lambda got: got.document == got.truth,
    "dribble=0": lambda got: got.document == got.truth,
}


@pytest.mark.parametrize("text", ALTERED)
async def test_an_answer_goes_wrong_in_its_way(text: str) -> None:
    async with calling(text) as caller:
        assert ALTERED[text](await caller.ask())
        assert caller.sandbox.faults.fired() == {text: 1}
        assert caller.sandbox.log[-1].outcome == text.partition("=")[0]


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("control-characters", b'"title":"\x01\t\n'),
        ("bad-utf8", b'"title":"\xff\xfe'),
        ("lone-surrogate", b'"title":"\\ud83d'),
    ],
)
async def test_a_title_goes_wrong_where_there_is_one(text: str, inside: bytes) -> None:
    async with calling(text) as caller:
        answer = await caller.ask()
        assert answer.document == answer.truth
        assert inside in (await caller.ask(TITLED)).body
        assert caller.sandbox.faults.fired() == {text: 1}


@pytest.mark.parametrize(
    "text", ["missing-field", "fraction", "null-field", "extra-field"]
)
async def test_nested_figures_go_wrong_too(text: str) -> None:
    async with calling(text) as caller:
        answer = await caller.ask(TITLED)
        damaged, *others = answer.rows[0]["detail_list"]
        healthy = answer.truth["list"][0]["detail_list"]
        assert damaged != healthy[0]
        assert text == "extra-field" or others == healthy[1:]


async def test_an_answer_without_rows_cannot_have_a_wrong_one() -> None:
    async with calling(
        "fraction*1", "duplicate-rows", "outside", "text-numbers"
    ) as caller:
        empty = await caller.ask(("getusersummary", "2014-11-30", "2014-11-30"))
        assert empty.document == {"list": []}
        refused = await caller.ask(("getusersummary", "2026-01-20", "2026-01-20"))
        assert refused.document["errcode"] == 61501
        assert caller.sandbox.faults.fired()["fraction*1"] == 0


@pytest.mark.parametrize("text", ["reset", "truncated", "hang-up", "junk"])
async def test_a_connection_breaks_and_the_next_call_is_well(text: str) -> None:
    async with calling(f"{text}*1") as caller:
        with pytest.raises(aiohttp.ClientError):
            await caller.ask()
        answer = await caller.ask()
        assert answer.document == answer.truth


@asynccontextmanager
async def raw_call(caller: Caller) -> AsyncIterator[asyncio.StreamReader]:
    """One call on a connection of its own, and what comes back on it."""
    host, port = caller.sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = orjson.dumps({"begin_date": WEEK[1], "end_date": WEEK[2]})
    head = f"POST /datacube/{WEEK[0]}?access_token={caller.token()} HTTP/1.1\r\nHost: {host}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    try:
        yield reader
    finally:
        writer.close()


async def test_a_reset_resets_the_connection() -> None:
    async with calling("reset") as caller, raw_call(caller) as reader:
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_truncation_ends_the_connection_before_the_promised_length() -> None:
    async with calling("truncated") as caller, raw_call(caller) as reader:
        with pytest.raises(asyncio.IncompleteReadError):
            await read_answer(reader)


async def test_a_connection_may_close_unannounced() -> None:
    async with calling("closing") as caller, raw_call(caller) as reader:
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"connection" not in head.lower()
        assert "list" in orjson.loads(body)


async def test_a_late_answer_comes_without_having_been_asked_for() -> None:
    async with calling("late=0*1") as caller, raw_call(caller) as reader:
        first, second = [await read_answer(reader) for _ in range(2)]
        assert first == second
        assert "list" in orjson.loads(first)


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(
        line for line in head.splitlines() if line.startswith("content-length:")
    )
    return await reader.readexactly(int(length.partition(":")[2]))


async def test_a_silent_call_ends_when_the_client_goes() -> None:
    async with calling("silent*1") as caller:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller.ask(), 0.1)
        answer = await caller.ask()
        assert answer.document == answer.truth
        assert caller.sandbox.faults.fired() == {"silent*1": 1}


async def test_who_follows_a_redirect_or_returns_a_cookie_is_counted() -> None:
    async with calling("redirect*1", "set-cookie*1") as caller:
        url = f"{caller.sandbox.url}/datacube/{WEEK[0]}"
        async with caller.session.post(
            url, params={"access_token": caller.token()}
        ) as response:
            assert response.url.host == "localhost"
        assert caller.sandbox.tally.stats()["redirects_followed"] == 1
        answer = await caller.ask()
        assert answer.headers["Set-Cookie"].startswith("sandbox=1")
        assert answer.document == answer.truth
        assert caller.sandbox.tally.cookies == 0
        await caller.ask()
        assert caller.sandbox.tally.cookies == 1


async def test_a_fault_meets_only_its_accounts_and_endpoints() -> None:
    async with calling(f"busy@{ACCOUNT}/getuser*") as caller:
        assert await caller.outcomes(2) == [-1, -1]
        assert await caller.outcomes(
            1, ("getupstreammsg", "2026-01-19", "2026-01-19")
        ) == [0]
        assert "list" in (await caller.ask(token=caller.token(OTHER))).document


async def test_a_fault_may_strike_so_many_times_and_come_and_go() -> None:
    async with calling("busy*2") as caller:
        assert await caller.outcomes(4) == [-1, -1, 0, 0]
        caller.sandbox.faults.add("quota@wx*")
        assert await caller.outcomes(1) == [45009]
        caller.sandbox.faults.clear()
        assert await caller.outcomes(1) == [0]


def test_a_chance_falls_by_the_seed_and_not_by_the_order_of_calls() -> None:
    places = [
        Place("getusersummary", f"wx{number:016x}", "a", "b") for number in range(1000)
    ]

    def struck(seed: int, order: list[Place]) -> set[Place]:
        injection = Injection(seed, ("busy%30",))
        return {place for place in order if injection.candidates(place)}

    first = struck(1, places)
    assert 240 < len(first) < 360
    assert struck(1, places[::-1]) == first
    assert struck(2, places) != first


def test_a_second_try_has_a_chance_of_its_own() -> None:
    injection = Injection(1, ("busy%50",))
    place = Place("getusersummary", ACCOUNT, "a", "b")
    fates = {bool(injection.candidates(place)) for _ in range(50)}
    assert fates == {True, False}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busy", ("*", ("get*",), "", 100, None)),
        ("busy@wx12*", ("wx12*", ("get*",), "", 100, None)),
        ("busy@wx12*/getuser**3", ("wx12*", ("getuser*",), "", 100, 3)),
        ("busy@*/stable_token%30*2", ("*", ("stable_token",), "", 30, 2)),
        ("busy@wx*[3]", ("wx*[3]", ("get*",), "", 100, None)),
        ("skewed-date=1", ("*", ("get*",), "1", 100, None)),
        ("slow=0.5*3", ("*", ("get*",), "0.5", 100, 3)),
        (
            " redirect=http://localhost:9/a?b=c ",
            ("*", ("get*",), "http://localhost:9/a?b=c", 100, None),
        ),
    ],
)
def test_a_text_says_whom_where_and_how_often(
    text: str, expected: tuple[Any, ...]
) -> None:
    armed = parse(text)
    found = (armed.account, armed.endpoints, armed.value, armed.percent, armed.left)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bussy", "no fault is called 'bussy': the nearest is busy"),
        ("quotta@wx*", "the nearest is quota"),
        ("", "does not describe a fault"),
        ("busy@", "does not describe a fault"),
        ("busy%lots", "does not describe a fault"),
        ("unknown-code=many", "its value is a whole number"),
        ("gzip-bomb=0.5", "its value is a whole number"),
        ("slow=long", "its value is a number"),
    ],
)
def test_a_text_that_describes_no_fault_is_a_usage_error(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("*", r"\*")):
        Settings(faults=(text,)) and Injection(1, (text,))


def test_every_fault_is_tried_here_or_among_the_pushes() -> None:
    files = (Path(__file__), Path(__file__).with_name("test_sandbox_pushes.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    assert [name for name in FAULTS if f'"{name}' not in source] == []
