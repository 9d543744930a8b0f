"""The vault's documents in Redis: for the processes of several machines.

1. All documents are fields of one hash; one is replaced by a script that compares it
   with what was read, so that nobody else writes between.
2. A Redis that may drop what it holds is refused: append-only file on, nothing evicted.
3. Leases count by the server's clock, whatever the machines' own clocks say.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from anyio import to_thread
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis

from harvester.api.vault import file as vault_file
from harvester.api.vault.store import Decide
from harvester.errors import HarvesterError, StorageError, UsageError

KEY = "harvester:vault"
CONNECTIONS = 16
SECONDS = 5.0
ATTEMPTS = 1000
"""So often a document is decided upon again because another process was faster."""

DURABLE = {"aof_enabled": "1", "maxmemory_policy": "noeviction"}
"""What `INFO` has to say, and which managed servers that forbid `CONFIG` say as well."""

_REPLACE = """
local there = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if there == ARGV[2] then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    return 1
end
return 0
"""

T = TypeVar("T")


class RedisStore:
    """Connects when it is first used, inside the event loop."""

    def __init__(
        self, url: str, clock: Callable[[], float] = time.time, key: str = KEY
    ) -> None:
        """Raises UsageError for a url that is none."""
        self.where = _shown(url)
        self.skew = 0.0
        self._clock = clock
        self._key = key
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=4 * SECONDS,
                socket_timeout=SECONDS,
                socket_connect_timeout=SECONDS,
            )
        except (ValueError, TypeError):
            expected = "expected redis://user:password@host:6379/0"
            raise UsageError("the vault's url is none", expected) from None
        self._redis: Any = Redis.from_pool(pool)  # its types change with its version
        self._replace = self._redis.register_script(_REPLACE)

    async def start(self) -> None:
        """Raises UsageError for a server that may drop what it holds."""
        with _told(self.where):
            said = {**await self._info("persistence"), **await self._info("memory")}
            seconds, micros = await self._redis.time()
        for name, wanted in DURABLE.items():
            if str(said.get(name)) != wanted:
                raise _unfit(self.where, name, said.get(name))
        self.skew = seconds + micros / 1e6 - self._clock()

    async def read(self, name: str) -> bytes | None:
        """The document."""
        with _told(self.where):
            found: bytes | None = await self._redis.hget(self._key, name)
            return found

    async def change(self, name: str, decide: Decide[T]) -> T:
        """Reads, decides, and replaces what was read; again if that had changed."""
        for _ in range(ATTEMPTS):
            before = await self.read(name)
            document, told = decide(before)
            if document is None or await self._replaced(name, before, document):
                return told
        raise StorageError(f"vault {self.where}: too many write {name}", "try again")

    async def change_all(
        self, names: Sequence[str], decide: Callable[[str], Decide[T]]
    ) -> list[T]:
        """Several at a time; each is durable by itself."""
        return await asyncio.gather(
            *(self.change(name, decide(name)) for name in names)
        )

    async def remove(self, name: str) -> bool:
        """Forgets the document; False: there was none."""
        with _told(self.where):
            removed: int = await self._redis.hdel(self._key, name)
        return removed > 0

    async def all(self) -> AsyncIterator[tuple[str, bytes]]:
        """A name may come twice while others write: only the first time counts."""
        seen: set[bytes] = set()
        cursor = 0
        while True:
            with _told(self.where):
                cursor, page = await self._redis.hscan(self._key, cursor, count=500)
            for name, document in page.items():
                if name not in seen:
                    seen.add(name)
                    yield name.decode(), document
            if not cursor:
                return

    async def back_up(self, path: Path) -> None:
        """One command reads everything, so that the copy is of one moment."""
        with _told(self.where):
            found: dict[bytes, bytes] = await self._redis.hgetall(self._key)
        documents = [(name.decode(), content) for name, content in found.items()]
        await to_thread.run_sync(vault_file.written, path, documents)

    async def advice(self) -> str:
        """What a power cut may take, as far as the server says."""
        try:
            said = await self._redis.config_get("appendfsync")
        except exceptions.RedisError:
            return "the server does not say whether each write is flushed (appendfsync)"
        if said.get("appendfsync") == "always":
            return ""
        return (
            "appendfsync is not `always`: a power cut may take the last second's writes"
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._redis.aclose(close_connection_pool=True)

    async def _info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._redis.info(section)
        return found

    async def _replaced(self, name: str, before: bytes | None, after: bytes) -> bool:
        with _told(self.where):
            done = await self._replace(
                keys=[self._key], args=[name, before or b"", after]
            )
        return int(done) == 1


def _unfit(where: str, name: str, value: object) -> UsageError:
    if value is None:
        return UsageError(
            f"vault {where}: the server does not say {name}",
            "let the user run INFO: only a durable Redis may keep tokens",
        )
    if name == "aof_enabled":
        return UsageError(
            f"vault {where}: its append-only file is off, a restart may lose tokens",
            "set `appendonly yes` there",
        )
    return UsageError(
        f"vault {where}: maxmemory-policy is {value}, it may drop tokens",
        "set `maxmemory-policy noeviction` there",
    )


_TROUBLES: tuple[tuple[type[Exception], type[HarvesterError], str, str], ...] = (
    (exceptions.AuthenticationError, UsageError, "it refuses user or password", "check them in [vault] url"),
    (exceptions.NoPermissionError, UsageError, "the user may not do that", "allow it INFO, TIME, EVALSHA and hashes of key harvester:vault"),
    (exceptions.ReadOnlyError, UsageError, "it is a replica", "name the primary in [vault] url"),
    (exceptions.OutOfMemoryError, StorageError, "its memory is full", "raise maxmemory"),
    (exceptions.BusyLoadingError, StorageError, "it is starting", "try again in a moment"),
    (exceptions.TimeoutError, StorageError, "no answer in time", "look after the server"),
    (exceptions.ConnectionError, StorageError, "no connection", "start the server, or mend [vault] url"),
    (ssl.SSLError, StorageError, "no safe connection", "look at its certificate"),
    (OSError, StorageError, "no connection", "start the server, or mend [vault] url"),
    (exceptions.RedisError, StorageError, "it refuses", "look into the server's log"),
)  # fmt: skip
"""Most special first. Their own texts may hold the address with its password."""


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turns what the server and the network say into our errors."""
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        _, ours, what, todo = next(
            row for row in _TROUBLES if isinstance(error, row[0])
        )
        trouble = ours(f"vault {where}: {what}", todo)
    else:
        return
    raise trouble  # out here: the error it stands for may know the password


def _shown(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
