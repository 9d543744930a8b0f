"""The ladder of tokens, rung by rung, against the sandbox's strict platform.

Ticket → the platform's token → an account's token → its data; and what is done where a
rung breaks. The sandbox and the harvester live by one clock, which tests move.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from loopback import call

from harvester import crypto
from harvester.accounts import Account
from harvester.api.callback.calls import Calls
from harvester.api.callback.contract import Terms
from harvester.api.callback.receiver import Receiver
from harvester.api.callback.server import listening
from harvester.api.client import Answer, Client
from harvester.api.codes import Decision, Refusal, Scope
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.vault import Vault, opened
from harvester.api.wire import Wire
from harvester.sandbox.app import running
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import (
    AES_KEY,
    CALLBACK_TOKEN,
    PLATFORM,
    Settings,
    appids,
)
from harvester.sandbox.tokens import Kind
from harvester.secret import Secret

HOUR = 3600
FIRST, SECOND, THIRD, FOURTH = appids(1, 4)
COMPONENT = ("api_component_token", PLATFORM)


@dataclass
class Clock:
    now: float

    def __call__(self) -> float:
        return self.now


@dataclass
class Scene:
    box: Sandbox
    vault: Vault
    wire: Wire
    tokens: Tokens
    client: Client
    clock: Clock
    where: str

    async def ask(self, appid: str = FIRST) -> Answer | Refusal:
        return await self.client.ask(call(appid), Account(appid=appid))

    async def answered(self, appid: str = FIRST) -> bool:
        """Whether the account's data came."""
        answer = await self.ask(appid)
        assert isinstance(answer, Answer | Refusal)
        return isinstance(answer, Answer)

    async def refused(self, appid: str = FIRST) -> Refusal:
        answer = await self.ask(appid)
        assert isinstance(answer, Refusal)
        return answer

    def refreshes(self, appid: str = FIRST) -> int:
        return self.box.token_calls["api_authorizer_token", appid]


async def briefly(_: float) -> None:
    """Stands in for waiting: whoever pushes gets a moment."""
    await asyncio.sleep(0.01)


@asynccontextmanager
async def ladder(folder: Path, **settings: Any) -> AsyncIterator[Scene]:
    """A vault that holds a fresh ticket, and nothing else."""
    clock = Clock(datetime(2026, 1, 20, 4, tzinfo=UTC).timestamp())
    where = f"sqlite:///{folder}/vault.db"
    async with (
        running(
            Settings(strict=True, accounts=4, platform_secret="s", **settings),
            now=lambda: datetime.fromtimestamp(clock.now, UTC),
        ) as box,
        opened(where, clock=clock) as vault,
        Wire((box.url,), timeout_seconds=5) as wire,
    ):
        box.platform.tokens.ticks = clock
        await vault.put_ticket(PLATFORM, box.platform.tickets.issue())
        platform = Platform(appid=PLATFORM, secret=Secret("s"))
        tokens = Tokens(wire, vault, platform, clock=clock, sleep=briefly)
        client = Client(wire, tokens, calls_per_second=1e6, sleep=briefly)
        yield Scene(box, vault, wire, tokens, client, clock, where)


async def test_a_ticket_is_all_it_takes(tmp_path: Path) -> None:
    async with ladder(tmp_path) as scene:
        for appid in (FIRST, SECOND, THIRD, FOURTH):
            assert await scene.answered(appid)
        assert scene.box.token_calls.total() == 5
        assert scene.box.tally.other_calls == {("api_get_authorizer_list", PLATFORM): 1}
        scene.clock.now += 6899
        for appid in (FIRST, SECOND, THIRD, FOURTH):
            assert await scene.answered(appid)
        assert scene.box.token_calls.total() == 5  # nobody refreshes before a need


async def test_a_changed_refresh_token_is_durable_before_its_token_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ladder(tmp_path, rotate_refresh_tokens=True) as scene:
        found, send = [], scene.wire.data

        async def data(method: str, path: str, body: bytes | None = None) -> bytes:
            async with opened(scene.where) as another:
                found.append((await another.read(FIRST)).refresh_token)
            assert found[-1] == scene.box.platform.accounts.refresh_token(FIRST)
            return await send(method, path, body)

        monkeypatch.setattr(scene.wire, "data", data)
        for _ in range(3):
            assert await scene.answered()
            scene.clock.now += 7000
        assert len(set(found)) == 3
        assert scene.refreshes() == 3


