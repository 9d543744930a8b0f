"""Recovery: what is lost is looked for before an account, or the platform, is given up."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from issuing import (
    AUTHORIZER,
    COMPONENT,
    GRANTED,
    INFO,
    LIST,
    PLATFORM,
    PUSHES,
    Scene,
    error,
    refusal,
    scene,
)
from loopback import APPID, account

from harvester.accounts import Account
from harvester.api.codes import Decision, Scope
from harvester.api.tokens.enquiries import facts_of
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.records import Facts
from harvester.secret import Secret

HOUR = 3600


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


def appid(number: int) -> str:
    return f"wx{number:016x}"


# Refresh tokens


async def test_a_refused_refresh_token_is_recovered_from_the_platforms_list(
    stage: Scene,
) -> None:
    stage.issuer.refresh_tokens = {"from the list"}
    stage.issuer.listed = [
        ("wx00000000000000bb", "another's"),
        (APPID, "from the list"),
    ]
    assert (await stage.tokens().current(GRANTED)).startswith("granted")
    assert stage.server.counts == {COMPONENT: 1, AUTHORIZER: 2, LIST: 1}
    stored = await stage.vault.read(APPID)
    assert stored.refresh_token == "from the list"
    assert (await stage.vault.previous(APPID))[0] == "from the list"


async def test_a_vault_that_lost_everything_is_filled_from_the_list(
    stage: Scene,
) -> None:
    stage.issuer.listed = [(appid(n), "configured-refresh") for n in range(40)]
    tokens = stage.tokens()
    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(tokens.current, account(appid(number)))
    assert stage.server.counts == {COMPONENT: 1, AUTHORIZER: 40, LIST: 1}


async def test_the_list_is_read_until_it_names_the_account_and_no_further(
    stage: Scene,
) -> None:
    stage.issuer.listed = [(appid(n), "configured-refresh") for n in range(1300)]
    tokens = stage.tokens()
    for number, offsets in ((700, [0, 500]), (30, [0, 500]), (1100, [0, 500, 1000])):
        await tokens.current(account(appid(number)))
        asked = [s.body["offset"] for s in stage.server.seen if s.path == LIST]
        assert asked == offsets
    assert {s.body["count"] for s in stage.server.seen if s.path == LIST} == {500}


async def test_what_the_list_says_of_others_waits_for_its_turn(stage: Scene) -> None:
    """A refresh under way may have brought a newer one than the list had."""
    await stage.vault.put_refresh_token("wx00000000000000bb", "newest")
    stage.issuer.listed = [
        ("wx00000000000000bb", "older"),
        (APPID, "configured-refresh"),
    ]
    await stage.tokens().current(account())
    assert (await stage.vault.read("wx00000000000000bb")).refresh_token == "newest"
    assert await stage.vault.previous("wx00000000000000bb") == ("older", "newest")


async def test_a_list_that_repeats_itself_comes_to_an_end(stage: Scene) -> None:
    same = {"list": [{"authorizer_appid": "wx00000000000000bb"}, 7, {"x": 1}]}
    stage.issuer.errors[LIST] = [same] * 50
    stage.issuer.informed[APPID] = ""
    met = await refusal(stage.tokens().current(account()))
    assert met.code == "no_refresh_token"
    assert stage.server.counts[LIST] == 2


async def test_the_list_is_read_anew_after_a_while(stage: Scene) -> None:
    stage.issuer.informed[APPID] = ""
    tokens = stage.tokens()
    await refusal(tokens.current(account()))
    stage.issuer.listed = [(APPID, "configured-refresh")]
    stage.clock.now += 601
    assert (await tokens.current(account())).startswith("granted")


async def test_the_info_is_asked_where_the_list_has_nothing_new(stage: Scene) -> None:
    stage.issuer.refresh_tokens = {"from the info"}
    stage.issuer.listed = [(APPID, "configured-refresh")]
    stage.issuer.informed[APPID] = "from the info"
    assert (await stage.tokens().current(GRANTED)).startswith("granted")
    assert stage.server.counts == {COMPONENT: 1, AUTHORIZER: 2, LIST: 1, INFO: 1}
    profile = await stage.vault.profile(APPID)
    assert profile is not None
    assert profile.facts == Facts(
        name="样板号",
        mini_program=False,
        service_type=2,
        verify_type=-1,
        status=19,
        permission_sets=frozenset({1, 7}),
    )


async def test_a_recovered_refresh_token_is_tried_once(stage: Scene) -> None:
    stage.issuer.refresh_tokens = set()
    stage.issuer.listed = [(APPID, "dead as well")]
    met = await refusal(stage.tokens().current(GRANTED))
    assert (met.decision, met.code) == (Decision.ACCOUNT_GONE, "61023")
    assert "needs re-authorisation" in met.message
    assert stage.server.counts == {COMPONENT: 1, AUTHORIZER: 2, LIST: 1}


async def test_one_that_another_process_stored_meanwhile_comes_before_the_list(
    stage: Scene,
) -> None:
    stage.issuer.refresh_tokens = {"authorised anew"}

    async def refused() -> dict[str, Any]:
        await stage.another().put_refresh_token(APPID, "authorised anew")
        return error(61023)

    stage.issuer.errors[AUTHORIZER] = [refused()]
    assert (await stage.tokens().current(GRANTED)).startswith("granted")
    assert stage.server.counts[LIST] == 0


BLOCKED = error(61004, "access clientip is not registered 203.0.113.9")


@pytest.mark.parametrize("path", [LIST, INFO])
@pytest.mark.parametrize(
    ("trouble", "decision"),
    [
        (lambda: error(-1), Decision.RETRY),
        (lambda: web.Response(status=502), Decision.RETRY),
        (lambda: error(42001), Decision.STOP_EVERYTHING),
        (lambda: error(45009), Decision.PARK_ENDPOINT),
        (lambda: BLOCKED, Decision.STOP_PROCESS),
    ],
    ids=["busy", "502", "token", "quota", "address"],
)
async def test_a_search_that_fails_is_no_verdict_on_the_account(
    stage: Scene, path: str, trouble: Callable[[], Any], decision: Decision
) -> None:
    stage.issuer.refresh_tokens = set()
    stage.issuer.errors[path] = [trouble() for _ in range(50)]
    met = await refusal(stage.tokens().current(GRANTED))
    assert met.decision is decision
    if decision is Decision.STOP_PROCESS:
        assert "203.0.113.9" in met.todo
        assert met.scope is Scope.PROCESS


async def test_a_frozen_account_says_so_when_its_info_is_asked(stage: Scene) -> None:
    stage.issuer.refresh_tokens = set()
    stage.issuer.errors[INFO] = [error(50002)]
    met = await refusal(stage.tokens().current(GRANTED))
    assert met.decision is Decision.PARK_ACCOUNT


# Withdrawals


async def test_a_withdrawal_that_the_info_confirms_is_kept_and_the_row_too(
    stage: Scene,
) -> None:
    stage.issuer.errors[AUTHORIZER] = [error(61003)]
    met = await refusal(stage.tokens().current(GRANTED))
    assert (met.decision, met.code) == (Decision.ACCOUNT_GONE, "61003")
    profile = await stage.vault.profile(APPID)
    assert profile is not None
    assert profile.authorised is False
    assert (await stage.vault.read(APPID)).refresh_token == "configured-refresh"


async def test_a_withdrawal_that_the_info_does_not_confirm_is_not_kept(
    stage: Scene,
) -> None:
    stage.issuer.errors[AUTHORIZER] = [error(61003)]
    stage.issuer.informed[APPID] = "configured-refresh"
    met = await refusal(stage.tokens().current(GRANTED))
    assert met.decision is Decision.ACCOUNT_GONE
    profile = await stage.vault.profile(APPID)
    assert profile is not None
    assert profile.authorised is None
    assert profile.facts.status == 19


async def test_trouble_with_the_info_changes_nothing_of_a_withdrawal(
    stage: Scene,
) -> None:
    stage.issuer.errors[AUTHORIZER] = [error(61003)]
    stage.issuer.errors[INFO] = [error(-1)]
    met = await refusal(stage.tokens().current(GRANTED))
    assert (met.decision, met.code) == (Decision.ACCOUNT_GONE, "61003")


async def test_a_withdrawal_that_a_call_of_data_met_can_be_confirmed(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    await tokens.current(GRANTED)
    assert await tokens.withdrawn(GRANTED) is True
    assert await tokens.withdrawn(account(secret=Secret("canary"))) is False
    assert await stage.tokens(Platform(token_url="x")).withdrawn(GRANTED) is False
    stored, profile = await stage.vault.read(APPID), await stage.vault.profile(APPID)
    assert profile is not None
    assert (profile.authorised, stored.token) == (False, "")
    assert stage.server.counts[INFO] == 1


async def test_a_token_after_a_withdrawal_makes_the_account_authorised_again(
    stage: Scene,
) -> None:
    stage.issuer.errors[AUTHORIZER] = [error(61003)]
    tokens = stage.tokens()
    await refusal(tokens.current(GRANTED))
    stage.clock.now += HOUR
    await tokens.current(GRANTED)
    profile = await stage.vault.profile(APPID)
    assert profile is not None
    assert profile.authorised is True


async def test_a_lost_refresh_token_of_who_withdrew_is_a_withdrawal(
    stage: Scene,
) -> None:
    met = await refusal(stage.tokens().current(account()))
    assert (met.decision, met.code) == (Decision.ACCOUNT_GONE, "61003")
    assert "authorise" in met.todo


# Tickets


def granted(number: int) -> Account:
    return replace(GRANTED, appid=appid(number))


async def test_a_newer_ticket_is_tried_where_the_first_is_refused(stage: Scene) -> None:
    async def refused() -> dict[str, Any]:
        stage.ticket = "ticket-2"
        return error(61006)

    stage.issuer.errors[COMPONENT] = [refused()]
    assert await stage.tokens().current(GRANTED) == "granted2"
    sent = [
        seen.body["component_verify_ticket"]
        for seen in stage.server.seen
        if seen.path == COMPONENT
    ]
    assert sent == ["ticket-1", "ticket-2"]
    assert stage.server.counts[PUSHES] == 0


@pytest.mark.parametrize("code", [61005, 61006])
async def test_a_refused_ticket_stops_everything_once_pushes_were_asked_for_in_vain(
    stage: Scene, code: int
) -> None:
    stage.issuer.errors[COMPONENT] = [error(code)] * 9
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    tokens = Tokens(
        stage.wire, stage.vault, stage.platform, clock=stage.clock, sleep=sleep
    )
    for number in range(5):
        met = await refusal(tokens.current(granted(number)))
        assert (met.decision, met.code) == (Decision.STOP_EVERYTHING, str(code))
        assert "put-ticket" in met.todo
    assert stage.server.counts == {COMPONENT: 1, PUSHES: 1}
    assert sum(slept) <= 10


async def test_a_ticket_that_is_pushed_while_it_is_waited_for_is_used(
    stage: Scene,
) -> None:
    stage.ticket = ""
    await stage.vault.put_ticket(PLATFORM, "old", stage.clock.now - 13 * HOUR)

    async def sleep(seconds: float) -> None:
        stage.clock.now += seconds
        if stage.server.counts[PUSHES]:
            await stage.another().put_ticket(PLATFORM, "pushed", stage.clock.now)

    tokens = Tokens(
        stage.wire, stage.vault, stage.platform, clock=stage.clock, sleep=sleep
    )
    assert (await tokens.current(GRANTED)).startswith("granted")
    assert stage.server.counts == {PUSHES: 1, COMPONENT: 1, AUTHORIZER: 1}


@pytest.mark.parametrize(("hours", "sent"), [(12, 1), (12.2, 0)])
async def test_a_ticket_that_cannot_be_good_any_more_is_not_sent(
    stage: Scene, hours: float, sent: int
) -> None:
    stage.ticket = ""
    await stage.vault.put_ticket(PLATFORM, "old", stage.clock.now - hours * HOUR)
    stage.issuer.errors[COMPONENT] = [error(61005)] * 9
    met = await refusal(stage.tokens().current(GRANTED))
    assert met.decision is Decision.STOP_EVERYTHING
    assert "serve" in met.todo
    assert stage.server.counts[COMPONENT] == sent
    assert stage.server.counts[PUSHES] == 1


async def test_pushes_are_not_asked_for_while_the_last_ticket_is_young(
    stage: Scene,
) -> None:
    stage.ticket = ""
    await stage.vault.put_ticket(PLATFORM, "young", stage.clock.now - HOUR + 1)
    stage.issuer.errors[COMPONENT] = [error(61006)] * 9
    met = await refusal(stage.tokens().current(GRANTED))
    assert met.decision is Decision.STOP_EVERYTHING
    assert stage.server.counts == {COMPONENT: 1}


async def test_of_all_processes_one_asks_for_pushes_in_an_hour(stage: Scene) -> None:
    stage.issuer.errors[COMPONENT] = [error(61005)] * 99
    for passed in (0, 20, 1000, 3000):
        stage.clock.now += passed
        await refusal(stage.tokens(vault=stage.another()).current(GRANTED))
    assert stage.server.counts == {COMPONENT: 4, PUSHES: 2}


async def test_asking_for_pushes_may_fail_and_the_reason_stays_the_ticket(
    stage: Scene,
) -> None:
    stage.issuer.errors[COMPONENT] = [error(61005)] * 9
    stage.issuer.errors[PUSHES] = [error(40013, "canary-platform-secret")]
    met = await refusal(stage.tokens().current(GRANTED))
    assert met.code == "61005"


async def test_a_renewal_asks_for_pushes_and_does_not_wait_for_them(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    await tokens.current(granted(1))
    stage.clock.now += 4000
    stage.issuer.errors[COMPONENT] = [error(61005)] * 9
    assert (await tokens.current(granted(2))).startswith("granted")
    assert stage.server.counts == {COMPONENT: 2, AUTHORIZER: 2, PUSHES: 1}


async def test_an_outage_of_an_hour_of_the_platforms_token_harms_nobody(
    stage: Scene,
) -> None:
    """It begins at the worst moment: right when the token was to be renewed."""
    tokens = stage.tokens()
    await tokens.current(granted(0))
    stage.clock.now += 3450 - 1
    stage.issuer.errors[COMPONENT] = [error(-1)] * 999
    for number in range(1, 61):
        stage.clock.now += 60
        assert (await tokens.current(granted(number))).startswith("granted")
    assert 1 < stage.server.counts[COMPONENT] <= 61
    stage.issuer.errors.clear()
    before = stage.server.counts[COMPONENT]
    stage.clock.now += 60
    assert (await tokens.current(granted(61))).startswith("granted")
    assert stage.server.counts[COMPONENT] == before + 1


async def test_while_another_process_renews_the_old_platform_token_is_used(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    await tokens.current(granted(1))
    stage.clock.now += 4000
    await stage.another().lease(f"platform:{PLATFORM}", 20)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    waiting = Tokens(
        stage.wire, stage.vault, stage.platform, clock=stage.clock, sleep=sleep
    )
    assert (await waiting.current(granted(2))).startswith("granted")
    assert stage.server.counts == {COMPONENT: 1, AUTHORIZER: 2}
    assert sum(slept) < 2.5


async def test_a_used_up_quota_of_platform_tokens_is_not_tried_until_the_old_one_ends(
    stage: Scene,
) -> None:
    tokens = stage.tokens()
    await tokens.current(granted(1))
    stage.clock.now += 4000
    stage.issuer.errors[COMPONENT] = [error(45009)] * 9
    for number in range(2, 6):
        assert (await tokens.current(granted(number))).startswith("granted")
        stage.clock.now += 600
    assert stage.server.counts[COMPONENT] == 2


# Facts


def test_facts_are_read_leniently() -> None:
    found = facts_of(
        {
            "nick_name": " name ",
            "MiniProgramInfo": {},
            "service_type_info": {"id": "1"},
            "verify_type_info": {"id": "-1"},
            "account_status": "x",
        },
        {"func_info": [{"funcscope_category": {"id": "7"}}, 3, {"funcscope_category": 4}]},
    )  # fmt: skip
    assert found == Facts(
        name="name",
        mini_program=True,
        service_type=1,
        verify_type=-1,
        permission_sets=frozenset({7}),
    )
    assert facts_of({}, {}) == Facts(mini_program=False)
