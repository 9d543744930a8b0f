"""Refreshes a second, and what the vault costs a call, on both stores.

    python benchmarks/bench_vault.py

Half a minute. Tokens come from a sandbox in this process; Redis is started on a free
port with its append-only file flushed at each write, and left out where it is missing.

`refreshes/s`: 400 accounts at once, each leased, exchanged and stored durably; `bare`
are the same HTTP calls without a vault, and × is to them. `read`, `lease+store`: one
after another. `in memory`: what every call pays while its account's token is good.
"""

import asyncio
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

import structlog

from harvester.accounts import Account
from harvester.api.tokens.mint import Mint
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.records import Facts, Minted
from harvester.api.vault.vault import Vault, opened
from harvester.api.wire import Wire
from harvester.sandbox.app import running
from harvester.sandbox.settings import Settings, appids
from harvester.secret import Secret

KEY = Secret("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
ACCOUNTS = 400
TIMES = 200
HELD = 100_000
PLATFORM = Platform(
    appid="wxffffffffffffffff", secret=Secret("secret"), ticket=lambda: "ticket"
)


async def microseconds(work: Callable[[int], Awaitable[object]], times: int) -> float:
    """What one takes, one after another."""
    start = perf_counter()
    for number in range(times):
        await work(number)
    return (perf_counter() - start) / times * 1e6


async def refreshes_a_second(vault: Vault) -> float:
    """All accounts at once, each by its refresh token."""
    names = appids(1, ACCOUNTS)
    await vault.refill({name: f"refresh token of {name}" for name in names})
    async with running(Settings(accounts=ACCOUNTS)) as box, Wire((box.url,)) as wire:
        tokens = Tokens(wire, vault, PLATFORM)
        start = perf_counter()
        await asyncio.gather(*(tokens.current(Account(appid=name)) for name in names))
        return ACCOUNTS / (perf_counter() - start)


async def bare_a_second() -> float:
    """The same calls, and nothing kept."""
    names = appids(1, ACCOUNTS)
    async with running(Settings(accounts=ACCOUNTS)) as box, Wire((box.url,)) as wire:
        mint = Mint(wire)
        own = (await mint.component(PLATFORM.appid, "secret", "ticket")).token
        start = perf_counter()
        await asyncio.gather(
            *(mint.authorizer(PLATFORM.appid, own, name, "refresh") for name in names)
        )
        return ACCOUNTS / (perf_counter() - start)


async def in_memory(vault: Vault) -> float:
    """What a call pays whose account's token is there: nanoseconds."""
    account = Account(appid=appids(1, 1)[0])
    async with Wire(("http://127.0.0.1:9",)) as wire:
        tokens = Tokens(wire, vault, PLATFORM)
        await tokens.current(account)
        return await microseconds(lambda _: tokens.current(account), 20_000) * 1000


def minted(number: int) -> Minted:
    token = f"{number:0150d}"
    return Minted(token=token, learned_at=0, expires_at=9e9, refresh_token=token[:60])


async def row(name: str, vault: Vault, bare: float) -> None:
    """Prints one store's line."""
    appid = "wx00000000000000aa"

    async def refresh(_: int) -> None:
        leased = await vault.lease(appid, 20)
        assert leased is not None
        await vault.store(appid, leased.generation, minted(leased.generation))

    refreshed = await refreshes_a_second(vault)
    read = await microseconds(lambda _: vault.read(appid), TIMES)
    stored = await microseconds(refresh, TIMES)
    memory = await in_memory(vault)
    print(
        f"{name:20}{refreshed:12.0f}{refreshed / bare:8.2f}{read:10.0f}{stored:17.0f}{memory:15.0f}"
    )


async def listing(url: str) -> None:
    """Prints what a large vault's profiles take."""
    async with opened(url, keys=(KEY,)) as vault:
        names = [f"wx{number:016x}" for number in range(HELD)]
        start = perf_counter()
        for first in range(0, HELD, 500):
            page = {
                one: Facts(name="brand", auth_time=1)
                for one in names[first : first + 500]
            }
            await vault.learn(page, 100)
        learned = perf_counter() - start
        start = perf_counter()
        count = len([one async for one in vault.profiles()])
        print(
            f"{count:,} accounts learned by pages of 500 in {learned:.1f} s,"
            f" listed in {perf_counter() - start:.1f} s"
        )


async def measured(stores: list[tuple[str, str]]) -> None:
    """Prints the table."""
    print(
        f"{'':20}{'refreshes/s':>12}{'×':>8}{'read µs':>10}{'lease+store µs':>17}{'in memory ns':>15}"
    )
    bare = await bare_a_second()
    print(f"{'bare':20}{bare:12.0f}{1:8.2f}")
    for name, url in stores:
        async with opened(f"{url}0") as vault:
            await row(name, vault, bare)
        async with opened(f"{url}1", keys=(KEY,)) as vault:
            await row(f"{name}, encrypted", vault, bare)


@contextmanager
def redis(folder: Path) -> Iterator[str | None]:
    """A durable server on a free port, or nothing."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--dir", str(folder), "--save", "", "--appendonly", "yes")
    server = subprocess.Popen(
        [program, "--port", str(port), *options, "--appendfsync", "always"],
        stdout=subprocess.DEVNULL,
    )
    try:
        sleep(1)
        yield f"redis://127.0.0.1:{port}/"
    finally:
        server.kill()
        server.wait()


def main() -> None:
    """Prints the table."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory() as name, redis(Path(name)) as server:
        stores = [("SQLite", f"sqlite:///{name}/vault")]
        if server is None:
            print("redis-server is missing: SQLite alone")
        else:
            stores.append(("Redis", server))
        asyncio.run(measured(stores))
        asyncio.run(listing(f"sqlite:///{name}/large.db"))


if __name__ == "__main__":
    main()
