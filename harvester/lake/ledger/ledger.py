"""The ledger: what is held, empty, denied or failed, and which data files there are.

Two tables of append-only segments. The entry with the higher sequence counts, within
a segment the later row. One sequence stands for one commit: the data files and the
segment of `files` first, the segment of `cells` last: its rename is the commit. A
segment of `files` above the highest of `cells` belongs to a commit that never was.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from harvester import dates
from harvester.dates import EPOCH, Days
from harvester.errors import StorageError
from harvester.lake import layout
from harvester.lake.durable import Disk, Move
from harvester.lake.ledger import segments
from harvester.lake.ledger.index import COLUMNS, Index
from harvester.lake.ledger.parts import Parts
from harvester.plan import Known

EVERYONE = "*"
"""Stands in the place of an account for the endpoint as a whole."""

_MOMENT = pa.timestamp("us", "UTC")

CELLS = pa.schema(
    {
        "sequence": pa.int64(),
        "endpoint": pa.string(),
        "account": pa.string(),
        "first_date": pa.date32(),
        "last_date": pa.date32(),
        "outcome": pa.string(),
        "rows": pa.int64(),
        "rows_changed": pa.int64(),
        "fetched_at": _MOMENT,
        "run_id": pa.string(),
        "attempts": pa.int32(),
        "code": pa.string(),
        "rid": pa.string(),
        "message": pa.string(),
        "next_try_at": _MOMENT,
        "catalogue_version": pa.string(),
    }
)

FILES = pa.schema(
    {
        "sequence": pa.int64(),
        "path": pa.string(),
        "endpoint": pa.string(),
        "rows": pa.int64(),
        "bytes": pa.int64(),
        "sha256": pa.string(),
        "run_id": pa.string(),
        "removed": pa.bool_(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What became of the cells `first_date` to `last_date` (ordinals)."""

    endpoint: str
    account: str
    first_date: int
    last_date: int
    outcome: str
    rows: int = 0
    """Rows in the lake, of all these cells together."""

    rows_changed: int = 0
    """Rows that are not as they were before, where the cells had some."""

    fetched_at: int
    """Microseconds since the epoch, UTC; so is `next_try_at`."""

    run_id: str
    attempts: int = 1
    code: str = ""
    rid: str = ""
    message: str = ""
    next_try_at: int | None = None
    catalogue_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file that has been written, written anew, or removed."""

    path: str
    """Relative to the lake: `data/endpoint=…`."""

    endpoint: str
    rows: int
    bytes: int
    sha256: str
    run_id: str
    removed: bool = False


Landed = dict[tuple[str, str, str, int], Days]
"""By run, endpoint, account and moment of fetching: the days that have an entry."""


class Ledger:
    """A lake's ledger, as it was when loaded, and what was committed since.

    Asking needs no lock. Only the holder of the lake's lock commits, from one thread.
    """

    def __init__(self, root: Path, index: Index, sequence: int) -> None:
        self.root = root
        self.sequence = sequence
        """The last that was committed."""

        self._index = index
        self._parts = Parts(self.files)
        self._broken = False

    @classmethod
    def load(cls, root: Path) -> Self:
        """Reads the ledger of the lake at this path.

        Raises UsageError when it is lost, StorageError when it is damaged.
        """
        layout.check_ledger(root)
        index = Index()
        folder = root / layout.CELLS
        columns = ("sequence", *COLUMNS)
        index.add(segments.read(folder, CELLS, columns, index.coded))
        pa.default_memory_pool().release_unused()
        newest = max(segments.numbers(folder), default=-1)
        return cls(root, index, newest)

    def known(self, appid: str) -> dict[str, list[Known]]:
        """What counts for the account, by endpoint: sorted, disjoint.

        Under `*`: what holds for an endpoint as a whole.
        """
        return self._index.known(appid)

    def accounts(self) -> list[str]:
        """Every account with an entry, and `*` if an endpoint as a whole has one."""
        return self._index.accounts()

    def noted(self, appid: str, endpoint_id: str, first: int, last: int) -> Days:
        """The days for which the lake may hold rows: to be looked at, not believed."""
        return self._index.noted(appid, endpoint_id, first, last)

    def cells(self, columns: Iterable[str] = CELLS.names) -> pa.Table:
        """All entries, those that no longer count too, the one that counts last."""
        chosen = list(dict.fromkeys(["sequence", *columns]))
        found = segments.read(self.root / layout.CELLS, CELLS, chosen)
        return found.sort_by("sequence")

    def files(self, endpoint_id: str = "") -> pa.Table:
        """The data files there are or were, one row each; of one endpoint or of all."""
        found = segments.read(
            self.root / layout.FILES,
            FILES,
            FILES.names,
            lambda found: _of_endpoint(found, endpoint_id),
        )
        committed = max(segments.numbers(self.root / layout.CELLS), default=-1)
        found = found.filter(pc.field("sequence") <= committed)
        return last_by_path(found)

    def parts(self, partition: str, endpoint_id: str) -> list[str]:
        """The data files of a partition, oldest first."""
        return self._parts.live(partition, endpoint_id)

    def next_part(self, partition: str, endpoint_id: str) -> str:
        """The path of the partition's next data file: the same until it is committed."""
        return self._parts.next(partition, endpoint_id)

    def landed(self, run_ids: Collection[str]) -> Landed:
        """Which days of which records of these runs have an entry."""
        wanted = pc.is_in(pc.field("run_id"), pa.array(sorted(run_ids), pa.string()))
        columns = (
            "run_id",
            "endpoint",
            "account",
            "fetched_at",
            "first_date",
            "last_date",
        )
        found = segments.read(
            self.root / layout.CELLS,
            CELLS,
            columns,
            lambda found: plain(found).filter(wanted),
        )
        days: dict[tuple[str, str, str, int], list[tuple[int, int]]] = {}
        for *key, first, last in zip(*found.to_pydict().values(), strict=True):
            days.setdefault(tuple(key), []).append((first + EPOCH, last + EPOCH))
        return {key: dates.of(ranges) for key, ranges in days.items()}

    def commit(
        self,
        disk: Disk,
        entries: Sequence[Entry],
        files: Sequence[DataFile] = (),
        moves: Sequence[Move] = (),
    ) -> None:
        """Lands the staged files and records them: durable on return, all or nothing.

        Raises StorageError; what was landed then belongs to nobody, and whoever does
        the work again writes the same names.
        """
        if self._broken:
            raise StorageError(f"an earlier commit to {self.root} failed", "run again")
        self._broken = True
        sequence = self.sequence + 1
        landing = list(moves)
        if files:
            staged = disk.stage(
                segments.encode(FILES, [_table(FILES, files, sequence)])
            )
            landing.append((staged, f"{layout.FILES}/{segments.name(sequence)}"))
        if landing:
            disk.land(landing)
        cells = _table(CELLS, entries, sequence)
        place = f"{layout.CELLS}/{segments.name(sequence)}"
        disk.replace(place, segments.encode(CELLS, [cells]))
        self._broken = False
        self.sequence = sequence
        self._index.add(self._index.coded(cells))
        self._parts.add(files)

    def discard_uncommitted(self, disk: Disk) -> None:
        """Removes segments of `files` whose commit never was."""
        folder = self.root / layout.FILES
        above = [each for each in segments.numbers(folder) if each > self.sequence]
        disk.remove(folder / segments.name(each) for each in above)


