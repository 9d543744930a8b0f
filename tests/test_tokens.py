"""Tokens: one refresh for all who wait, and nothing of value is ever lost."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from issuing import (
    AUTHORIZER,
    COMPONENT,
    GRANTED,
    INFO,
    LIST,
    OWN,
    PLATFORM,
    PUSHES,
    STABLE,
    Issuer,
    Scene,
    error,
    refusal,
    scene,
)
from loopback import APPID, Seen, account, wechat

from harvester.accounts import Account
from harvester.api.codes import Decision, Refused, Scope
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.records import Minted
from harvester.errors import UsageError
from harvester.secret import Secret


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


# Own accounts


async def test_an_accounts_own_secret_fetches_a_stable_token_once(stage: Scene) -> None:
    tokens = stage.tokens()
    assert [await tokens.current(OWN) for _ in range(3)] == ["own1"] * 3
    assert stage.server.counts == {STABLE: 1}
    assert stage.wire.counters.token_refreshes == 1


async def test_a_stored_token_costs_no_call(stage: Scene) -> None:
    await stage.tokens().current(OWN)
    assert await stage.tokens(vault=stage.another()).current(OWN) == "own1"
    assert stage.server.counts == {STABLE: 1}


@pytest.mark.parametrize(
    ("lifetime", "used"), [(7200, 6900), ("7200", 6900), (345, 310.5), (20, 18)]
)
async def test_a_token_is_used_up_to_a_margin_before_its_end(
    stage: Scene, lifetime: object, used: float
) -> None:
    stage.issuer.lifetime = lifetime
    tokens = stage.tokens()
    await tokens.current(OWN)
    stage.clock.now += used - 0.1
    assert await tokens.current(OWN) == "own1"
    stage.clock.now += 0.2
    assert await tokens.current(OWN) == "own2"


async def test_a_hundred_tasks_with_an_expired_token_refresh_once(stage: Scene) -> None:
    tokens = stage.tokens()
    old = await tokens.current(OWN)
    new = await asyncio.gather(*(tokens.rejected(OWN, old) for _ in range(100)))
    assert set(new) == {"own2"}
    assert stage.server.counts == {STABLE: 2}


async def test_a_hundred_tasks_without_a_token_fetch_once(stage: Scene) -> None:
    tokens = stage.tokens()
    got = await asyncio.gather(*(tokens.current(OWN) for _ in range(100)))
    assert set(got) == {"own1"}
    assert stage.server.counts == {STABLE: 1}


async def test_a_rejected_value_that_was_replaced_already_is_just_replaced(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    old = await tokens.current(OWN)
    new = await tokens.rejected(OWN, old)
    assert await tokens.rejected(OWN, old) == new
    assert stage.server.counts == {STABLE: 2}


async def test_the_vault_is_read_again_before_a_refresh(stage: Scene) -> None:
    """Another process has refreshed meanwhile."""
    tokens = stage.tokens()
    old = await tokens.current(OWN)
    newer = Minted(token="theirs", learned_at=0, expires_at=stage.clock.now + 99)
    await stage.another().store(APPID, 1, newer)
    assert await tokens.rejected(OWN, old) == "theirs"
    assert stage.server.counts == {STABLE: 1}


async def test_two_views_of_one_vault_refresh_once(stage: Scene) -> None:
    first, second = stage.tokens(), stage.tokens(vault=stage.another())
    got = await asyncio.gather(
        *(tokens.current(OWN) for tokens in (first, second) for _ in range(5))
    )
    assert set(got) == {"own1"}
    old = got[0]
    got = await asyncio.gather(
        *(tokens.rejected(OWN, old) for tokens in (first, second) for _ in range(5))
    )
    assert set(got) == {"own2"}
    assert stage.server.counts == {STABLE: 2}


PROCESS = """
import asyncio, sys
from pathlib import Path
from harvester.accounts import Account
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.vault import opened
from harvester.api.wire import Wire
from harvester.secret import Secret

