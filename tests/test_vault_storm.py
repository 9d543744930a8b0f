"""Many accounts whose tokens expire at once, in several processes; and one that is killed."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from vaults import STORES, minted, redis_server, url_of

from harvester.accounts import Account
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.vault import opened
from harvester.api.wire import Wire
from harvester.sandbox.app import running
from harvester.sandbox.settings import Settings, appids
from harvester.secret import Secret

ACCOUNTS = 200
PROCESSES = 4
PLATFORM = "wxffffffffffffffff"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


HARVESTER = """
import asyncio, json, sys
from harvester.accounts import Account
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.vault import opened
from harvester.api.wire import Wire
from harvester.secret import Secret

DAY = b'{"begin_date": "2024-12-07", "end_date": "2024-12-07"}'

async def used(tokens, wire, appid):
    token = await tokens.current(Account(appid=appid))
    path = f"/datacube/getusersummary?access_token={token}"
    answer = json.loads(await wire.data("POST", path, DAY))
    return token, answer.get("errcode", 0)

async def main(url, vault_url, *appids):
    platform = Platform(appid="wxffffffffffffffff", secret=Secret("s"), ticket=lambda: "t")
    async with opened(vault_url) as vault, Wire((url,), connections=32) as wire:
        tokens = Tokens(wire, vault, platform)
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(await asyncio.gather(*(used(tokens, wire, one) for one in appids))))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("store", STORES)
async def test_tokens_that_expire_at_once_in_several_processes_are_refreshed_once_each(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    vault_url = url_of(store, request, tmp_path)
    names = appids(1, ACCOUNTS)
    async with opened(vault_url) as vault:
        for name in names:
            await vault.store(name, 0, minted("expired", f"r-{name}", until=1))
    async with running(Settings(accounts=ACCOUNTS, latency_ms=20)) as box:
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", HARVESTER, box.url, vault_url, *names),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        printed = await asyncio.gather(
            *(process.communicate(b"go\n") for process in processes)
        )
        assert box.token_calls.total() == ACCOUNTS + 1
        assert box.token_calls["api_component_token", PLATFORM] == 1
        assert {box.token_calls["api_authorizer_token", name] for name in names} == {1}
    found = [json.loads(out.splitlines()[-1]) for out, _ in printed]
    assert all(one == found[0] for one in found)
    assert {code for _, code in found[0]} == {0}


DYING = """
import asyncio, os, signal, sys
from harvester.accounts import Account
from harvester.api.tokens import shared
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.vault import Vault, opened
from harvester.api.wire import Wire
from harvester.secret import Secret

shared.LEASE_SECONDS = 0.3
store = Vault.store

async def dying(self, name, generation, minted):
    if not name.startswith("platform:"):
        os.kill(os.getpid(), signal.SIGKILL)
    return await store(self, name, generation, minted)

Vault.store = dying

async def main(url, vault_url, appid):
    platform = Platform(appid="wxffffffffffffffff", secret=Secret("s"), ticket=lambda: "t")
    async with opened(vault_url) as vault, Wire((url,)) as wire:
        await Tokens(wire, vault, platform).current(Account(appid=appid))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("store", STORES)
async def test_a_kill_between_refreshed_and_stored_loses_nothing(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The refresh token that WeChat has replaced is found again in the platform's list."""
    vault_url = url_of(store, request, tmp_path)
    name = appids(1, 1)[0]
    async with running(Settings(accounts=3, rotate_refresh_tokens=True)) as box:
        first = box.platform.accounts.refresh_token(name)
        box.require(name, refresh_token=first)
        async with opened(vault_url) as vault:
            await vault.put_refresh_token(name, first)
        dying = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DYING, box.url, vault_url, name
        )
        assert await dying.wait() == -9
        assert box.platform.accounts.refresh_token(name) != first
        async with opened(vault_url) as vault, Wire((box.url,)) as wire:
            assert (await vault.read(name)).refresh_token == first
            token = await Tokens(wire, vault, platform()).current(Account(appid=name))
            stored = await vault.read(name)
        assert stored.token == token
        assert stored.refresh_token == box.platform.accounts.refresh_token(name)
        assert box.tally.other_calls["api_get_authorizer_list", PLATFORM] == 1


def platform() -> Platform:
    return Platform(appid=PLATFORM, secret=Secret("s"), ticket=lambda: "t")
