"""What the ledger says of one endpoint, at one moment, for whoever compares."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from harvester import dates
from harvester.dates import EPOCH, Granularity
from harvester.lake import layout
from harvester.lake.build.findings import IS_DELAY
from harvester.lake.layout import Layout
from harvester.lake.ledger import segments
from harvester.lake.ledger.ledger import CELLS, EVERYONE, FILES, last_by_path, plain
from harvester.lake.verify.inspection import File, at
from harvester.plan import Outcome

_COLUMNS = (
    "sequence",
    "endpoint",
    "account",
    "first_date",
    "last_date",
    "outcome",
    "code",
    "rows",
)

EVER = 10**7
"""Later than every day."""

ENTRIES = pa.schema(
    {
        "id": pa.int64(),
        "account": pa.string(),
        "place": pa.string(),
        "first": pa.int32(),
        "last": pa.int32(),
        "cells": pa.int32(),
        "outcome": pa.string(),
        "rows": pa.int64(),
    }
)
"""The ledger's entries; on each day the highest id counts. `cells` is how many labels
lie from `first` to `last`. Only `held`, `empty` and `delayed` ones say what rows there
are: under a refusal there may be any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is looked at; a lake is all of it."""

    endpoints: frozenset[str] | None = None
    accounts: frozenset[str] | None = None
    places: frozenset[str] | None = None
    """`account=wx…`, `bucket=b017`."""

    first: int = 1
    last: int = EVER

    def takes(self, place: str, first: int, last: int) -> bool:
        """Whether it holds days of this account or bucket."""
        here = self.places is None or place in self.places
        return here and first <= self.last and last >= self.first


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An endpoint's files and entries after one commit."""

    sequence: int
    files: list[File]
    odd: list[str]
    """Paths in the ledger that are no data file's."""

    entries: pa.Table

    def of(self, places: frozenset[str]) -> "Snapshot":
        """What of it is of these accounts or buckets."""
        files = [file for file in self.files if file.place in places]
        here = pc.field("place").isin(sorted(places))
        return Snapshot(self.sequence, files, [], self.entries.filter(here))

    def weights(self) -> tuple[Counter[str], Counter[str]]:
        """How many files and entries each account or bucket has."""
        found = self.entries.column("place").value_counts().to_pylist()
        entries = Counter({one["values"]: one["counts"] for one in found})
        return Counter(file.place for file in self.files), entries


def sequence(root: Path) -> int:
    """The number of the last commit."""
    return max(segments.numbers(root / layout.CELLS), default=-1)


def endpoints(root: Path) -> set[str]:
    """Every endpoint with an entry, a data file, or a folder."""
    found = {
        path.name.removeprefix("endpoint=")
        for path in (root / layout.DATA).glob("endpoint=*")
        if path.is_dir()
    }
    for place, schema in ((layout.CELLS, CELLS), (layout.FILES, FILES)):
        found |= _distinct(root / place, schema, "endpoint")
    return found


def accounts(root: Path) -> set[str]:
    """Every account with an entry."""
    return _distinct(root / layout.CELLS, CELLS, "account") - {EVERYONE}


def _distinct(folder: Path, schema: pa.Schema, name: str) -> set[str]:
    table = segments.read(
        folder, schema, [name], lambda table: plain(table).group_by(name).aggregate([])
    )
    return set(table.column(name).to_pylist())


def snapshot(
    root: Path,
    cut: Layout,
    endpoint_id: str,
    granularity: Granularity,
    selection: Selection,
) -> Snapshot:
    """What the ledger says now. Raises StorageError for a damaged ledger."""
    while True:
        last = sequence(root)
        entries = _entries(root, cut, endpoint_id, granularity, selection)
        files, odd = _files(root, endpoint_id, selection)
        if sequence(root) == last:
            return Snapshot(last, files, odd, entries)


