"""The sandbox as the one who pushes: to the receiver, over loopback, well and badly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import ClientSession
from pushes import QUICK, Granting, Kept, until

from harvester import crypto
from harvester.api.callback.contract import Terms
from harvester.api.callback.receiver import Receiver
from harvester.api.callback.server import listening
from harvester.errors import UsageError
from harvester.sandbox.app import running
from harvester.sandbox.injection import parse
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import (
    AES_KEY,
    CALLBACK_TOKEN,
    PLATFORM,
    Settings,
    appids,
)
from harvester.secret import Secret

ACCOUNT, OTHER = appids(1, 2)
OLD_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"


@dataclass
class Scene:
    box: Sandbox
    receiver: Receiver
    vault: Kept

    async def push(self, kind: str = "component_verify_ticket", appid: str = "") -> str:
        return await self.box.pushes.push(kind, appid)

    @property
    def ticket(self) -> str:
        return self.vault.tickets.get(PLATFORM, (0.0, ""))[1]


@asynccontextmanager
async def pushing(*faults: str, **settings: Any) -> AsyncIterator[Scene]:
    """A sandbox, and the receiver that it pushes to; no ticket has come yet."""
    terms = Terms(
        platform=PLATFORM,
        token=Secret(CALLBACK_TOKEN),
        keys=(crypto.key_of(AES_KEY), crypto.key_of(OLD_KEY)),
    )
    vault = Kept()
    receiver = Receiver(terms, vault, Granting(), pace=replace(QUICK, sweep=60))
    async with (
        running(Settings(faults=faults, **settings)) as box,
        listening(receiver, "127.0.0.1", 0, 0) as addresses,
    ):
        box.change(callback_url=f"{addresses.url}/wechat/events")
        yield Scene(box, receiver, vault)


async def test_a_ticket_is_pushed_on_demand_and_is_good_here() -> None:
    async with pushing() as scene:
        assert await scene.push() == "success"
        scene.box.platform.tickets.check(scene.ticket)
        first = scene.ticket
        assert await scene.push() == "success"
        assert scene.ticket != first
        assert scene.box.tally.pushes == {"component_verify_ticket": 2}
        assert scene.box.tally.push_answers == {"success": 2}


async def test_tickets_come_on_a_schedule_from_the_start() -> None:
    async with pushing() as scene:
        settings = replace(scene.box.settings, ticket_seconds=0.02)
        async with running(settings):
            await until(
                lambda: scene.receiver.counts.taken["component_verify_ticket"] > 2
            )


async def test_tickets_that_were_stopped_come_again_when_they_are_asked_for() -> None:
    async with pushing(pushing=False) as scene, ClientSession() as session:
        url = f"{scene.box.url}/cgi-bin/component/api_start_push_ticket"
        body = {"component_appid": PLATFORM, "component_secret": "s"}
        assert scene.ticket == ""
        async with session.post(url, json=body) as response:
            assert await response.json() == {"errcode": 0, "errmsg": "ok"}
        await until(lambda: scene.ticket != "")
        async with session.post(url, json=body) as response:
            assert (await response.json())["errmsg"] == "ticket push is already on"


async def test_an_authorisation_is_pushed_with_a_code() -> None:
    async with pushing() as scene:
        scene.box.revoke(ACCOUNT)
        await until(lambda: scene.vault.authorised(ACCOUNT) is False)
        code = scene.box.scan(ACCOUNT, (1, 2))
        await until(lambda: code in scene.vault.done)
        assert scene.vault.codes[code].appid == ACCOUNT
        assert scene.receiver.counts.taken["authorized"] == 1


async def test_another_set_is_pushed_as_an_update_and_the_same_sets_are_not() -> None:
    async with pushing() as scene:
        update = scene.box.scan(ACCOUNT, (1, 2))
        await until(lambda: update in scene.vault.codes)
        again = scene.box.scan(ACCOUNT, (1, 2))
        assert await scene.push() == "success"  # what came before it is through
        assert again not in scene.vault.codes
        assert scene.receiver.counts.taken["updateauthorized"] == 1
        assert scene.receiver.counts.taken["authorized"] == 0


async def test_redirect_and_push_may_bring_a_code_each() -> None:
    async with pushing(separate_codes=True) as scene:
        redirected = scene.box.scan("wx0123456789abcdef")
        await until(lambda: len(scene.vault.codes) == 1)
        assert redirected not in scene.vault.codes
        for code in (redirected, *scene.vault.codes):
            assert scene.box.platform.codes.check(code) == "wx0123456789abcdef"


async def test_some_withdrawals_are_never_pushed() -> None:
    async with pushing() as scene:
        scene.box.revoke(ACCOUNT, silently=True)
        scene.box.revoke(OTHER)
        await until(lambda: scene.vault.authorised(OTHER) is False)
        assert scene.vault.authorised(ACCOUNT) is None


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("push-lost", "not sent"),
        ("push-twice", "403 refused: replay"),
        ("push-old", "403 refused: old"),
        ("push-old=3000", "success"),
        ("push-early", "403 refused: future"),
        ("push-forged", "403 refused: signature"),
        ("push-other-key", "403 refused: decryption"),
        (f"push-other-key={OLD_KEY}", "success"),
        ("push-other-platform", "403 refused: appid"),
        ("push-bad-padding", "403 refused: decryption"),
        ("push-bad-padding=33", "403 refused: decryption"),
        ("push-dtd", "400 refused: content"),
        ("push-large", "400 refused: size"),
        ("push-unknown", "success"),
        ("push-incomplete", "400 refused: content"),
        ("push-late=0.01", "success"),
    ],
)
async def test_a_push_goes_wrong_as_its_fault_says(fault: str, answer: str) -> None:
    async with pushing(f"{fault}*1") as scene:
        assert await scene.push() == answer
        told = scene.ticket
        assert await scene.push() == "success"
        assert scene.ticket not in ("", told)
        assert scene.box.faults.fired() == {f"{fault}*1": 1}


async def test_a_push_that_is_late_comes_after_newer_ones_and_changes_nothing() -> None:
    async with pushing("push-late=0.2*1") as scene:
        late = asyncio.create_task(scene.push("unauthorized", ACCOUNT))
        await asyncio.sleep(0.05)
        assert await scene.push("unauthorized", OTHER) == "success"
        assert scene.vault.authorised(ACCOUNT) is None
        assert await late == "success"
        assert scene.vault.authorised(ACCOUNT) is False


async def test_a_receiver_that_is_not_there_costs_the_push_alone() -> None:
    async with running(Settings(callback_url="http://127.0.0.1:9/")) as box:
        assert await box.pushes.push("component_verify_ticket") == "unreachable"
        box.change(callback_url="")
        assert await box.pushes.push("component_verify_ticket") == "not sent"


def test_a_push_that_goes_wrong_is_no_call() -> None:
    assert parse("push-twice@*/push_authorized").fault.name == "push-twice"
    with pytest.raises(UsageError, match="push_"):
        parse("push-twice@*/getusersummary")
