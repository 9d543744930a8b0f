"""Typed documents over a store: read, decided upon, sealed and replaced in one step."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from harvester.api.vault import credential, pushed
from harvester.api.vault.credential import Credential
from harvester.api.vault.pushed import Codes, Tickets
from harvester.api.vault.sealing import Seals
from harvester.api.vault.store import Decide, Store
from harvester.errors import StorageError

CHECK = ":vault"
"""The document that says whether the keys are those of the vault."""

FORMAT = 1

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """A kind of document: how it is read and written, and what stands where none is."""

    prefix: str
    read: Callable[[Mapping[str, Any], Seals], R]
    write: Callable[[R, Seals], dict[str, Any]]
    nothing: R


CREDENTIAL = Kind("", credential.credential, credential.document, Credential())
TICKET = Kind("ticket:", pushed.tickets, pushed.ticket_document, Tickets())
CODES = Kind("codes:", pushed.codes, pushed.codes_document, Codes())


class Documents:
    """The vault's documents. The first use looks at store and keys, once."""

    def __init__(self, store: Store, seals: Seals) -> None:
        self.store = store
        self.seals = seals
        self._starting = asyncio.Lock()
        self._started = False

    async def start(self) -> None:
        """Makes sure that the store is fit and the keys are right.

        Raises AuthorisationError for a wrong key, and what the store raises.
        """
        async with self._starting:
            if not self._started:
                await self.store.start()
                await self.store.change(CHECK, self._checked)
                self._started = True

    async def read(self, kind: Kind[R], name: str) -> R:
        """The document, or what stands where there is none."""
        await self.ready()
        return self._opened(kind, await self.store.read(kind.prefix + name))

    async def raw(self, name: str) -> dict[str, Any] | None:
        """The document with its secrets as they are kept."""
        await self.ready()
        document = await self.store.read(name)
        return None if document is None else parsed(document)

    async def all(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Every name with its document, secrets as they are kept."""
        await self.ready()
        async for name, document in self.store.all():
            if name != CHECK:
                yield name, parsed(document)

    async def change(
        self, kind: Kind[R], name: str, decide: Callable[[R], tuple[R, T]]
    ) -> T:
        """Replaces the document by what is decided; an equal one is not written."""
        await self.ready()
        return await self.store.change(
            kind.prefix + name, self._on_document(kind, decide)
        )

    async def change_all(
        self, kind: Kind[R], names: Sequence[str], decide: Callable[[str, R], R]
    ) -> None:
        """Replaces several documents, each by itself in one step."""
        await self.ready()

        def of(name: str) -> Decide[None]:
            return self._on_document(
                kind,
                lambda known: (decide(name.removeprefix(kind.prefix), known), None),
            )

        await self.store.change_all([kind.prefix + name for name in names], of)

    async def rewrite(self, kind: Kind[Any], name: str) -> None:
        """The same again, sealed by the first key; `name` with its prefix."""

        def again(document: bytes | None) -> tuple[bytes | None, None]:
            if document is None:
                return None, None
            known = self._opened(kind, document)
            return orjson.dumps(kind.write(known, self.seals)), None

        await self.store.change(name, again)

    async def renew_check(self) -> None:
        """From now on only the first key need be there to open the vault."""
        await self.start()
        await self.store.change(CHECK, lambda _: (self._check(), None))

    async def forget(self, name: str) -> bool:
        """Drops the document; False: there was none."""
        await self.ready()
        return await self.store.remove(name)

    async def ready(self) -> None:
        """Starts where nobody has yet."""
        if not self._started:
            await self.start()

    def _on_document(
        self, kind: Kind[R], decide: Callable[[R], tuple[R, T]]
    ) -> Decide[T]:
        def on_document(document: bytes | None) -> tuple[bytes | None, T]:
            known = self._opened(kind, document)
            after, told = decide(known)
            if after == known:
                return None, told
            return orjson.dumps(kind.write(after, self.seals)), told

        return on_document

    def _opened(self, kind: Kind[R], document: bytes | None) -> R:
        if document is None:
            return kind.nothing
        return kind.read(parsed(document), self.seals)

    def _checked(self, document: bytes | None) -> tuple[bytes | None, None]:
        """Once opened with a key, a vault is not opened without one any more."""
        kept = None if document is None else parsed(document)["check"]
        if kept is not None:
            self.seals.unseal(kept)
            if "sealed" in kept or not self.seals:
                return None, None
        return self._check(), None

    def _check(self) -> bytes:
        return orjson.dumps({"format": FORMAT, "check": self.seals.seal("vault")})


def parsed(document: bytes) -> dict[str, Any]:
    """The document's object. Raises StorageError."""
    try:
        found: dict[str, Any] = orjson.loads(document)
    except orjson.JSONDecodeError:
        todo = "put a backup in its place"
        raise StorageError("the vault holds what it never wrote", todo) from None
    return found
