"""Many segments of the ledger into one: what no longer counts goes, what is settled joins.

An entry goes when later ones cover all of it. Entries join when they are settled,
equal in outcome and code, and their labels follow one another: days, Mondays, firsts
of months. A joined entry has the highest sequence of its parts, so that it counts
wherever they did; the others keep theirs.
"""

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from harvester import dates
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import EPOCH, Granularity
from harvester.lake import layout
from harvester.lake.durable import Disk
from harvester.lake.ledger import segments
from harvester.lake.ledger.index import moment, newest
from harvester.lake.ledger.ledger import CELLS, FILES, last_by_path, plain
from harvester.plan import Known, Outcome

SEGMENTS = 64
"""A ledger of more segments is folded."""

ENTRIES = 300_000
"""About so many entries are in memory at once, as columns."""

ROWS = 10_000
"""About so many are Python objects at once: more of them cost the collector dearly."""

Settled = Callable[[str, Known], bool]
"""Whether an endpoint's cells will not change any more."""


class Row(NamedTuple):
    """An entry in the order of the ledger's columns; days and moments are numbers."""

    sequence: int
    endpoint: str
    account: str
    first_date: int
    last_date: int
    outcome: str
    rows: int
    rows_changed: int
    fetched_at: int
    run_id: str
    attempts: int
    code: str
    rid: str
    message: str
    next_try_at: int | None
    catalogue_version: str


def fold(
    disk: Disk, endpoints: Mapping[str, Endpoint], settled: Settled, *, more_than: int
) -> bool:
    """Folds the two tables where they have more segments; says whether it did.

    For the holder of the lake's lock. Raises StorageError.
    """
    many = [
        place
        for place in (layout.FILES, layout.CELLS)
        if len(segments.numbers(disk.root / place)) > more_than
    ]
    if layout.FILES in many:
        files = segments.read(disk.root / layout.FILES, FILES, FILES.names, plain)
        _put(disk, layout.FILES, segments.encode(FILES, [last_by_path(files)]))
    if layout.CELLS in many:
        cells = _folded_cells(disk, endpoints, settled)
        _put(disk, layout.CELLS, segments.encode(CELLS, cells))
    return bool(many)


def _put(disk: Disk, place: str, folded: pa.Buffer) -> None:
    """In place of the segment with the highest number; then the others go."""
    folder = disk.root / place
    *lower, highest = segments.numbers(folder)
    disk.replace(f"{place}/{segments.name(highest)}", memoryview(folded))
    disk.remove(folder / segments.name(number) for number in lower)


def _folded_cells(
    disk: Disk, endpoints: Mapping[str, Endpoint], settled: Settled
) -> Iterator[pa.Table]:
    """Share by share of the accounts, so that memory stays small."""
    folder = disk.root / layout.CELLS
    total = sum(
        pq.read_metadata(folder / segments.name(number)).num_rows
        for number in segments.numbers(folder)
    )
    shares = total // ENTRIES + 1
    for share in range(shares):
        left = _left(_rows(disk, share, shares), endpoints, settled)
        tables = [_table(rows) for rows in _batches(left)]
        if tables:
            yield pa.concat_tables(tables)


def _rows(disk: Disk, share: int, shares: int) -> Iterator[Row]:
    """A share of the entries by account, those that count last."""
    found = segments.read(
        disk.root / layout.CELLS,
        CELLS,
        CELLS.names,
        lambda table: plain(_share(table, share, shares)),
    )
    ordered = found.sort_by([("account", "ascending"), ("sequence", "ascending")])
    for batch in ordered.select(CELLS.names).to_batches(max_chunksize=ROWS):
        columns = [column.to_pylist() for column in batch.columns]
        yield from map(Row._make, zip(*columns, strict=True))


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, ROWS)):
        yield batch


def _share(table: pa.Table, share: int, shares: int) -> pa.Table:
    """The entries of the accounts whose checksum falls to this share."""
    masks = []
    for chunk in table.column("account").chunks:
        encoded = (
            chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        )
        names = encoded.dictionary.to_pylist()
        mine = [zlib.crc32(name.encode()) % shares == share for name in names]
        masks.append(pa.array(mine, pa.bool_()).take(encoded.indices))
    return table.filter(pa.chunked_array(masks, pa.bool_()))


def _left(
    rows: Iterable[Row], endpoints: Mapping[str, Endpoint], settled: Settled
) -> Iterator[Row]:
    for _, of_account in groupby(rows, key=lambda row: row.account):
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in of_account:
            groups[row.endpoint].append(row)
        for endpoint_id, its_rows in sorted(groups.items()):
            endpoint = endpoints.get(endpoint_id)
            granularity = endpoint.granularity if endpoint else Granularity.DAY
            yield from folded(its_rows, granularity, settled)


def folded(
    rows: Sequence[Row], granularity: Granularity, settled: Settled
) -> list[Row]:
    """What is left of one account's and endpoint's rows (the one that counts last).

    Those that nothing covers join where they may, those covered in part stay whole,
    for their figures are those of all their days. The order is again one in which
    the last counts.
    """
    if len(rows) == 1:
        return list(rows)
    tops = newest([(row.first_date, row.last_date, row) for row in rows])
    free = [row for *span, row in tops if span == [row.first_date, row.last_date]]
    left: list[Row] = []
    for row in free:
        if left and _joins(left[-1], row, granularity, settled):
            left[-1] = _join(left[-1], row)
        else:
            left.append(row)
    if len(free) == len(tops):
        return left
    counting = {id(row) for _, _, row in tops} - {id(row) for row in free}
    partly = [row for row in rows if id(row) in counting]
    return sorted([*partly, *left], key=lambda row: row.sequence)


def _joins(row: Row, next_row: Row, granularity: Granularity, settled: Settled) -> bool:
    alike = (row.outcome, row.code, row.next_try_at) == (
        next_row.outcome,
        next_row.code,
        next_row.next_try_at,
    )
    return (
        alike
        and _follows(granularity, row.last_date + EPOCH, next_row.first_date + EPOCH)
        and settled(row.endpoint, _known(row))
        and settled(row.endpoint, _known(next_row))
    )


def _follows(granularity: Granularity, label: int, next_label: int) -> bool:
    """Whether no label lies between these two."""
    return label < next_label and dates.labels(granularity, label + 1, next_label) == (
        (next_label, next_label),
    )


def _known(row: Row) -> Known:
    return Known(
        first=row.first_date + EPOCH,
        last=row.last_date + EPOCH,
        outcome=Outcome(row.outcome),
        fetched_at=moment(row.fetched_at),
        next_try_at=None if row.next_try_at is None else moment(row.next_try_at),
        code=row.code,
    )


def _join(row: Row, next_row: Row) -> Row:
    """One row for both: the younger one's words, the sum of the rows."""
    younger = max(row, next_row, key=lambda one: (one.fetched_at, one.sequence))
    return younger._replace(
        sequence=max(row.sequence, next_row.sequence),
        first_date=row.first_date,
        last_date=next_row.last_date,
        rows=row.rows + next_row.rows,
        rows_changed=row.rows_changed + next_row.rows_changed,
    )


def _table(rows: Sequence[Row]) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [
        pa.array(values, field.type)
        for values, field in zip(columns, CELLS, strict=True)
    ]
    return pa.table(arrays, schema=CELLS)
