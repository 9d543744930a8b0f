"""The service as its operator sees it: health, metrics, log, command."""

import asyncio
import gc
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import structlog
from aiohttp import ClientSession
from loopback import Seen, wechat
from pushes import (
    ACCESS_TOKEN,
    ACCOUNT,
    CODE,
    INVALID_CODE,
    KEY,
    NOW,
    OUTAGE,
    PLATFORM,
    PRE_AUTH_CODE,
    PUBLIC,
    QUICK,
    REFRESH_TOKEN,
    SECRETS,
    TICKET,
    TOKEN,
    Granting,
    Kept,
    authorised,
    forged,
    pushed,
    receiving,
    terms,
    ticket,
    until,
    withdrawn,
)
from unwelcome import UNWELCOME

from harvester import logs
from harvester.api.callback.receiver import Receiver
from harvester.api.callback.server import listening
from harvester.api.vault.vault import opened as opened_vault
from harvester.commands import serve
from harvester.config import settings
from harvester.errors import UsageError
from harvester.secret import Secret

# Health, metrics, and what must not be seen


async def test_health_is_good_with_a_fresh_ticket_and_says_how_old_it_is() -> None:
    async with receiving() as reception:
        status, said = await reception.health()
        assert (status, said["problems"]) == (503, ["no ticket has come yet"])
        assert said["ticket_age_seconds"] is None
        await reception.post(ticket())
        reception.clock.now = NOW + 600
        status, said = await reception.health()
        assert (status, said["status"]) == (200, "ok")
        assert (said["ticket_age_seconds"], said["vault"]) == (600, "ok")
        reception.clock.now = NOW + 3601
        status, said = await reception.health()
        assert status == 503
        assert said["problems"] == ["no ticket has come for 60 minutes"]


async def test_health_knows_the_ticket_of_an_earlier_start() -> None:
    vault = Kept(tickets={PLATFORM: (NOW - 90, TICKET)})
    async with receiving(vault) as reception:
        watch = reception.receiver.watch
        await until(lambda: watch.health().ticket_age_seconds == 90)
        assert (await reception.health())[0] == 200


async def test_health_is_bad_while_the_vault_fails() -> None:
    vault = Kept(tickets={PLATFORM: (NOW, TICKET)}, failures=10**9)
    async with receiving(vault) as reception:
        watch = reception.receiver.watch
        await until(lambda: watch.health().vault == "failing")
        status, said = await reception.health()
        assert (status, said["problems"][0]) == (503, "the vault is failing")
        vault.failures = 0
        await until(lambda: watch.health().problems == ())
        assert (await reception.health())[0] == 200


async def test_health_is_told_at_once_while_the_vault_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harvester.api.callback.watch.SLOW_SECONDS", 0.0)
    vault = Kept(gate=anyio.Event())
    async with receiving(vault) as reception:
        watch = reception.receiver.watch
        await until(lambda: watch.health().vault == "slow")
        status, said = await reception.health()
        assert (status, said["vault"]) == (503, "slow")
        assert vault.gate is not None
        vault.gate.set()


async def test_metrics_count_what_happened() -> None:
    async with receiving(authority=Granting()) as reception:
        for sent in (
            ticket(),
            authorised(),
            withdrawn(),
            pushed("new"),
            forged(nonce="1"),
        ):
            await reception.post(sent)
        await until(lambda: CODE in reception.vault.done)
        reception.clock.now = NOW + 60
        text = await reception.metrics()
    for line in (
        'harvester_pushes_taken_total{kind="component_verify_ticket"} 1.0',
        'harvester_pushes_taken_total{kind="authorized"} 1.0',
        'harvester_pushes_taken_total{kind="updateauthorized"} 0.0',
        'harvester_pushes_taken_total{kind="other"} 1.0',
        'harvester_pushes_refused_total{reason="signature"} 1.0',
        'harvester_pushes_refused_total{reason="replay"} 0.0',
        'harvester_codes_total{outcome="granted"} 1.0',
        "harvester_ticket_age_seconds 60.0",
        "harvester_vault_up 1.0",
    ):
        assert f"\n{line}\n" in text
    assert "process_resident_memory_bytes" in text


async def test_metrics_of_a_guest_have_no_codes() -> None:
    async with receiving() as reception:
        text = await reception.metrics()
    assert "harvester_codes" not in text
    assert "harvester_ticket_age_seconds" not in text


