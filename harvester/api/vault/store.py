"""What the vault asks of whatever keeps its documents."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")

Decide = Callable[[bytes | None], tuple[bytes | None, T]]
"""From a document, or None where there is none, to the one to take its place (None:
it stays as it is) and what to tell the caller. Pure: it may run more than once."""


class Store(Protocol):
    """Documents by name, shared by processes.

    Durable on return. Every method raises HarvesterError when the store fails it.
    """

    where: str
    """The store's address without a password, for people."""

    skew: float
    """What to add to this machine's clock so that all users of the store agree."""

    async def start(self) -> None:
        """Called once before anything else: makes sure that the store is fit to keep tokens."""

    async def read(self, name: str) -> bytes | None:
        """The document."""

    async def change(self, name: str, decide: Decide[T]) -> T:
        """Replaces the document in one step: nobody else writes between."""

    async def change_all(
        self, names: Sequence[str], decide: Callable[[str], Decide[T]]
    ) -> list[T]:
        """Each by itself in one step, all durable on return; in the order of the names."""

    async def remove(self, name: str) -> bool:
        """Forgets the document; False: there was none."""

    def all(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every name with its document. Meanwhile others may write."""

    async def back_up(self, path: Path) -> None:
        """Writes a SQLite vault with all documents of one moment; the file is new."""

    async def advice(self) -> str:
        """What an operator should know of how safe the store is; usually nothing."""

    async def aclose(self) -> None:
        """Lets go of the store."""