async def test_an_hour_without_platform_tokens_costs_nothing(tmp_path: Path) -> None:
    async with ladder(tmp_path) as scene:
        assert await scene.answered(FIRST)
        scene.clock.now += 3449
        scene.box.faults.add("busy@*/api_component_token")
        for appid, minutes in ((SECOND, 1), (THIRD, 30), (FOURTH, 29)):
            scene.clock.now += minutes * 60
            assert await scene.answered(appid)
        assert scene.box.token_calls[COMPONENT] == 4
        scene.box.faults.clear()
        scene.clock.now += 60
        scene.box.platform.tokens.expire(FIRST)
        assert await scene.answered(FIRST)
        assert scene.box.token_calls[COMPONENT] == 5


async def test_the_daily_limit_of_platform_tokens_is_kept_to(tmp_path: Path) -> None:
    async with ladder(tmp_path, call_quotas={"api_component_token": 1}) as scene:
        for appid, seconds in ((FIRST, 0), (SECOND, 3600), (THIRD, 3500)):
            scene.clock.now += seconds
            assert await scene.answered(appid)
        assert scene.box.token_calls[COMPONENT] == 2  # one renewal was tried
        scene.clock.now += 200
        for appid in (FOURTH, FIRST):
            met = await scene.refused(appid)
            assert (met.decision, met.scope) == (Decision.PARK_ENDPOINT, Scope.ACCOUNT)
        assert await scene.answered(THIRD)  # its own token is good
        assert scene.box.token_calls[COMPONENT] == 3
        scene.clock.now += 13 * HOUR
        await scene.vault.put_ticket(PLATFORM, scene.box.platform.tickets.issue())
        assert await scene.answered(FOURTH)


async def test_the_daily_limit_of_account_tokens_parks_who_has_none(
    tmp_path: Path,
) -> None:
    async with ladder(tmp_path, call_quotas={"api_authorizer_token": 2}) as scene:
        assert await scene.answered(FIRST)
        assert await scene.answered(SECOND)
        for appid in (THIRD, FOURTH, THIRD):
            met = await scene.refused(appid)
            assert (met.decision, met.code) == (Decision.PARK_ENDPOINT, "45009")
        assert await scene.answered(FIRST)
        assert sum(map(scene.refreshes, (FIRST, SECOND, THIRD, FOURTH))) == 3


async def test_who_authorised_anew_needs_the_code_exchanged_and_nothing_else(
    tmp_path: Path,
) -> None:
    """Its token is dead, its refresh token another, and the list does not name it."""
    async with ladder(tmp_path) as scene:
        assert await scene.answered()
        code = scene.box.scan(FIRST)
        met = await scene.refused()
        assert (met.decision, met.code) == (Decision.ACCOUNT_GONE, "61023")
        assert "needs re-authorisation" in met.message
        assert await scene.answered(SECOND)
        calls = Calls(
            scene.wire, PLATFORM, scene.tokens.component.enquiries.asked, nobody
        )
        grant = await calls.query_auth(code)
        before = scene.refreshes()
        async with opened(scene.where, clock=scene.clock) as serve:
            await serve.put_grant(PLATFORM, grant, scene.clock.now)
        scene.clock.now += 601  # a refusal is remembered so long
        assert await scene.answered()
        assert scene.refreshes() == before


async def test_two_codes_of_one_authorisation_end_in_a_token_that_works(
    tmp_path: Path,
) -> None:
    """Redirect and push may bring one each; the exchange of one voids the other's token."""
    async with ladder(tmp_path) as scene:
        calls = Calls(
            scene.wire, PLATFORM, scene.tokens.component.enquiries.asked, nobody
        )
        redirected, pushed = (
            scene.box.scan(FIRST),
            scene.box.platform.codes.issue(FIRST),
        )
        for code, at in ((redirected, 0.5), (pushed, 0)):
            grant = await calls.query_auth(code)
            await scene.vault.put_grant(PLATFORM, grant, scene.clock.now + at)
        assert await scene.answered()
        assert scene.refreshes() == 1


async def nobody() -> None:
    """Nobody asks for pushes."""


async def test_a_lost_refresh_token_comes_back_from_list_or_info(
    tmp_path: Path,
) -> None:
    async with ladder(tmp_path) as scene:
        for appid in (FIRST, SECOND):
            await scene.vault.put_refresh_token(appid, "dead")
            assert await scene.answered(appid)
        assert (scene.refreshes(FIRST), scene.refreshes(SECOND)) == (2, 2)
        assert scene.box.tally.other_calls["api_get_authorizer_list", PLATFORM] == 1
        known = (await scene.vault.read(FIRST)).refresh_token
        assert known == scene.box.platform.accounts.refresh_token(FIRST)