async def main(url, path):
    vault = opened(f"sqlite:///{path}")
    async with Wire((url,)) as wire:
        tokens = Tokens(wire, vault)
        own = Account(appid="wx00000000000000aa", secret=Secret("canary-account-secret"))
        await tokens.current(own)
        print("now", await tokens.rejected(own, "own1"))
    vault.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_on_one_vault_refresh_once(tmp_path: Path) -> None:
    async with wechat(Issuer()) as server:
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PROCESS, server.url, str(tmp_path / "v.db")),
                stdout=subprocess.PIPE,
            )
            for _ in range(2)
        ]
        printed = [(await process.communicate())[0] for process in processes]
    assert all(told.endswith(b"now own2\n") for told in printed)
    assert server.counts == {STABLE: 2}


async def test_a_dead_processs_lease_holds_nobody_up_for_long(stage: Scene) -> None:
    await stage.another().lease(APPID, 20)

    async def wait(seconds: float) -> None:
        stage.clock.now += seconds

    tokens = Tokens(stage.wire, stage.vault, clock=stage.clock, sleep=wait)
    before = stage.clock.now
    assert await tokens.current(OWN) == "own1"
    assert 20 <= stage.clock.now - before < 21


async def test_a_live_holder_that_never_ends_is_not_waited_for_for_ever(
    stage: Scene,
) -> None:
    other = stage.another()

    async def wait(seconds: float) -> None:
        await other.lease(APPID, 20)

    await other.lease(APPID, 20)
    tokens = Tokens(stage.wire, stage.vault, clock=stage.clock, sleep=wait)
    assert (await refusal(tokens.current(OWN))).code == "overtaken"
    assert stage.server.counts == {}


@pytest.mark.parametrize("code", [40001, 40125, 40013])
async def test_a_wrong_secret_refuses_the_account_and_asks_once(
    stage: Scene, code: int
) -> None:
    stage.issuer.errors[STABLE] = [error(code)] * 5
    tokens = stage.tokens()
    for _ in range(3):
        met = await refusal(tokens.current(OWN))
        assert (met.decision, met.scope) == (Decision.FAIL, Scope.ACCOUNT)
        assert "secret" in met.todo
    assert stage.server.counts == {STABLE: 1}


async def test_a_refusal_is_forgotten_after_a_while(stage: Scene) -> None:
    stage.issuer.errors[STABLE] = [error(40001)]
    tokens = stage.tokens()
    await refusal(tokens.current(OWN))
    stage.clock.now += 61
    assert await tokens.current(OWN) == "own1"


async def test_an_address_that_is_not_on_the_accounts_own_list_fails_the_account(
    stage: Scene,
) -> None:
    told = "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist"
    stage.issuer.errors[STABLE] = [error(40164, told)]
    met = await refusal(stage.tokens().current(OWN))
    assert (met.decision, met.scope) == (Decision.FAIL, Scope.ACCOUNT)
    assert "203.0.113.9" in met.todo


@pytest.mark.parametrize(
    "trouble",
    [error(-1), web.Response(status=502), b"<html>", b'{"access_token":"ow'],
    ids=["busy", "502", "html", "cut"],
)
async def test_passing_trouble_on_a_token_call_is_tried_again(
    stage: Scene, trouble: object
) -> None:
    stage.issuer.errors[STABLE] = [trouble]
    assert await stage.tokens().current(OWN) == "own1"
    assert stage.server.counts == {STABLE: 2}


async def test_lasting_trouble_ends_after_a_bounded_number_of_tries(
    stage: Scene,
) -> None:
    stage.issuer.errors[STABLE] = [error(-1)] * 50
    tokens = stage.tokens()
    got = await asyncio.gather(
        *(tokens.current(OWN) for _ in range(10)), return_exceptions=True
    )
    assert all(isinstance(met, Refused) for met in got)
    assert stage.server.counts == {STABLE: 4}
    assert (await refusal(tokens.current(OWN))).decision is Decision.RETRY


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": ""},
        {"access_token": "canary", "expires_in": 0},
        {"access_token": "canary"},
        {"access_token": 7, "expires_in": 7200},
        {"errcode": 0, "errmsg": "ok"},
    ],
)
async def test_an_answer_without_a_token_is_never_stored(
    stage: Scene, answer: dict[str, object]
) -> None:
    stage.issuer.errors[STABLE] = [answer]
    met = await refusal(stage.tokens().current(OWN))
    assert (met.code, met.decision) == ("no_token", Decision.FAIL)
    assert (await stage.vault.read(APPID)).token == ""


