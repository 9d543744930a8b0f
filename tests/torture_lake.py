"""A lake as plain files, and the world flattened: what the oracle compares.

Nothing here is code under test: paths, names and the ledger's columns are those that
are promised to any reader.
"""

import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harvester.sandbox.clock import last_ready
from harvester.sandbox.world import World

Cell = tuple[str, str, date]
"""Endpoint, account, label."""

Row = tuple[tuple[str, Any], ...]
Rows = Counter[Row]

NESTED = {"getarticletotal": "details", "getarticletotaldetail": "detail_list"}
MOVING = frozenset(NESTED)

KEYS = frozenset(
    {
        "ref_date",
        "stat_date",
        "ref_hour",
        "msgid",
        "user_source",
        "share_scene",
        "msg_type",
        "count_interval",
    }
)
"""What tells the rows of one cell apart, wherever it stands."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger says of one cell."""

    outcome: str
    fetched_at: datetime
    next_try_at: datetime | None
    code: str


@dataclass(slots=True)
class Lake:
    """What is on the disk. `complaints`: what no reader should ever meet."""

    root: Path
    rows: dict[Cell, Rows] = field(default_factory=lambda: defaultdict(Counter))
    sums: dict[str, str] = field(default_factory=dict)
    """sha256 by path."""

    counts: dict[str, int] = field(default_factory=dict)
    """Rows by path."""

    complaints: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Reads every data file by itself."""
        for path in sorted(self.root.glob("data/**/*")):
            if path.is_file():
                self._read(path)

    def _read(self, path: Path) -> None:
        place = path.relative_to(self.root).as_posix()
        data = path.read_bytes()
        self.sums[place] = hashlib.sha256(data).hexdigest()
        if path.suffix != ".parquet":
            self.complaints.append(f"foreign: {place}")
            return
        try:
            table = pq.ParquetFile(
                io.BytesIO(data), page_checksum_verification=True
            ).read()
        except (pa.ArrowException, OSError) as error:
            self.complaints.append(f"unreadable: {place}: {str(error)[:80]}")
            return
        self.counts[place] = table.num_rows
        keys = dict(part.split("=", 1) for part in place.split("/")[1:-1])
        for row in table.to_pylist():
            self._take(place, keys, row)

    def _take(
        self, place: str, keys: Mapping[str, str], row: Mapping[str, Any]
    ) -> None:
        account = row.get("account", keys.get("account", ""))
        day = row["ref_date"]
        month = keys.get("month", day.isoformat()[:7])
        if keys.get("date", day.isoformat()) != day.isoformat() or not (
            day.isoformat().startswith(month)
        ):
            self.complaints.append(f"misplaced: {place} holds {day}")
        self.rows[keys["endpoint"], account, day][plain(row)] += 1

    def ledger(self, table: str = "cells") -> list[dict[str, Any]]:
        """The entries, oldest first."""
        found: list[dict[str, Any]] = []
        for path in sorted(self.root.glob(f"ledger/{table}/*.parquet")):
            found += pq.ParquetFile(path).read().to_pylist()
        return sorted(found, key=lambda entry: entry["sequence"])

    def files(self) -> dict[str, dict[str, Any]]:
        """The data files that the ledger has, by path."""
        last = {entry["path"]: entry for entry in self.ledger("files")}
        return {path: entry for path, entry in last.items() if not entry["removed"]}


def resolved(entries: list[dict[str, Any]]) -> dict[Cell, Known]:
    """What counts of each cell: the entry with the highest sequence."""
    found: dict[Cell, Known] = {}
    for entry in entries:
        known = Known(
            entry["outcome"], entry["fetched_at"], entry["next_try_at"], entry["code"]
        )
        for day in each(entry["first_date"], entry["last_date"]):
            found[entry["endpoint"], entry["account"], day] = known
    return found


def each(first: date, last: date) -> Iterator[date]:
    """The days from first to last."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def plain(row: Mapping[str, Any]) -> Row:
    """A row that compares: no absent values, dates as text, lists as JSON."""
    return tuple(
        sorted(
            (name, _plain(value))
            for name, value in row.items()
            if value is not None and name not in ("account", "_extra")
        )
    )


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value


def key(row: Row) -> Row:
    """What tells the row apart from the others of its cell."""
    return tuple(pair for pair in row if pair[0] in KEYS)


def truth(world: World, cell: Cell, seen: datetime) -> Rows:
    """The rows that the world holds of a cell, looked at in this moment."""
    endpoint, account, day = cell
    as_of = date.fromordinal(last_ready(seen))
    return Counter(
        plain(flat)
        for row in world.rows(endpoint, account, day, as_of)
        for flat in _flattened(endpoint, row)
    )


def _flattened(endpoint: str, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    inner = NESTED.get(endpoint, "detail")
    outer = {name: value for name, value in row.items() if name != inner}
    nested = row.get(inner, {})
    for detail in nested if isinstance(nested, list) else [nested]:
        yield {**outer, **detail}