async def test_who_withdrew_is_confirmed_and_inactive(tmp_path: Path) -> None:
    async with ladder(tmp_path) as scene:
        assert await scene.answered()
        scene.box.revoke(FIRST)
        met = await scene.refused()
        assert (met.decision, met.code) == (Decision.ACCOUNT_GONE, "61003")
        profile = await scene.vault.profile(FIRST)
        assert profile is not None
        assert (profile.authorised, profile.has_refresh_token) == (False, True)
        assert scene.box.tally.other_calls["api_get_authorizer_info", FIRST] == 1
        assert await scene.answered(SECOND)


async def test_a_frozen_account_is_left_alone(tmp_path: Path) -> None:
    async with ladder(tmp_path) as scene:
        scene.box.freeze(FIRST)
        met = await scene.refused()
        assert (met.decision, met.code) == (Decision.PARK_ACCOUNT, "50002")
        assert await scene.answered(SECOND)


async def test_a_machine_that_is_not_on_the_ip_list_is_named(tmp_path: Path) -> None:
    async with ladder(tmp_path) as scene:
        assert await scene.answered()
        scene.box.change(addresses=("203.0.113.9",))
        for appid in (FIRST, SECOND):
            met = await scene.refused(appid)
            assert (met.decision, met.scope) == (Decision.STOP_PROCESS, Scope.PROCESS)
            assert "127.0.0.1" in met.todo


async def test_a_platform_token_that_another_system_replaced_is_fetched_once(
    tmp_path: Path,
) -> None:
    async with ladder(tmp_path) as scene:
        assert await scene.answered()
        scene.box.platform.tokens.end(Kind.COMPONENT, PLATFORM)
        assert await scene.answered(SECOND)
        assert scene.box.token_calls[COMPONENT] == 2
        scene.box.faults.add("expired-component-token")
        assert await scene.answered(THIRD)
        assert scene.box.token_calls[COMPONENT] == 3


@pytest.mark.parametrize(
    "fault", ["empty-token@*/api_authorizer_token", "without-refresh-token"]
)
async def test_nothing_empty_is_stored(tmp_path: Path, fault: str) -> None:
    async with ladder(tmp_path) as scene:
        await scene.vault.put_refresh_token(
            FIRST, scene.box.platform.accounts.refresh_token(FIRST)
        )
        scene.box.faults.add(f"{fault}*1")
        answered = await scene.answered()
        assert answered is (fault == "without-refresh-token")
        stored = await scene.vault.read(FIRST)
        assert stored.refresh_token == scene.box.platform.accounts.refresh_token(FIRST)
        assert bool(stored.token) is answered


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "slow"])
async def test_without_a_good_ticket_wechat_is_asked_to_push_one(
    tmp_path: Path, stopped: bool
) -> None:
    """Where pushes had been stopped they come again; else the run stops with the reason."""
    async with ladder(tmp_path, pushing=not stopped) as scene:
        scene.clock.now = time.time()  # of pushes
        dead = scene.clock.now - 13 * HOUR
        async with opened(f"sqlite:///{tmp_path}/other.db", clock=scene.clock) as vault:
            await vault.put_ticket(PLATFORM, "ticket@@@dead", dead)
            platform = Platform(appid=PLATFORM, secret=Secret("s"))
            tokens = Tokens(
                scene.wire, vault, platform, clock=scene.clock, sleep=briefly
            )
            client = Client(scene.wire, tokens, calls_per_second=1e6, sleep=briefly)
            terms = Terms(
                platform=PLATFORM,
                token=Secret(CALLBACK_TOKEN),
                keys=(crypto.key_of(AES_KEY),),
            )
            async with listening(Receiver(terms, vault), "127.0.0.1", 0, 0) as at:
                scene.box.change(callback_url=f"{at.url}/wechat/events")
                answer = await client.ask(call(FIRST), Account(appid=FIRST))
        asked = scene.box.tally.other_calls["api_start_push_ticket", PLATFORM]
        assert asked == 1
        if stopped:
            assert isinstance(answer, Answer)
            assert scene.box.token_calls[COMPONENT] == 1
        else:
            assert isinstance(answer, Refusal)
            assert (answer.decision, answer.code) == (
                Decision.STOP_EVERYTHING,
                "old_ticket",
            )
            assert scene.box.token_calls[COMPONENT] == 0