@pytest.fixture
def silent() -> Iterator[None]:
    """What is logged goes nowhere."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


async def test_many_pushes_leave_nothing_behind_that_grows(
    silent: None,
) -> None:
    """What the vault keeps is the vault's; the test's own forgets."""
    vault, authority = Kept(), Granting()
    pace = replace(QUICK, sweep=60, look=60)
    async with receiving(vault, authority, pace=pace, accept_age=60) as reception:
        receiver = reception.receiver
        codes = receiver.codes
        assert codes is not None

        async def take(numbers: range) -> int:
            for number in numbers:
                at = reception.clock.now = NOW + number
                kind = number % 3
                sent = authorised(code=f"{number}", at=at) if kind else ticket(at=at)
                await receiver.take(sent.query, sent.body)
                assert receiver.remembered <= 361
                assert receiver.waiting == 0
            await until(lambda: codes.under_way == 0)
            vault.codes.clear()
            vault.done.clear()
            vault.claimed.clear()
            authority.asked.clear()
            gc.collect()
            return sys.getallocatedblocks()

        before = await take(range(600))
        after = await take(range(600, 1600))
        assert after - before < 500  # half a block of memory a push
    assert receiver.counts.taken["authorized"] == 1066


@pytest.fixture
def spoken(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What is logged from now on, at the most talkative level."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.start(as_json=True, level="debug")
    yield lambda: "".join(capsys.readouterr())
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


async def test_no_secret_is_seen_anywhere_whatever_happens(
    spoken: Callable[[], str],
) -> None:
    troubles = [OUTAGE, KeyError(CODE), INVALID_CODE]
    seen = []
    async with receiving(authority=Granting(troubles), **PUBLIC) as reception:
        reception.vault.failures = 6
        for sent in (
            *(authorised(code=f"{CODE}{number}") for number in range(4)),
            ticket(),
            *(unwelcome for unwelcome, _, _ in UNWELCOME.values()),
        ):
            seen.append(str(await reception.post(sent)))
        seen.append(str(await reception.get(f"/authorized?auth_code={CODE}")))
        seen.append(str(await reception.get("/authorize")))
        seen.append(str(await reception.health()))
        seen.append(await reception.metrics())
        seen.append(repr(reception.receiver.terms))
        seen.append(repr(list(reception.vault.codes.values())))
        seen.append(repr(reception.vault.grants))
    said = spoken()
    events = {json.loads(line)["event"] for line in said.splitlines()}
    assert {"push_refused", "push_stored", "exchange_failed"} <= events
    for secret in SECRETS:
        assert secret not in "".join(seen)
    for secret in (*SECRETS, PRE_AUTH_CODE):
        assert secret not in said


async def test_a_reason_is_logged_once_a_minute_and_says_what_to_do(
    spoken: Callable[[], str],
) -> None:
    async with receiving() as reception:
        for _ in range(50):
            await reception.post(forged(nonce="1"))
    lines = [json.loads(line) for line in spoken().splitlines()]
    (line,) = [line for line in lines if line["event"] == "push_refused"]
    assert line["reason"] == "signature"
    assert "platform.callback_token" in line["todo"]


# The command


async def test_a_port_that_is_taken_is_named() -> None:
    async with receiving() as reception:
        port = int(reception.url.rpartition(":")[2])
        other = Receiver(terms(), Kept())
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}"):
            async with listening(other, "127.0.0.1", port, 0):
                pass


def configured(**given: Any) -> Any:
    keys = {
        "appid": PLATFORM,
        "secret": Secret("s"),
        "ticket": None,
        "callback_token": Secret(TOKEN),
        "encoding_aes_key": Secret(KEY),
        "previous_encoding_aes_key": None,
        "callback_path": "/wechat/events",
        "public_url": None,
        "accept_age": 3600.0,
        "exchange_codes": True,
    }
    return SimpleNamespace(**{**keys, **given})


def test_the_configuration_becomes_terms() -> None:
    found = serve.terms_of(configured(accept_age=60.0, public_url="https://x"))
    assert (found.platform, found.token, found.accept_age) == (
        PLATFORM,
        Secret(TOKEN),
        60.0,
    )
    assert (found.path, found.public_url) == ("/wechat/events", "https://x")
    assert found.keys == terms().keys[:1]
    assert found.exchange_codes is True
    both = configured(previous_encoding_aes_key=Secret(KEY[::-1]))
    assert len(serve.terms_of(both).keys) == 2


@pytest.mark.parametrize(
    ("platform", "named"),
    [
        (None, "platform.appid"),
        (configured(appid=None), "platform.appid"),
        (configured(callback_token=None), "callback_token"),
        (configured(encoding_aes_key=None), "encoding_aes_key"),
        (configured(encoding_aes_key=Secret("too short")), "platform.encoding_aes_key"),
        (
            configured(previous_encoding_aes_key=Secret("too short")),
            "platform.previous_encoding_aes_key",
        ),
    ],
)
def test_a_configuration_that_cannot_receive_is_refused_without_showing_a_key(
    platform: Any, named: str
) -> None:
    with pytest.raises(UsageError, match=named) as ended:
        serve.terms_of(platform)
    assert "too short" not in str(ended.value)


def written(folder: Path, tokens: str, url: str = "http://127.0.0.1:9") -> Any:
    """The configuration of a platform whose WeChat is at this address."""
    path = folder / "accounts.toml"
    path.write_text(
        f'[api]\nurl = "{url}"\n[platform]\nappid = "{PLATFORM}"\n{tokens}\n'
        f'callback_token = "{TOKEN}"\nencoding_aes_key = "{KEY}"\n'
    )
    return settings.load(path, {}).config


async def test_from_two_pushes_to_an_accounts_tokens_in_the_vault(
    tmp_path: Path,
) -> None:
    def script(seen: Seen) -> Any:
        if seen.path.endswith("api_component_token"):
            assert seen.body["component_verify_ticket"] == TICKET
            return {"component_access_token": "COMPONENT", "expires_in": 7200}
        assert seen.path.endswith("api_query_auth")
        assert seen.query == {"component_access_token": "COMPONENT"}
        info = {
            "authorizer_appid": ACCOUNT,
            "authorizer_access_token": ACCESS_TOKEN,
            "expires_in": 7200,
            "authorizer_refresh_token": REFRESH_TOKEN,
            "func_info": [{"funcscope_category": {"id": 7}}],
        }
        return {"authorization_info": info}

    async with wechat(script) as server:
        config = written(tmp_path, 'secret = "s"', server.url)
        async with (
            serve.opened(config) as receiver,
            listening(receiver, "127.0.0.1", 0, 0) as addresses,
            ClientSession() as client,
        ):
            now = time.time()
            for sent in (ticket(at=now), authorised(at=now), authorised(at=now)):
                url = f"{addresses.url}/wechat/events{sent.tail}"
                async with client.post(url, data=sent.body) as answer:
                    assert await answer.text() == "success"
            codes = receiver.codes
            assert codes is not None
            await until(lambda: codes.counts["granted"] == 1)
            async with client.get(f"{addresses.health_url}/healthz") as answer:
                assert answer.status == 200
        assert server.counts["/cgi-bin/component/api_query_auth"] == 1
    async with opened_vault(config.vault.url) as vault:
        stored = await vault.read(ACCOUNT)
        profile = await vault.profile(ACCOUNT)
    assert (stored.token, stored.refresh_token) == (ACCESS_TOKEN, REFRESH_TOKEN)
    assert profile is not None
    assert profile.authorised is True
    assert profile.facts.permission_sets == {7}


async def test_a_guest_receives_and_calls_nobody(tmp_path: Path) -> None:
    config = written(tmp_path, 'token_url = "http://127.0.0.1/{appid}"')
    async with serve.opened(config) as receiver:
        assert receiver.authority is None
        assert receiver.codes is None


def _heard(heard: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    heard.append(capsys.readouterr().err)
    return heard


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_service_in_good_order(
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @asynccontextmanager
    async def opened(_: Any) -> AsyncIterator[Receiver]:
        yield Receiver(terms(), Kept())

    monkeypatch.setattr(serve, "opened", opened)
    served = asyncio.create_task(
        serve._served(SimpleNamespace(), "127.0.0.1", (0, 0))  # type: ignore[arg-type]
    )
    heard: list[str] = []
    await until(lambda: "Health:" in "".join(_heard(heard, capsys)))
    said = "".join(heard)
    assert re.search(r"Pushes: http://127\.0\.0\.1:\d+/wechat/events\n", said)
    os.kill(os.getpid(), number)
    await served