def _files(
    root: Path, endpoint_id: str, selection: Selection
) -> tuple[list[File], list[str]]:
    """The endpoint's files that are there, and what of them is no data file's path."""
    mine = pc.field("endpoint") == endpoint_id
    table = segments.read(
        root / layout.FILES, FILES, FILES.names, lambda table: plain(table).filter(mine)
    )
    # above: of a commit that never was
    committed = table.filter(pc.field("sequence") <= sequence(root))
    found: list[File] = []
    odd: list[str] = []
    for row in last_by_path(committed).to_pylist():
        if row["removed"]:
            continue
        where = at(row["path"])
        if where is None:
            odd.append(row["path"])
        elif selection.takes(*where):
            facts = {name: row[name] for name in ("path", "rows", "bytes", "sha256")}
            place, first, last = where
            found.append(File(**facts, place=place, first=first, last=last))
    return found, odd


def _entries(
    root: Path,
    cut: Layout,
    endpoint_id: str,
    granularity: Granularity,
    selection: Selection,
) -> pa.Table:
    """As a table of ENTRIES, the one that counts last."""
    wanted = (pc.field("endpoint") == endpoint_id) & _selected(selection)
    table = segments.read(
        root / layout.CELLS, CELLS, _COLUMNS, lambda table: plain(table).filter(wanted)
    )
    coded = _coded(table.sort_by("sequence"), cut, granularity)
    if selection.places is None:
        return coded
    return coded.filter(pc.field("place").isin(sorted(selection.places)))


def _selected(selection: Selection) -> pc.Expression:
    """Entries of accounts (`*` has no cells) and days that are selected."""
    wanted = (
        (pc.field("account") != EVERYONE)
        & (pc.field("first_date") <= selection.last - EPOCH)
        & (pc.field("last_date") >= selection.first - EPOCH)
    )
    if selection.accounts is None:
        return wanted
    listed = pa.array(sorted(selection.accounts), pa.string())
    return wanted & pc.field("account").isin(listed)


def _coded(table: pa.Table, cut: Layout, granularity: Granularity) -> pa.Table:
    delayed = pc.and_(
        pc.equal(table.column("outcome"), Outcome.PENDING.value),
        pc.equal(table.column("code"), IS_DELAY),
    )
    says_rows = pc.is_in(
        table.column("outcome"), pa.array([Outcome.HELD.value, Outcome.EMPTY.value])
    )
    outcome = pc.if_else(
        says_rows, table.column("outcome"), pc.if_else(delayed, "delayed", "refused")
    )
    columns = {
        "id": pa.array(range(table.num_rows), pa.int64()),
        "account": table.column("account"),
        "place": _places(table.column("account"), cut),
        "first": table.column("first_date"),
        "last": table.column("last_date"),
        "cells": _cells(table, granularity),
        "outcome": outcome,
        "rows": table.column("rows"),
    }
    return pa.table(columns, schema=ENTRIES)


def _places(column: pa.ChunkedArray, cut: Layout) -> pa.Array:
    """Each account's place, asked once; nothing for what is no appid."""
    encoded = column.combine_chunks().dictionary_encode()
    places = [_place(account, cut) for account in encoded.dictionary.to_pylist()]
    return pa.array(places, pa.string()).take(encoded.indices)


def _place(account: str, cut: Layout) -> str:
    try:
        return cut.place(account)
    except ValueError:
        return ""


def _cells(table: pa.Table, granularity: Granularity) -> pa.Array | pa.ChunkedArray:
    """How many labels each entry spans."""
    first, last = table.column("first_date"), table.column("last_date")
    if granularity not in (Granularity.WEEK, Granularity.MONTH):
        return pc.add(pc.subtract(last, first), pa.scalar(1, pa.int32()))
    return pa.array(
        _labels(first.to_pylist(), last.to_pylist(), granularity), pa.int32()
    )


def _labels(
    firsts: list[int], lasts: list[int], granularity: Granularity
) -> Iterator[int]:
    for first, last in zip(firsts, lasts, strict=True):
        yield dates.size(dates.labels(granularity, first + EPOCH, last + EPOCH))
