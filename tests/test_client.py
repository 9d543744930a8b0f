"""The client: one call in, an answer or a decision out, and nothing leaks or spreads."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from loopback import (
    APPID,
    EMPTY,
    Seen,
    WeChat,
    account,
    call,
    endpoint,
    http,
    no_sleep,
    raw,
    request_of,
    wechat,
)
from structlog.testing import capture_logs

from harvester.accounts import Account
from harvester.api import client as ladder
from harvester.api.client import Answer, Client, Quota
from harvester.api.codes import Decision, Refusal, Scope
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.records import Minted
from harvester.api.vault.sqlite import SqliteStore
from harvester.api.vault.vault import Vault
from harvester.api.wire import Wire
from harvester.catalogue.endpoint import Request
from harvester.dates import Granularity
from harvester.errors import StorageError
from harvester.sandbox.app import running
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings, appids
from harvester.secret import Secret

STABLE = "/cgi-bin/stable_token"
OWN = account(secret=Secret("canary-account-secret"))
FAST = 1e5


@dataclass
class Script:
    """Answers calls of data from a list, the last one for ever; issues tokens."""

    answers: list[Any] = field(default_factory=lambda: [EMPTY])
    valid: set[str] | None = None
    issued: int = 0

    def __call__(self, seen: Seen) -> Any:
        if seen.path == STABLE:
            self.issued += 1
            return {"access_token": self.token, "expires_in": 7200}
        if self.valid is not None and seen.token not in self.valid:
            return {"errcode": 40001, "errmsg": f"invalid credential {seen.token}"}
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def token(self) -> str:
        return f"canary-token-number-{self.issued}"


@dataclass
class Stage:
    server: WeChat
    platform: Script
    wire: Wire
    vault: Vault
    client: Client
    slept: list[float]

    @property
    def asked(self) -> list[Seen]:
        return [seen for seen in self.server.seen if seen.path != STABLE]


@asynccontextmanager
async def staged(
    path: Path, urls: tuple[str, ...] = (), rate: float = FAST
) -> AsyncIterator[Stage]:
    platform = Script()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    vault = Vault(SqliteStore(path / "vault.db"))
    async with (
        wechat(platform) as server,
        Wire((*urls, server.url), timeout_seconds=5) as wire,
    ):
        tokens = Tokens(wire, vault, sleep=no_sleep)
        client = Client(wire, tokens, calls_per_second=rate, sleep=sleep)
        yield Stage(server, platform, wire, vault, client, slept)
    vault.close()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as made:
        yield made


def error(code: object, message: str = "told rid: 61b7f9e0-66c14e21-3f647b7e") -> Any:
    return {"errcode": code, "errmsg": message}


async def answered(stage: Stage, **of: Any) -> Answer:
    got = await stage.client.ask(call(**of), OWN)
    assert isinstance(got, Answer), got
    return got


async def refused(stage: Stage, **of: Any) -> Refusal:
    got = await stage.client.ask(call(**of), OWN)
    assert isinstance(got, Refusal)
    assert "canary" not in repr(got)
    assert len(got.message) <= 300
    return got


async def test_a_call_is_posted_with_its_window_and_token(stage: Stage) -> None:
    stage.platform.answers = [b'{"list": [ {"ref_date": "2021-07-26"} ]}']
    before = time.time_ns() // 1000
    got = await answered(stage)
    assert got.pages == (b'{"list": [ {"ref_date": "2021-07-26"} ]}',)
    assert got.documents == ({"list": [{"ref_date": "2021-07-26"}]},)
    assert got.attempts == 1
    assert before <= got.fetched_at <= time.time_ns() // 1000
    (seen,) = stage.asked
    assert (seen.method, seen.path) == ("POST", "/datacube/getusersummary")
    assert seen.body == {"begin_date": "2021-07-26", "end_date": "2021-08-01"}
    assert seen.query == {"access_token": stage.platform.token}


async def test_dates_are_written_as_the_endpoint_wants_them(stage: Stage) -> None:
    compact = endpoint(request=Request(first="start", last="end", format="YYYYMMDD"))
    await answered(stage, of=compact)
    assert stage.asked[0].body == {"start": "20210726", "end": "20210801"}


async def test_a_whole_period_is_asked_up_to_its_last_day(stage: Stage) -> None:
    weekly = replace(
        endpoint(request=Request(whole_period=True)), granularity=Granularity.WEEK
    )
    await answered(stage, of=weekly, days=1)
    assert stage.asked[0].body == {"begin_date": "2021-07-26", "end_date": "2021-08-01"}


PAGED = endpoint(
    "publisher",
    family="publisher",
    request=Request(
        method="GET",
        first="start_date",
        last="end_date",
        constant=(("action", "general"),),
        page="page",
        page_size=("page_size", 2),
        total="total_num",
    ),
    errors=("base_resp.ret", "base_resp.err_msg"),
)


def page(*rows: int, total: object) -> dict[str, Any]:
    return {
        "base_resp": {"ret": 0, "err_msg": "ok"},
        "list": [{"n": row} for row in rows],
        "total_num": total,
    }


async def test_all_pages_of_a_get_belong_to_one_answer(stage: Stage) -> None:
    stage.platform.answers = [
        page(1, 2, total=5),
        page(3, 4, total="5"),
        page(5, total=5),
    ]
    got = await answered(stage, of=PAGED)
    assert [row["n"] for doc in got.documents for row in doc["list"]] == [1, 2, 3, 4, 5]
    assert (len(got.pages), got.attempts) == (3, 3)
    assert stage.client.counters.calls == 3
    for number, seen in enumerate(stage.asked, 1):
        assert (seen.method, seen.body) == ("GET", None)
        assert seen.query == {
            "action": "general",
            "start_date": "2021-07-26",
            "end_date": "2021-08-01",
            "page": str(number),
            "page_size": "2",
            "access_token": stage.platform.token,
        }


async def test_no_rows_at_all_are_one_page(stage: Stage) -> None:
    stage.platform.answers = [page(total=0)]
    assert len((await answered(stage, of=PAGED)).pages) == 1


async def test_a_page_that_fails_fails_the_call(stage: Stage) -> None:
    stage.platform.answers = [page(1, 2, total=4), error(48001)]
    got = await refused(stage, of=PAGED)
    assert (got.decision, got.attempts) == (Decision.DENY_ENDPOINT, 2)


@pytest.mark.parametrize("total", [None, "many", 1.5, [], True])
async def test_pages_without_a_total_fail(stage: Stage, total: object) -> None:
    stage.platform.answers = [page(1, 2, total=total)]
    assert (await refused(stage, of=PAGED)).code == "no_rows"


async def test_an_absurd_total_does_not_run_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "MOST_PAGES", 5)
    stage.platform.answers = [page(1, 2, total=10**12)]
    assert (await refused(stage, of=PAGED)).code == "too_large"
    assert len(stage.asked) == 5


FINAL = [
    (45011, Decision.SLOW_DOWN, 1),
    (45009, Decision.PARK_ENDPOINT, 1),
    (48001, Decision.DENY_ENDPOINT, 1),
    (61007, Decision.DENY_SET, 1),
    (61003, Decision.ACCOUNT_GONE, 1),
    (50002, Decision.PARK_ACCOUNT, 1),
    (61503, Decision.NOT_READY, 1),
    (61501, Decision.NARROW, 1),
    (47009, Decision.RETIRED, 1),
    (46009, Decision.EMPTY, 1),
    (61004, Decision.STOP_PROCESS, 1),
    (61005, Decision.STOP_EVERYTHING, 1),
    (61500, Decision.FAIL, 1),
    (99999, Decision.FAIL, 1),
    (-1, Decision.RETRY, 4),
    (40001, Decision.REFRESH_TOKEN, 2),
    (61023, Decision.RECOVER_REFRESH_TOKEN, 2),
]


@pytest.mark.parametrize("spelling", [int, str])
@pytest.mark.parametrize(("code", "decision", "calls"), FINAL)
async def test_every_decision_comes_back_as_a_value(
    stage: Stage, code: int, decision: Decision, calls: int, spelling: Any
) -> None:
    stage.platform.answers = [error(spelling(code))]
    got = await refused(stage)
    assert (got.decision, got.code) == (decision, str(code))
    assert got.rid == "61b7f9e0-66c14e21-3f647b7e"
    assert got.attempts == calls == len(stage.asked)
    assert stage.client.counters.calls == calls


def test_the_list_above_holds_every_decision() -> None:
    assert {decision for _, decision, _ in FINAL} == set(Decision)


async def test_what_is_over_in_a_moment_is_tried_again(stage: Stage) -> None:
    stage.platform.answers = [error(-1), error("-1"), EMPTY]
    got = await answered(stage)
    assert got.attempts == 3
    counters = stage.client.counters
    assert (counters.calls, counters.retries) == (3, 2)
    assert len(stage.slept) == 2
    assert all(0 <= seconds <= 10 for seconds in stage.slept)


@pytest.mark.parametrize(
    "trouble",
    [
        b"<html>502</html>",
        b"",
        b'{"list": [',
        b"[]",
        web.Response(status=502),
        web.Response(status=429),
        web.Response(status=204),
    ],
    ids=["html", "empty", "cut", "array", "502", "429", "204"],
)
async def test_an_answer_that_is_none_is_tried_again(
    stage: Stage, trouble: object
) -> None:
    stage.platform.answers = [trouble, EMPTY]
    assert (await answered(stage)).attempts == 2


async def test_an_answer_that_never_becomes_one_keeps_its_bytes(stage: Stage) -> None:
    stage.platform.answers = [b"<html>down</html>"]
    got = await refused(stage)
    assert (got.code, got.decision, got.attempts) == ("not_json", Decision.RETRY, 4)
    assert got.body == b"<html>down</html>"


@pytest.mark.parametrize("document", [{"lst": []}, {"errcode": 0, "errmsg": "ok"}])
async def test_a_success_without_rows_is_a_failure_that_keeps_its_bytes(
    stage: Stage, document: dict[str, object]
) -> None:
    stage.platform.answers = [document]
    got = await refused(stage)
    assert (got.code, got.decision) == ("no_rows", Decision.FAIL)
    assert got.body == orjson.dumps(document)
    assert len(stage.asked) == 1


async def test_a_server_that_names_a_time_is_asked_again_then(stage: Stage) -> None:
    busy = web.Response(status=503, headers={"Retry-After": "7"})
    stage.platform.answers = [busy, EMPTY]
    await answered(stage)
    assert stage.slept == [7.0]


async def test_a_server_that_wants_peace_for_longer_gets_it(stage: Stage) -> None:
    busy = web.Response(status=503, headers={"Retry-After": "600"})
    stage.platform.answers = [busy]
    got = await refused(stage)
    assert (got.decision, got.scope) == (Decision.NOT_READY, Scope.ACCOUNT)
    assert got.retry_after == 600
    assert stage.slept == []


async def test_trouble_that_is_everywhere_is_not_doubled_by_retries(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "SPARE_RETRIES", 5)
    stage.platform.answers = [error(-1)]
    for _ in range(100):
        await refused(stage)
    counters = stage.client.counters
    assert counters.calls - counters.retries == 100
    assert counters.retries <= 5 + 100 // 2
    assert counters.calls == len(stage.asked)


async def test_tokens_that_expire_under_a_hundred_calls_are_refreshed_once(
    stage: Stage,
) -> None:
    await answered(stage)
    stage.platform.valid = {"canary-token-number-2"}
    got = await asyncio.gather(*(stage.client.ask(call(), OWN) for _ in range(100)))
    assert all(isinstance(one, Answer) for one in got)
    assert stage.server.counts[STABLE] == 2
    assert stage.client.counters.token_refreshes == 2


async def test_a_token_is_refreshed_at_most_once_a_request(stage: Stage) -> None:
    stage.platform.valid = set()
    got = await refused(stage)
    assert (got.decision, got.attempts) == (Decision.REFRESH_TOKEN, 2)
    assert stage.server.counts[STABLE] == 2


async def test_an_account_whose_tokens_are_always_rejected_is_parked(
    stage: Stage,
) -> None:
    stage.platform.valid = set()
    got = [await refused(stage) for _ in range(20)]
    assert got[-1].decision is Decision.PARK_ACCOUNT
    assert got[-1].scope is Scope.ACCOUNT
    assert stage.server.counts[STABLE] == 3
    assert len(stage.asked) <= 4


async def test_a_refused_token_call_is_a_refusal_of_the_call(stage: Stage) -> None:
    got = await stage.client.ask(call(), account())
    assert isinstance(got, Refusal)
    assert (got.code, got.scope, got.attempts) == ("no_credentials", Scope.ACCOUNT, 0)
    assert stage.client.counters.calls == 0


async def test_trouble_of_a_token_call_is_not_tried_again_twice_over(
    tmp_path: Path,
) -> None:
    vault = Vault(SqliteStore(tmp_path / "vault.db"))
    async with Wire(("http://127.0.0.1:9",)) as wire:
        tokens = Tokens(wire, vault, sleep=no_sleep)
        client = Client(wire, tokens, calls_per_second=FAST, sleep=no_sleep)
        got = await client.ask(call(), OWN)
    vault.close()
    assert isinstance(got, Refusal)
    assert (got.code, got.decision, got.attempts) == (
        "unreachable",
        Decision.RETRY,
        0,
    )
    assert client.counters.retries == 0


async def test_a_request_that_never_left_is_no_call(tmp_path: Path) -> None:
    vault = Vault(SqliteStore(tmp_path / "vault.db"))
    until = time.time() + 999
    await vault.store(APPID, 0, Minted(token="t", learned_at=0, expires_at=until))
    async with Wire(("http://127.0.0.1:9",)) as wire:
        tokens = Tokens(wire, vault)
        client = Client(wire, tokens, calls_per_second=FAST, sleep=no_sleep)
        got = await client.ask(call(), OWN)
    vault.close()
    assert isinstance(got, Refusal)
    assert (got.code, got.attempts, client.counters.calls) == ("unreachable", 0, 0)


async def test_calls_fall_back_to_the_second_address(tmp_path: Path) -> None:
    async with staged(tmp_path, urls=()) as home:
        until = time.time() + 999
        minted = Minted(token="t", learned_at=0, expires_at=until)
        await home.vault.store(APPID, 0, minted)
        async with Wire(("http://127.0.0.1:9", home.server.url)) as wire:
            tokens = Tokens(wire, home.vault)
            client = Client(wire, tokens, calls_per_second=FAST)
            got = await client.ask(call(), OWN)
    assert isinstance(got, Answer)
    assert got.attempts == 1


async def test_too_many_calls_slow_the_account_down_and_come_back_at_once(
    stage: Stage,
) -> None:
    stage.platform.answers = [error(45011)]
    got = await asyncio.gather(*(stage.client.ask(call(), OWN) for _ in range(4)))
    assert all(isinstance(one, Refusal) for one in got)
    assert stage.slept == []
    for one in got:
        assert isinstance(one, Refusal)
        assert one.retry_after is not None
        assert 0 < one.retry_after <= 65
    assert stage.client._paces[APPID].rate == FAST / 2


async def test_an_account_may_have_a_rate_of_its_own(stage: Stage) -> None:
    slow = account(secret=Secret("canary-account-secret"), calls_per_second=0.5)
    await stage.client.ask(call(), slow)
    assert stage.client._paces[APPID].rate == 0.5
    stage.client.leave(APPID)
    assert APPID not in stage.client._paces


async def test_an_echoed_token_is_masked_in_message_and_body(stage: Stage) -> None:
    await answered(stage)
    token = stage.platform.token
    stage.platform.answers = [error(99999, f"who is {token}? {token[:12]}...")]
    got = await refused(stage)
    assert got.message.startswith("WeChat refused with a code nobody knows: who is ***")
    assert got.body is not None
    assert b"canary" not in got.body
    stage.platform.answers = [f"<html>{token}</html>".encode()]
    got = await refused(stage)
    assert got.body is not None
    assert b"canary" not in got.body


async def test_retries_and_refreshes_are_told_without_secrets(stage: Stage) -> None:
    await answered(stage)
    stage.platform.valid = {"canary-token-number-2"}
    stage.platform.answers = [error(-1), EMPTY]
    with capture_logs() as logs:
        await answered(stage)
    events = [entry["event"] for entry in logs]
    assert events == ["token_rejected", "token_refresh", "retry"]
    assert "canary" not in repr(logs)
    assert logs[2]["account"] == APPID
    assert logs[2]["endpoint"] == "getusersummary"
    assert logs[2]["window"] == "2021-07-26..2021-08-01"
    assert logs[2]["rid"] == "61b7f9e0-66c14e21-3f647b7e"


QUOTA = {
    "errcode": 0,
    "errmsg": "ok",
    "quota": {"daily_limit": 1000, "used": 30, "remain": 970},
    "rate_limit": {"call_count": 100, "refresh_second": 60},
    "component_rate_limit": {"call_count": 50, "refresh_second": 60},
}


async def test_the_quota_is_asked_by_path_and_counts_as_no_call(stage: Stage) -> None:
    stage.platform.answers = [QUOTA]
    assert await stage.client.quota(OWN, endpoint()) == Quota(1000, 30, 970, 50, 60)
    (seen,) = stage.asked
    assert seen.path == "/cgi-bin/openapi/quota/get"
    assert seen.body == {"cgi_path": "/datacube/getusersummary"}
    assert stage.client.counters.calls == 0


async def test_a_quota_without_a_rate_is_one_all_the_same(stage: Stage) -> None:
    stage.platform.answers = [{"quota": {"daily_limit": 0, "used": 0, "remain": 0}}]
    assert await stage.client.quota(OWN, endpoint()) == Quota(0, 0, 0)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error(76021), "76021"),
        ({"errcode": 0}, "no_rows"),
        ({"quota": {"daily_limit": "x", "used": 0, "remain": 0}}, "no_rows"),
    ],
)
async def test_a_quota_that_is_not_told_is_a_refusal(
    stage: Stage, answer: object, code: str
) -> None:
    stage.platform.answers = [answer]
    got = await stage.client.quota(OWN, endpoint())
    assert isinstance(got, Refusal)
    assert got.code == code


async def test_one_accounts_trouble_leaves_the_others_alone(stage: Stage) -> None:
    def script(seen: Seen) -> Any:
        if seen.path == STABLE:
            return {
                "access_token": f"token-of-{seen.body['appid']}",
                "expires_in": 7200,
            }
        bad = seen.token.endswith("0")
        return error(61003) if bad else {"list": [], "mine": seen.token}

    stage.server.script = script
    accounts = [account(f"wx{n:016x}", secret=Secret("s")) for n in range(32)]
    got = await asyncio.gather(
        *(stage.client.ask(call(one.appid), one) for one in accounts)
    )
    for one, result in zip(accounts, got, strict=True):
        if one.appid.endswith("0"):
            assert isinstance(result, Refusal)
        else:
            assert isinstance(result, Answer)
            assert result.documents[0]["mine"] == f"token-of-{one.appid}"


async def test_a_late_second_answer_never_becomes_the_next_accounts(
    tmp_path: Path,
) -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await request_of(reader)
            token = asked.partition(b"access_token=")[2].partition(b" ")[0]
            body = b'{"list": [], "mine": "%s"}' % token
            writer.write(http(body))
            await writer.drain()
            await asyncio.sleep(0.005)
            writer.write(http(body))
            await writer.drain()

    vault = Vault(SqliteStore(tmp_path / "vault.db"))
    accounts = [account(f"wx{n:016x}") for n in range(8)]
    for one in accounts:
        minted = Minted(token=one.appid, learned_at=0, expires_at=time.time() + 999)
        await vault.store(one.appid, 0, minted)
    async with raw(twice) as url, Wire((url,)) as wire:
        client = Client(wire, Tokens(wire, vault), calls_per_second=FAST)
        for one in accounts * 3:
            got = await client.ask(call(one.appid), one)
            assert isinstance(got, Answer)
            assert got.documents[0]["mine"] == one.appid
            await asyncio.sleep(0.01)
    vault.close()


async def test_a_stale_connection_is_replaced_at_once(stage: Stage) -> None:
    await answered(stage)
    first = True

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        await request_of(reader)
        if first:
            first = False
            return
        writer.write(http(b'{"list": []}'))
        await writer.drain()

    async with raw(talk) as url, Wire((url,)) as wire:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        tokens = Tokens(wire, stage.vault)
        client = Client(wire, tokens, calls_per_second=FAST, sleep=sleep)
        got = await client.ask(call(), OWN)
    assert isinstance(got, Answer)
    assert (got.attempts, slept) == (2, [0.0])


async def test_the_clocks_skew_is_told(stage: Stage) -> None:
    assert stage.client.skew_seconds is None
    await answered(stage)
    assert stage.client.skew_seconds == pytest.approx(0, abs=2)


async def test_a_vault_that_fails_is_no_refusal_of_an_account(stage: Stage) -> None:
    stage.vault.documents.store.database.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError):
        await stage.client.ask(call(), OWN)
    assert stage.server.seen == []


async def test_a_call_that_is_cancelled_leaves_the_client_usable(stage: Stage) -> None:
    async def slow() -> dict[str, object]:
        await asyncio.sleep(5)
        return EMPTY

    stage.platform.answers = [slow(), EMPTY]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await stage.client.ask(call(), OWN)
    await answered(stage)


async def played(path: Path, box: Sandbox, one: Account, calls: int) -> Client:
    """So many calls at once against a whole stand-in platform, all answered."""
    vault = Vault(SqliteStore(path / "vault.db"))
    platform = Platform(
        appid="wxffffffffffffffff", secret=Secret("s"), ticket=lambda: "ticket"
    )
    users = replace(endpoint(), path="/datacube/getusersummary")
    async with Wire((box.url,)) as wire:
        tokens = Tokens(wire, vault, platform, sleep=no_sleep)
        client = Client(wire, tokens, calls_per_second=FAST, sleep=no_sleep)
        for _ in range(2):
            got = await asyncio.gather(
                *(client.ask(call(one.appid, users), one) for _ in range(calls))
            )
            assert all(isinstance(answer, Answer) for answer in got), got
            box.expire_tokens(one.appid)
    vault.close()
    return client


@pytest.mark.parametrize(
    ("credential", "name"),
    [("secret", "stable_token"), ("refresh_token", "api_authorizer_token")],
)
async def test_a_whole_platform_is_played_through_with_one_refresh_for_all(
    tmp_path: Path, credential: str, name: str
) -> None:
    (appid,) = appids(1, 1)
    one = account(appid, **{credential: Secret(f"{credential}-of-the-account")})
    rotating = Settings(rotate_refresh_tokens=credential == "refresh_token")
    async with running(rotating) as box:
        client = await played(tmp_path, box, one, 20)
        assert box.token_calls[name, appid] == 2
        assert box.calls["getusersummary", appid] == client.counters.calls
    assert client.counters.token_refreshes == 2
    assert client.counters.retries == 0
