"""The vault: tokens and refresh tokens, durable one by one, shared by processes.

1. A name is an account's appid, or `platform:` and the platform's: one row each.
2. Every change of a row raises its generation, and a result is stored only over the
   generation it was fetched for: an older one never overwrites a newer one.
3. Nothing empty overwrites anything. The last refresh tokens are kept, those of
   results that came too late included.
4. Who refreshes holds a lease. It runs out, so that a dead holder blocks nobody;
   should its result arrive after all, rule 2 turns it away.
5. A missing file is made (mode 0600); one that is empty, damaged, foreign or open
   to others is refused and never replaced.

The SQL is here, the file's layout in `vault_file`. Every call leaves the event loop for a thread: the file is
flushed at each commit.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from anyio import CapacityLimiter, to_thread

from harvester.api.vault_file import opened_file, told
from harvester.errors import UsageError

KEPT_REFRESH_TOKENS = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One row. Times are epoch seconds; nothing known is empty, 0 the first generation."""

    token: str = ""
    learned_at: float = 0.0
    expires_at: float = 0.0
    generation: int = 0
    refresh_token: str = ""

    def __repr__(self) -> str:
        return f"Stored(generation={self.generation}, expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """What a token call brought. `learned_at` is the moment it was sent."""

    token: str
    learned_at: float
    expires_at: float
    refresh_token: str = ""

    def __repr__(self) -> str:
        return f"Minted(expires_at={self.expires_at})"


class Vault:
    """An open vault file. `clock` gives epoch seconds."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Opens the file or makes it. Raises UsageError and StorageError."""
        self._path = path
        self._clock = clock
        self._holder = uuid4().hex
        self._thread = CapacityLimiter(1)
        self._database = opened_file(path)

    def close(self) -> None:
        """Closes the file; what was stored is durable already."""
        self._database.close()

    async def read(self, name: str) -> Stored:
        """What is known under this name."""
        return await self._aside(lambda: self._row(name))

    async def seed(self, name: str, refresh_token: str) -> None:
        """Takes a configured refresh token over, once for every value it has.

        One that the vault got in another way wins over the first such value.
        """
        await self._aside(lambda: self._seed(name, refresh_token))

    async def lease(self, name: str, seconds: float) -> Stored | None:
        """The row as it is now, ours to refresh for so long; None: another's."""
        return await self._aside(lambda: self._lease(name, seconds))

    async def release(self, name: str) -> None:
        """Gives a lease back without a result."""
        await self._aside(lambda: self._release(name))

    async def store(self, name: str, generation: int, minted: Minted) -> Stored:
        """Stores over this generation and gives the lease back; what holds then.

        When the row has changed since, it stays, and the caller gets it instead.
        """
        return await self._aside(lambda: self._store(name, generation, minted))

    async def previous(self, name: str) -> tuple[str, ...]:
        """The last refresh tokens of this name, newest first."""
        return await self._aside(lambda: self._previous(name))

    async def put_refresh_token(self, name: str, refresh_token: str) -> None:
        """A newer refresh token from outside: it counts from now on."""
        await self._aside(lambda: self._put_refresh_token(name, refresh_token))

    async def ticket(self, platform: str) -> str:
        """The platform's last ticket, or nothing."""
        return await self._aside(lambda: self._ticket(platform))

    async def put_ticket(self, platform: str, ticket: str) -> None:
        """Keeps a newer ticket; an empty one changes nothing."""
        await self._aside(lambda: self._put_ticket(platform, ticket))

    async def _aside(self, work: Callable[[], T]) -> T:
        def exclusively() -> T:
            with told(self._path):
                return work()

        return await to_thread.run_sync(exclusively, limiter=self._thread)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.rollback()
            raise
        self._database.commit()

    def _row(self, name: str) -> Stored:
        found = self._database.execute(
            "SELECT token, learned_at, expires_at, generation, refresh_token"
            " FROM credential WHERE name = ?",
            (name,),
        ).fetchone()
        if found is None:
            return Stored()
        token, learned_at, expires_at, generation, refresh_token = found
        return Stored(
            token=token,
            learned_at=learned_at,
            expires_at=expires_at,
            generation=generation,
            refresh_token=refresh_token,
        )

    def _seed(self, name: str, refresh_token: str) -> None:
        seed = sha256(refresh_token.encode()).hexdigest()
        known = self._database.execute(
            "SELECT seed FROM credential WHERE name = ?", (name,)
        ).fetchone()
        if not refresh_token or known == (seed,):
            return
        with self._transaction():
            self._make_row(name)
            self._database.execute(
                "UPDATE credential SET seed = ?, generation = generation + 1,"
                " refresh_token = CASE WHEN refresh_token = '' OR seed <> ''"
                " THEN ? ELSE refresh_token END WHERE name = ? AND seed <> ?",
                (seed, refresh_token, name, seed),
            )
            self._remember(name, refresh_token)

    def _lease(self, name: str, seconds: float) -> Stored | None:
        now = self._clock()
        with self._transaction():
            self._make_row(name)
            taken = self._database.execute(
                "UPDATE credential SET lease_holder = ?, lease_until = ?"
                " WHERE name = ? AND (lease_holder IN ('', ?) OR lease_until <= ?"
                " OR lease_until > ?)",  # the last: the clock was put back
                (self._holder, now + seconds, name, self._holder, now, now + 600),
            ).rowcount
            return self._row(name) if taken else None

    def _release(self, name: str) -> None:
        with self._transaction():
            self._database.execute(
                "UPDATE credential SET lease_holder = ''"
                " WHERE name = ? AND lease_holder = ?",
                (name, self._holder),
            )

    def _store(self, name: str, generation: int, minted: Minted) -> Stored:
        if not minted.token:
            raise ValueError("an empty token is none")
        with self._transaction():
            self._make_row(name)
            self._remember(name, minted.refresh_token)
            self._database.execute(
                "UPDATE credential SET token = ?, learned_at = ?, expires_at = ?,"
                " refresh_token = coalesce(nullif(?, ''), refresh_token),"
                " generation = generation + 1 WHERE name = ? AND generation = ?",
                (
                    minted.token,
                    minted.learned_at,
                    minted.expires_at,
                    minted.refresh_token,
                    name,
                    generation,
                ),
            )
            self._database.execute(
                "UPDATE credential SET lease_holder = ''"
                " WHERE name = ? AND lease_holder = ?",
                (name, self._holder),
            )
            return self._row(name)

    def _previous(self, name: str) -> tuple[str, ...]:
        found = self._database.execute(
            "SELECT value FROM refresh_token WHERE name = ? ORDER BY number DESC",
            (name,),
        )
        return tuple(value for (value,) in found)

    def _put_refresh_token(self, name: str, refresh_token: str) -> None:
        if not refresh_token:
            return
        with self._transaction():
            self._make_row(name)
            self._database.execute(
                "UPDATE credential SET refresh_token = ?, generation = generation + 1"
                " WHERE name = ?",
                (refresh_token, name),
            )
            self._remember(name, refresh_token)

    def _ticket(self, platform: str) -> str:
        found = self._database.execute(
            "SELECT value FROM ticket WHERE platform = ?", (platform,)
        ).fetchone()
        return str(found[0]) if found else ""

    def _put_ticket(self, platform: str, ticket: str) -> None:
        if not ticket:
            return
        with self._transaction():
            self._database.execute(
                "INSERT INTO ticket VALUES (?, ?, ?) ON CONFLICT (platform)"
                " DO UPDATE SET value = excluded.value, learned_at = excluded.learned_at",
                (platform, ticket, self._clock()),
            )

    def _make_row(self, name: str) -> None:
        self._database.execute(
            "INSERT INTO credential (name) VALUES (?) ON CONFLICT DO NOTHING", (name,)
        )

    def _remember(self, name: str, refresh_token: str) -> None:
        """Puts it at the head of the history, and cuts the history."""
        if not refresh_token:
            return
        self._database.execute(
            "INSERT OR REPLACE INTO refresh_token (name, value, learned_at)"
            " VALUES (?, ?, ?)",
            (name, refresh_token, self._clock()),
        )
        self._database.execute(
            "DELETE FROM refresh_token WHERE name = ? AND number NOT IN"
            " (SELECT number FROM refresh_token WHERE name = ?"
            " ORDER BY number DESC LIMIT ?)",
            (name, name, KEPT_REFRESH_TOKENS),
        )


def opened(url: str, folder: Path = Path()) -> Vault:
    """The vault at `sqlite:///path`; a relative path starts from `folder`.

    Raises UsageError for another scheme, and what opening a vault raises.
    """
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path:
        raise UsageError(f"vault url {url!r}", "expected sqlite:///path/of/vault.db")
    return Vault(folder / path)
