"""Vaults for tests: in a file, and in a Redis server of the tests' own."""

import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harvester.api.vault.records import Minted
from harvester.api.vault.vault import Vault, opened
from harvester.secret import Secret

STORES = ("sqlite", "redis")
KEY = Secret("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
OTHER_KEY = Secret("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=")


class Clock:
    """Epoch seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Place:
    """Where a vault is, and how it is opened, as by one process after another."""

    url: str
    clock: Callable[[], float]
    vaults: list[Vault] = field(default_factory=list)

    def open(self, *keys: Secret) -> Vault:
        vault = opened(self.url, keys=keys, clock=self.clock)
        self.vaults.append(vault)
        return vault

    async def started(self, *keys: Secret) -> Vault:
        """With the server's clock looked at, before a test moves the tests' own."""
        vault = self.open(*keys)
        await vault.documents.ready()
        return vault


@asynccontextmanager
async def place(url: str, clock: Callable[[], float]) -> AsyncIterator[Place]:
    """Closes what was opened there."""
    made = Place(url, clock)
    try:
        yield made
    finally:
        for vault in made.vaults:
            await vault.aclose()


def url_of(store: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """An empty vault's address; Redis is started when it is first asked for."""
    if store == "sqlite":
        return f"sqlite:///{folder}/vault.db"
    url: str = request.getfixturevalue("redis")
    emptied(url)
    return url


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """A durable Redis that listens on loopback, as long as the block lasts."""
    program = shutil.which("redis-server")
    assert program, "redis-server is missing; on Debian: apt-get install redis-server"
    port = _free_port()
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    where = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder))
    log = ("--logfile", str(folder / "log"))
    server = subprocess.Popen([program, *where, *log, "--save", "", *durable, *options])
    try:
        _wait_for(port, server)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def emptied(url: str) -> None:
    """Drops what the server holds."""
    told(url, b"FLUSHALL\r\n")


def told(url: str, command: bytes) -> bytes:
    """What the server answers to an inline command."""
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(command)
        return connection.recv(65536)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, "redis-server ended"
        try:
            if told(f"redis://h:{port}/0", b"PING\r\n").startswith(
                (b"+PONG", b"-NOAUTH")
            ):
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError("redis-server does not answer")


def minted(token: str, refresh_token: str = "", until: float = 2e6) -> Minted:
    return Minted(
        token=token, learned_at=1e6, expires_at=until, refresh_token=refresh_token
    )
