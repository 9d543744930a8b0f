"""Cells that are in a data file already: found there, compared, replaced.

What the file says counts, not what the ledger remembers of it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harvester.dates import EPOCH
from harvester.errors import StorageError

Cell = tuple[str, int]
"""Account and day: which endpoint is clear."""

Old = tuple[str, pa.Table]
"""A data file's path, and its rows."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a cell was before, and what became of its rows."""

    before: int
    """Rows it had."""

    changed: int
    """Rows that are not as they were, come or gone."""


@dataclass(slots=True)
class Revision:
    """What follows for a partition."""

    rest: pa.Table
    """Fresh rows that no file has a place for."""

    files: list[Old] = field(default_factory=list)
    """Files with their new rows, yet to be sorted."""

    changes: dict[Cell, Change] = field(default_factory=dict)
    """For each cell that was found."""


def look(
    root: Path, paths: Iterable[str], schema: pa.Schema, account: str
) -> list[Old]:
    """The rows of these files, with `account` as a column where the path holds it.

    A file that is gone has no rows: `verify` tells. Raises StorageError for one that
    cannot be read or has other columns than `schema`.
    """
    found = []
    for path in paths:
        try:
            with pa.OSFile(str(root / path)) as file:
                parquet = pq.ParquetFile(file, page_checksum_verification=True)
                found.append((path, _conform(parquet.read(), schema, account)))
        except FileNotFoundError:
            continue
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StorageError(
                f"{root / path} cannot be used ({error})",
                "run `harvester verify`; the answers stay in the spool",
            ) from error
    return found


def revise(
    old: Sequence[Old],
    fresh: pa.Table,
    cells: Collection[Cell],
    *,
    always: bool = False,
) -> Revision:
    """Puts the fresh rows of these cells where their old ones are.

    A cell without fresh rows keeps its old ones. A file in which nothing changes is
    left alone, unless `always`.
    """
    fresh_cells = _cells(fresh)
    news = _rows(fresh, fresh_cells, cells)
    revision = Revision(fresh)
    placed: set[Cell] = set()
    for path, table in old:
        its_cells = _cells(table)
        olds = _rows(table, its_cells, cells)
        changes = {cell: _change(rows, news.get(cell)) for cell, rows in olds.items()}
        revision.changes |= changes
        replaced = {cell for cell in olds if cell in news}
        if always or any(changes[cell].changed or cell in placed for cell in replaced):
            here = replaced - placed
            kept = _only(table, [cell not in replaced for cell in its_cells])
            new = _only(fresh, [cell in here for cell in fresh_cells])
            revision.files.append((path, pa.concat_tables([kept, new])))
        placed |= replaced
    revision.rest = _only(fresh, [cell not in placed for cell in fresh_cells])
    return revision


def _cells(table: pa.Table) -> list[Cell]:
    """Each row's cell."""
    days = table.column("ref_date").cast(pa.int32()).to_pylist()
    accounts = table.column("account").to_pylist()
    return [(account, day + EPOCH) for account, day in zip(accounts, days, strict=True)]


def _rows(
    table: pa.Table, its_cells: Sequence[Cell], cells: Collection[Cell]
) -> dict[Cell, Counter[str]]:
    """The rows of these cells, in a form that compares."""
    wanted = [cell in cells for cell in its_cells]
    rows: dict[Cell, Counter[str]] = {}
    chosen = [cell for cell, take in zip(its_cells, wanted, strict=True) if take]
    for cell, row in zip(chosen, _only(table, wanted).to_pylist(), strict=True):
        rows.setdefault(cell, Counter())[repr(row)] += 1
    return rows


def _change(old: Counter[str], new: Counter[str] | None) -> Change:
    if new is None:
        return Change(old.total(), 0)
    return Change(old.total(), max((new - old).total(), (old - new).total()))


def _only(table: pa.Table, wanted: Sequence[bool]) -> pa.Table:
    return table.filter(pa.array(wanted, pa.bool_()))


def _conform(table: pa.Table, schema: pa.Schema, account: str) -> pa.Table:
    """The table with exactly these columns. Raises ValueError where it has others."""
    if "account" not in table.column_names:
        column = pa.array([account] * table.num_rows, pa.string())
        table = table.append_column("account", column)
    foreign = set(table.column_names) - set(schema.names)
    if foreign:
        raise ValueError(f"columns that the catalogue does not know: {sorted(foreign)}")
    missing = [name for name in schema.names if name not in table.column_names]
    for name in missing:
        table = table.append_column(
            name, pa.nulls(table.num_rows, schema.field(name).type)
        )
    return table.select(schema.names).cast(schema)