async def test_three_fresh_tokens_in_a_row_that_are_rejected_park_the_account(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    token = await tokens.current(OWN)
    token = await tokens.rejected(OWN, token)
    token = await tokens.rejected(OWN, token)
    for _ in range(3):
        met = await refusal(tokens.rejected(OWN, token))
        assert (met.decision, met.code) == (Decision.PARK_ACCOUNT, "rejected")
    assert stage.server.counts == {STABLE: 3}


async def test_an_accepted_call_resets_the_count(stage: Scene) -> None:
    tokens = stage.tokens()
    token = await tokens.current(OWN)
    for _ in range(5):
        token = await tokens.rejected(OWN, token)
        tokens.accepted(OWN)
    assert token == "own6"


async def test_tokens_that_another_system_keeps_replacing_are_not_fetched_for_ever(
    stage: Scene,
) -> None:
    """Each works for a call or two, so that no three in a row are rejected."""
    tokens, other = stage.tokens(), stage.tokens(vault=stage.another())
    token = await tokens.current(OWN)
    for _ in range(10):
        stage.clock.now += 60
        token = await tokens.rejected(OWN, token)
        tokens.accepted(OWN)
    for one in (tokens, other):
        met = await refusal(one.rejected(OWN, await one.current(OWN)))
        assert (met.code, met.decision) == ("contended", Decision.PARK_ACCOUNT)
        assert "another system" in met.todo
    assert stage.server.counts == {STABLE: 11}
    stage.clock.now += 3600
    assert await other.current(OWN) == "own12"


async def test_tokens_that_live_briefly_are_fetched_as_often_as_they_end(
    stage: Scene,
) -> None:
    stage.issuer.lifetime = 60
    tokens = stage.tokens()
    for number in range(1, 31):
        assert await tokens.current(OWN) == f"own{number}"
        stage.clock.now += 60


async def test_a_rejection_noted_without_fetching_makes_the_next_call_fetch(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    tokens.struck(OWN, await tokens.current(OWN))
    assert await tokens.current(OWN) == "own2"


async def test_a_token_found_in_the_vault_is_no_fresh_one(stage: Scene) -> None:
    await stage.tokens().current(OWN)
    stage.clock.now += 60
    tokens = stage.tokens(vault=stage.another())
    token = await tokens.current(OWN)
    for expected in ("own2", "own3", "own4"):
        token = await tokens.rejected(OWN, token)
        assert token == expected
    assert (await refusal(tokens.rejected(OWN, token))).code == "rejected"


async def test_the_same_token_handed_out_again_is_not_sent_again(stage: Scene) -> None:
    stage.issuer.errors[STABLE] = [{"access_token": "same", "expires_in": 7200}] * 9
    tokens = stage.tokens()
    token = await tokens.current(OWN)
    assert (await refusal(tokens.rejected(OWN, token))).code == "stale_token"
    assert (await refusal(tokens.current(OWN))).code == "stale_token"
    assert stage.server.counts == {STABLE: 2}


async def test_leaving_an_account_forgets_its_token_in_memory_only(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    await tokens.current(OWN)
    tokens.leave(APPID)
    assert await tokens.current(OWN) == "own1"
    assert stage.server.counts == {STABLE: 1}


# Accounts of a platform


async def test_a_ticket_and_a_refresh_token_give_an_accounts_token(
    stage: Scene,
) -> None:
    assert await stage.tokens().current(GRANTED) == "granted2"
    assert stage.server.counts == {COMPONENT: 1, AUTHORIZER: 1}
    assert stage.server.seen[0].body["component_verify_ticket"] == "ticket-1"
    assert stage.wire.counters.token_refreshes == 1


async def test_the_platforms_token_is_fetched_once_for_many_accounts(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    accounts = [
        account(f"wx{n:016x}", refresh_token=Secret("configured-refresh"))
        for n in range(20)
    ]
    await asyncio.gather(*(tokens.current(one) for one in accounts))
    assert stage.server.counts == {COMPONENT: 1, AUTHORIZER: 20}


async def test_an_account_without_configuration_gone_from_the_platform_is_gone(
    stage: Scene,
) -> None:
    await stage.vault.put_refresh_token(APPID, "void")
    met = await refusal(stage.tokens().current(account()))
    assert met.decision is Decision.ACCOUNT_GONE


async def test_waiting_accounts_take_the_platforms_token_of_the_first(
    stage: Scene,
) -> None:
    stage.issuer.errors[COMPONENT] = [error(-1), error(-1)]
    other = account("wx00000000000000bb", refresh_token=Secret("configured-refresh"))
    tokens = stage.tokens()
    await asyncio.gather(tokens.current(GRANTED), tokens.current(other))
    assert stage.server.counts == {COMPONENT: 3, AUTHORIZER: 2}


async def test_trouble_with_the_platforms_token_is_not_tried_again_twice_over(
    stage: Scene,
) -> None:
    stage.issuer.errors[COMPONENT] = [error(-1)] * 99

    async def wait(seconds: float) -> None:
        stage.clock.now += 30  # longer than a refusal is remembered

    tokens = Tokens(
        stage.wire, stage.vault, stage.platform, clock=stage.clock, sleep=wait
    )
    assert (await refusal(tokens.current(GRANTED))).decision is Decision.RETRY
    assert stage.server.counts == {COMPONENT: 4}


async def test_an_account_may_live_by_the_vault_alone(stage: Scene) -> None:
    await stage.vault.put_refresh_token(APPID, "configured-refresh")
    assert await stage.tokens().current(account()) == "granted2"


async def test_the_vaults_ticket_counts_where_the_configuration_gives_none(
    stage: Scene,
) -> None:
    stage.ticket = ""
    await stage.vault.put_ticket(PLATFORM, "from the vault")
    await stage.tokens().current(GRANTED)
    assert stage.server.seen[0].body["component_verify_ticket"] == "from the vault"


def _missing() -> str:
    raise FileNotFoundError(2, "No such file", "ticket.txt")


def _unusable() -> str:
    raise UsageError("ticket.txt: unreadable")


@pytest.mark.parametrize("ticket", [lambda: " \n", _missing, _unusable])
async def test_without_a_ticket_pushes_are_asked_for_and_everything_stops(
    stage: Scene, ticket: Callable[[], str]
) -> None:
    secret = Secret("canary-platform-secret")
    platform = Platform(appid=PLATFORM, secret=secret, ticket=ticket)
    met = await refusal(stage.tokens(platform).current(GRANTED))
    assert (met.decision, met.code) == (Decision.STOP_EVERYTHING, "no_ticket")
    assert "put-ticket" in met.todo
    assert stage.server.counts == {PUSHES: 1}


@pytest.mark.parametrize("code", [40001, 40125, 61011])
async def test_a_refused_platform_stops_everything_after_one_call(
    stage: Scene, code: int
) -> None:
    stage.issuer.errors[COMPONENT] = [error(code, "canary-platform-secret")] * 9
    tokens = stage.tokens()
    for number in range(5):
        one = account(f"wx{number:016x}", refresh_token=Secret("configured-refresh"))
        met = await refusal(tokens.current(one))
        assert met.decision is Decision.STOP_EVERYTHING
        assert met.code == str(code)
    assert stage.server.counts == {COMPONENT: 1}


async def test_the_platforms_token_is_renewed_at_half_its_life(stage: Scene) -> None:
    tokens = stage.tokens()
    await tokens.current(GRANTED)
    stage.clock.now += 3300
    await tokens.rejected(GRANTED, "granted2")
    assert stage.server.counts[COMPONENT] == 1
    stage.clock.now += 300
    await tokens.rejected(GRANTED, "granted3")
    assert stage.server.counts[COMPONENT] == 2


async def test_the_old_platform_token_is_used_while_renewing_it_fails(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    await tokens.current(GRANTED)
    stage.clock.now += 4000
    stage.issuer.errors[COMPONENT] = [error(-1)] * 9
    assert await tokens.rejected(GRANTED, "granted2") == "granted3"
    assert stage.server.counts[COMPONENT] == 2


async def test_a_platform_token_that_another_process_replaced_is_read_again(
    stage: Scene,
) -> None:
    first, second = stage.tokens(), stage.tokens(vault=stage.another())
    await first.current(GRANTED)
    other = account("wx00000000000000bb", refresh_token=Secret("configured-refresh"))
    await second.current(other)
    stage.clock.now += 4000
    await second.rejected(other, "granted3")  # renews the platform's token
    await first.rejected(GRANTED, "granted2")
    assert stage.server.counts[COMPONENT] == 2


async def test_a_platform_token_that_is_rejected_is_fetched_anew_once(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    await tokens.current(GRANTED)
    stage.issuer.component_tokens.append("another system's")
    assert await tokens.rejected(GRANTED, "granted2") == "granted5"
    assert stage.server.counts == {COMPONENT: 2, AUTHORIZER: 3}


async def test_platform_tokens_that_are_always_rejected_stop_everything(
    stage: Scene,
) -> None:
    stage.issuer.errors[AUTHORIZER] = [error(42001)] * 50
    tokens = stage.tokens()
    met = await refusal(tokens.current(GRANTED))
    assert (met.decision, met.code) == (Decision.STOP_EVERYTHING, "rejected")
    assert stage.server.counts == {COMPONENT: 3, AUTHORIZER: 3}


async def test_a_platform_token_that_another_system_keeps_replacing_stops_everything(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    token = await tokens.current(GRANTED)
    for _ in range(10):
        stage.clock.now += 60
        stage.issuer.component_tokens.append("another system's")
        token = await tokens.rejected(GRANTED, token)
        tokens.accepted(GRANTED)
    met = await refusal(tokens.rejected(GRANTED, token))
    assert met.code == "contended"


async def test_a_changed_refresh_token_is_stored_and_used_next(stage: Scene) -> None:
    stage.issuer.rotates_to = ["rotated"]
    stage.issuer.refresh_tokens.add("rotated")
    tokens = stage.tokens()
    token = await tokens.current(GRANTED)
    assert (await stage.vault.read(APPID)).refresh_token == "rotated"
    await tokens.rejected(GRANTED, token)
    assert stage.server.seen[-1].body["authorizer_refresh_token"] == "rotated"


@pytest.mark.parametrize("empty", ["", None])
async def test_an_empty_refresh_token_in_the_answer_keeps_the_old_one(
    stage: Scene, empty: object
) -> None:
    answer = {
        "authorizer_access_token": "t",
        "expires_in": 7200,
        "authorizer_refresh_token": empty,
    }
    stage.issuer.errors[AUTHORIZER] = [answer]
    await stage.tokens().current(GRANTED)
    assert (await stage.vault.read(APPID)).refresh_token == "configured-refresh"


async def test_a_refused_refresh_token_gives_way_to_a_previous_one(
    stage: Scene,
) -> None:
    stage.issuer.refresh_tokens = {"older"}
    await stage.vault.put_refresh_token(APPID, "older")
    await stage.vault.put_refresh_token(APPID, "newest")
    tokens = stage.tokens()
    await tokens.current(GRANTED)
    sent = [
        seen.body["authorizer_refresh_token"]
        for seen in stage.server.seen
        if seen.path == AUTHORIZER
    ]
    assert sent == ["newest", "configured-refresh", "older"]
    assert (await stage.vault.read(APPID)).refresh_token == "older"


async def test_an_account_whose_refresh_tokens_are_all_refused_is_gone(
    stage: Scene,
) -> None:
    stage.issuer.refresh_tokens = set()
    stage.issuer.informed[APPID] = "configured-refresh"
    tokens = stage.tokens()
    for _ in range(3):
        met = await refusal(tokens.current(GRANTED))
        assert (met.decision, met.code) == (Decision.ACCOUNT_GONE, "61023")
        assert "authorise" in met.todo
        assert "configured-refresh" not in met.message
        assert "needs re-authorisation" in met.message
    assert stage.server.counts == {COMPONENT: 1, AUTHORIZER: 1, LIST: 1, INFO: 1}
    assert (await stage.vault.read(APPID)).refresh_token == "configured-refresh"


@pytest.mark.parametrize(
    ("code", "decision"),
    [
        (61003, Decision.ACCOUNT_GONE),
        (50002, Decision.PARK_ACCOUNT),
        (48004, Decision.PARK_ACCOUNT),
        (50007, Decision.PARK_ACCOUNT),
        (61004, Decision.STOP_PROCESS),
        (99999, Decision.FAIL),
    ],
)
async def test_an_accounts_own_trouble_is_its_own(
    stage: Scene, code: int, decision: Decision
) -> None:
    stage.issuer.errors[AUTHORIZER] = [error(code)]
    tokens = stage.tokens()
    assert (await refusal(tokens.current(GRANTED))).decision is decision
    other = account("wx00000000000000bb", refresh_token=Secret("configured-refresh"))
    assert (await tokens.current(other)).startswith("granted")


@pytest.mark.parametrize("path", [AUTHORIZER, COMPONENT])
async def test_a_used_up_quota_ends_the_refreshes_and_spares_valid_tokens(
    stage: Scene, path: str
) -> None:
    tokens = stage.tokens()
    await stage.vault.store(
        "wx00000000000000cc",
        0,
        Minted(token="valid", learned_at=0, expires_at=stage.clock.now + 3000),
    )
    stage.issuer.errors[path] = [error(45009)] * 9
    for number in range(5):
        one = account(f"wx{number:016x}", refresh_token=Secret("configured-refresh"))
        met = await refusal(tokens.current(one))
        assert (met.decision, met.scope) == (Decision.PARK_ENDPOINT, Scope.ACCOUNT)
        assert met.retry_after is not None
        assert 12 * 3600 <= met.retry_after <= 12 * 3600 + 600
    assert stage.server.counts[path] == 1
    assert await tokens.current(account("wx00000000000000cc")) == "valid"


async def test_a_lost_answer_is_followed_by_a_look_into_the_vault(stage: Scene) -> None:
    """The outcome is unknown: what another process stored meanwhile is used."""

    async def store_and_fail() -> web.Response:
        stored = await stage.vault.read(APPID)
        newer = Minted(token="theirs", learned_at=0, expires_at=stage.clock.now + 99)
        await stage.vault.store(APPID, stored.generation, newer)
        return web.Response(status=502)

    stage.issuer.errors[AUTHORIZER] = [store_and_fail()]
    assert await stage.tokens().current(GRANTED) == "theirs"
    assert stage.server.counts[AUTHORIZER] == 1


async def test_a_slow_answer_does_not_overwrite_a_newer_authorisation(
    stage: Scene,
) -> None:
    stage.issuer.refresh_tokens.add("authorised anew")

    async def overtaken() -> dict[str, object]:
        await stage.another().put_refresh_token(APPID, "authorised anew")
        return {
            "authorizer_access_token": "dead",
            "expires_in": 7200,
            "authorizer_refresh_token": "dead refresh",
        }

    stage.issuer.errors[AUTHORIZER] = [overtaken()]
    assert await stage.tokens().current(GRANTED) == "granted2"
    assert (await stage.vault.read(APPID)).refresh_token == "authorised anew"


async def test_a_cancelled_refresh_is_stored_first(stage: Scene) -> None:
    """The refresh token that comes back exists nowhere else."""
    asked = anyio.Event()

    async def slow() -> dict[str, object]:
        asked.set()
        await asyncio.sleep(0.05)
        return {
            "authorizer_access_token": "late",
            "expires_in": 7200,
            "authorizer_refresh_token": "rotated",
        }

    stage.issuer.errors[AUTHORIZER] = [slow()]
    tokens = stage.tokens()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tokens.current, GRANTED)
        await asked.wait()
        tasks.cancel_scope.cancel()
    stored = await stage.vault.read(APPID)
    assert (stored.token, stored.refresh_token) == ("late", "rotated")
    assert await stage.another().lease(APPID, 20) is not None


async def test_a_waiting_task_survives_the_cancellation_of_the_one_that_fetches(
    stage: Scene,
) -> None:
    async def slow() -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response(status=502)

    stage.issuer.errors[STABLE] = [slow()]
    tokens = stage.tokens()
    first = asyncio.create_task(tokens.current(OWN))
    second = asyncio.create_task(tokens.current(OWN))
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == "own1"


async def test_an_account_with_no_way_to_a_token_is_told_what_to_do(
    stage: Scene,
) -> None:
    met = await refusal(stage.tokens(Platform()).current(account()))
    assert (met.code, met.scope) == ("no_credentials", Scope.ACCOUNT)
    assert "token_url" in met.todo
    assert stage.server.counts == {}
    stage.issuer.informed[APPID] = ""
    met = await refusal(stage.tokens().current(account()))
    assert (met.code, met.scope) == ("no_refresh_token", Scope.ACCOUNT)
    assert "put-refresh-token" in met.todo


# Guests


GUEST = {"Authorization": Secret("Bearer canary-guest")}


def guest(url: str) -> Platform:
    return Platform(token_url=url, token_headers=GUEST)


async def test_a_guest_reads_tokens_and_never_mints_or_stores_one(stage: Scene) -> None:
    async with wechat(lambda seen: {"access_token": "theirs", "expires_in": 60}) as own:
        tokens = stage.tokens(guest(f"{own.url}/tokens/{{appid}}"))
        for one in (OWN, GRANTED, account()):
            assert await tokens.current(one) == "theirs"
    assert [seen.path for seen in own.seen] == [f"/tokens/{APPID}"]
    assert own.seen[0].method == "GET"
    assert own.seen[0].headers["Authorization"] == "Bearer canary-guest"
    assert stage.server.counts == {}
    assert (await stage.vault.read(APPID)).token == ""


async def test_a_guest_reads_again_once_after_a_rejection(stage: Scene) -> None:
    answers = iter(["a", "a", "b"])

    def script(seen: Seen) -> dict[str, object]:
        return {"access_token": next(answers), "expires_in": 7200}

    async with wechat(script) as own:
        tokens = stage.tokens(guest(f"{own.url}/{{appid}}"))
        assert await tokens.current(OWN) == "a"
        assert (await refusal(tokens.rejected(OWN, "a"))).code == "stale_token"
        assert (await refusal(tokens.current(OWN))).code == "stale_token"
        stage.clock.now += 61
        assert await tokens.current(OWN) == "b"
    assert len(own.seen) == 3


@pytest.mark.parametrize("status", [404, 410])
async def test_a_guest_that_is_told_nothing_of_an_account_counts_it_as_gone(
    stage: Scene, status: int
) -> None:
    async with wechat(lambda seen: web.Response(status=status)) as own:
        met = await refusal(stage.tokens(guest(f"{own.url}/")).current(OWN))
    assert met.decision is Decision.ACCOUNT_GONE
    assert met.scope is Scope.ACCOUNT


@pytest.mark.parametrize("status", [401, 403])
async def test_a_guest_that_is_turned_away_says_so(stage: Scene, status: int) -> None:
    def script(seen: Seen) -> web.Response:
        return web.Response(status=status, body=seen.headers["Authorization"].encode())

    async with wechat(script) as own:
        met = await refusal(stage.tokens(guest(f"{own.url}/")).current(OWN))
    assert (met.decision, met.scope) == (Decision.FAIL, Scope.ACCOUNT)
    assert str(status) in met.message


async def test_a_guests_redirect_does_not_carry_its_credentials_away(
    stage: Scene,
) -> None:
    async with wechat() as other:
        where = {"Location": f"{other.url}/"}
        async with wechat(lambda seen: web.Response(status=307, headers=where)) as own:
            met = await refusal(stage.tokens(guest(f"{own.url}/")).current(OWN))
    assert met.code == "redirect"
    assert other.seen == []


async def test_an_accounts_own_token_server_comes_first_and_sees_no_foreign_headers(
    stage: Scene,
) -> None:
    answer = {"access_token": "its own", "expires_in": 7200}
    async with wechat(lambda seen: answer) as own, wechat() as platforms:
        tokens = stage.tokens(guest(f"{platforms.url}/"))
        assert await tokens.current(account(token_url=f"{own.url}/x")) == "its own"
    assert "Authorization" not in own.seen[0].headers
    assert platforms.seen == []


async def test_a_token_server_that_fails_for_a_moment_is_asked_again(
    stage: Scene,
) -> None:
    answers = iter([web.Response(status=503), {"access_token": "a", "expires_in": 60}])
    async with wechat(lambda seen: next(answers)) as own:
        assert await stage.tokens(guest(f"{own.url}/")).current(OWN) == "a"


def test_neither_platform_nor_account_shows_a_secret() -> None:
    platform = Platform(
        appid=PLATFORM, secret=Secret("canary"), token_headers={"A": Secret("canary")}
    )
    shown = repr(platform) + repr(Account(appid=APPID, secret=Secret("canary")))
    assert "canary" not in shown
    assert json.dumps(shown)
