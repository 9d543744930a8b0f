"""What a build is given, and what it gives back."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from harvester.catalogue.endpoint import Endpoint
from harvester.lake.durable import Disk
from harvester.lake.layout import Layout
from harvester.lake.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How data files are made."""

    endpoints: Mapping[str, Endpoint]
    catalogue_version: str
    run_id: str
    memory_mb: int = 64
    """Rows and answers that a build may hold."""

    compression: str = "auto"
    """`auto`, or the name of a codec."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a build works."""

    disk: Disk
    ledger: Ledger
    layout: Layout
    recipe: Recipe


class Failure(NamedTuple):
    """An answer that could not be taken; its bytes are in `rejected/`."""

    code: str
    message: str
    appid: str
    endpoint: str
    first: int
    last: int
    rid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What became of the answers of a build. Refusals are whose who made the call."""

    rows: int = 0
    """Rows of answers, those that were there before included."""

    files: int = 0
    """Data files written, new and anew."""

    bytes: int = 0
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By endpoint and outcome."""

    rows_by_endpoint: Counter[str] = field(default_factory=Counter)
    failures: tuple[Failure, ...] = ()
    dropped: int = 0
    """Rows outside their call's window."""

    collapsed: int = 0
    """Rows that repeated another one of their answer."""

    shrunk: int = 0
    """Cells with fewer rows than before; without any, the old ones stay."""

    extra: frozenset[str] = frozenset()
    """Fields that the catalogue does not know: `endpoint: field`."""

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """All of these together."""
        every = list(parts)
        return cls(
            rows=sum(part.rows for part in every),
            files=sum(part.files for part in every),
            bytes=sum(part.bytes for part in every),
            cells=sum((part.cells for part in every), Counter()),
            rows_by_endpoint=sum((part.rows_by_endpoint for part in every), Counter()),
            failures=tuple(failure for part in every for failure in part.failures),
            dropped=sum(part.dropped for part in every),
            collapsed=sum(part.collapsed for part in every),
            shrunk=sum(part.shrunk for part in every),
            extra=frozenset().union(*(part.extra for part in every)),
        )


class Enough(Exception):
    """Nobody wants the rest of a build now: the spool keeps it."""
