"""The vault's documents in a SQLite file: for the processes of one machine.

Every call leaves the event loop for a thread: the file is flushed at each commit.
Changes that wait for a flush go together in the next one.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, Lock, to_thread

from harvester.api.vault import file as vault_file
from harvester.api.vault.file import told
from harvester.api.vault.store import Decide
from harvester.errors import HarvesterError

PAGE = 500

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Change:
    """One document's change, and what has become of it."""

    name: str
    decide: Decide[Any]
    told: Any = None
    error: Exception | None = None
    done: bool = False


class SqliteStore:
    """An open vault file."""

    skew = 0.0

    def __init__(self, path: Path) -> None:
        """Opens the file or makes it. Raises UsageError and StorageError."""
        self.where = f"sqlite:///{path}"
        self.database = vault_file.opened_file(path)
        self._path = path
        self._thread = CapacityLimiter(1)
        self._flushing = Lock()
        self._waiting: list[_Change] = []

    async def start(self) -> None:
        """All was looked at when the file was opened."""

    async def read(self, name: str) -> bytes | None:
        """The document."""
        return await self._aside(lambda: self._read(name))

    async def change(self, name: str, decide: Decide[T]) -> T:
        """Replaces the document; one that stays costs no flush."""
        change = _Change(name, decide)
        self._waiting.append(change)
        try:
            async with self._flushing:
                if not change.done:
                    await self._flush()
        finally:
            if not change.done:  # whoever waited for it is cancelled
                self._waiting.remove(change)
        if change.error is not None:
            raise change.error
        told: T = change.told
        return told

    async def _flush(self) -> None:
        """Makes all changes that wait."""
        together = tuple(self._waiting)
        try:
            await self._aside(lambda: self._make(together))
        except HarvesterError as error:
            for one in together:
                one.error, one.done = error, True
        finally:
            self._waiting = [one for one in self._waiting if not one.done]

    async def change_all(
        self, names: Sequence[str], decide: Callable[[str], Decide[T]]
    ) -> list[T]:
        """All in one transaction."""

        def change_all() -> list[T]:
            with self._transaction():
                return [self._put(name, decide(name)) for name in names]

        return await self._aside(change_all)

    async def remove(self, name: str) -> bool:
        """Forgets the document; False: there was none."""

        def remove() -> bool:
            with self._transaction():
                done = self.database.execute(
                    "DELETE FROM document WHERE name = ?", (name,)
                )
                return done.rowcount > 0

        return await self._aside(remove)

    async def all(self) -> AsyncIterator[tuple[str, bytes]]:
        """Page by page, so that no reader holds the journal back."""
        page = await self._aside(partial(self._page, ""))
        while page:
            for name, document in page:
                yield name, document
            page = await self._aside(partial(self._page, page[-1][0]))

    async def back_up(self, path: Path) -> None:
        """A copy of one moment, while others write."""
        await self._aside(lambda: vault_file.copy(self.database, path))

    async def advice(self) -> str:
        """Nothing: each commit is flushed."""
        return ""

    async def aclose(self) -> None:
        """Closes the file."""
        self.close()

    def close(self) -> None:
        """Closes the file; what was stored is durable already."""
        self.database.close()

    async def _aside(self, work: Callable[[], T]) -> T:
        def exclusively() -> T:
            with told(self._path):
                return work()

        return await to_thread.run_sync(exclusively, limiter=self._thread)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.database.rollback()
            raise
        self.database.commit()

    def _read(self, name: str) -> bytes | None:
        found = self.database.execute(
            "SELECT content FROM document WHERE name = ?", (name,)
        ).fetchone()
        return found[0].encode() if found else None

    def _make(self, together: Sequence["_Change"]) -> None:
        """All in one transaction; those that change nothing need none."""
        changing = [one for one in together if self._decided(one) is not None]
        if changing:
            with self._transaction():
                for one in changing:
                    document = self._decided(one)
                    if document is not None:
                        vault_file.put(self.database, one.name, document)
        for one in together:
            one.done = True

    def _decided(self, change: "_Change") -> bytes | None:
        """The document to take the present one's place. An error is that change's own."""
        present = self._read(change.name)
        try:
            document, change.told = change.decide(present)
        except Exception as error:  # whatever it is, the others' changes go on
            change.error = error
            return None
        return document

    def _put(self, name: str, decide: Decide[T]) -> T:
        document, told = decide(self._read(name))
        if document is not None:
            vault_file.put(self.database, name, document)
        return told

    def _page(self, after: str) -> list[tuple[str, bytes]]:
        found = self.database.execute(
            "SELECT name, content FROM document WHERE name > ? ORDER BY name LIMIT ?",
            (after, PAGE),
        )
        return [(name, content.encode()) for name, content in found]