def first_segments(disk: Disk) -> None:
    """Begins a ledger: from now on an empty folder means that it was lost."""
    for place, schema in ((layout.FILES, FILES), (layout.CELLS, CELLS)):
        if not segments.numbers(disk.root / place):
            empty = segments.encode(schema, [])
            disk.replace(f"{place}/{segments.name(0)}", empty)


def _table(
    schema: pa.Schema, records: Sequence[Entry] | Sequence[DataFile], sequence: int
) -> pa.Table:
    """The rows of one commit."""
    columns = {"sequence": pa.array([sequence] * len(records), pa.int64())}
    for field in schema:
        if field.name == "sequence":
            continue
        values = [getattr(record, field.name) for record in records]
        if pa.types.is_date(field.type):
            values = [day - EPOCH for day in values]
        columns[field.name] = pa.array(values, field.type)
    return pa.table(columns, schema)


def _of_endpoint(table: pa.Table, endpoint_id: str) -> pa.Table:
    plain = table.cast(FILES)
    return plain.filter(pc.field("endpoint") == endpoint_id) if endpoint_id else plain


def last_by_path(files: pa.Table) -> pa.Table:
    """The row that counts of each path, by path."""
    ordered = files.sort_by([("path", "ascending"), ("sequence", "ascending")])
    paths = ordered.column("path").combine_chunks()
    if len(paths) < 2:
        return ordered
    last = pc.not_equal(paths[:-1], paths[1:])
    return ordered.filter(pa.concat_arrays([last, pa.array([True])]))


def plain(found: pa.Table) -> pa.Table:
    """Text as text, days and moments as numbers."""
    numbers = {pa.date32(): pa.int32(), _MOMENT: pa.int64()}
    return found.cast(
        pa.schema(
            (
                field.name,
                pa.string()
                if pa.types.is_dictionary(field.type)
                else numbers.get(field.type, field.type),
            )
            for field in found.schema
        )
    )
