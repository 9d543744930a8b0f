"""Rows into partitions: pure.

Rows travel with their `account` and are sorted as their files are: by account, date
and natural key. What is no column of the file is left out when it is encoded.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harvester.catalogue.endpoint import Endpoint
from harvester.dates import EPOCH
from harvester.lake.layout import Layout

Slice = tuple[str, pa.Table]
"""A partition's path, and rows of it."""

_PLACE, _START = "#place", "#start"


def order(endpoint: Endpoint) -> list[tuple[str, str]]:
    """How a file's rows are sorted."""
    columns = dict.fromkeys(("account", "ref_date", *endpoint.key))
    return [(name, "ascending") for name in columns]


def partitions(rows: pa.Table, endpoint: Endpoint, layout: Layout) -> Iterator[Slice]:
    """Each partition's rows, sorted."""
    if not rows.num_rows:
        return
    arranged = _arranged(rows, endpoint, layout)
    sorted_rows = arranged.select(rows.column_names)
    bounds = _bounds(arranged)
    for start, end in pairwise(bounds):
        appid = sorted_rows.column("account")[start].as_py()
        day = sorted_rows.column("ref_date")[start].value + EPOCH
        place = layout.partition(endpoint.id, appid, day)
        yield place, sorted_rows.slice(start, end - start)


def split(rows: pa.Table, before: int) -> tuple[pa.Table, pa.Table]:
    """The rows of days before this one, and the others."""
    earlier = pc.less(rows.column("ref_date").cast(pa.int32()), before - EPOCH)
    return rows.filter(earlier), rows.filter(pc.invert(earlier))


def of_file(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the columns of their file: keys in the path are not repeated."""
    return pa.Table.from_arrays(
        [rows.column(name) for name in schema.names], schema=schema
    )


def _arranged(rows: pa.Table, endpoint: Endpoint, layout: Layout) -> pa.Table:
    """Sorted, with two more columns that tell the partitions apart."""
    accounts, days = rows.column("account"), rows.column("ref_date").cast(pa.int32())
    place = _mapped(accounts, layout.bucket) if layout.buckets else accounts
    start = _mapped(days, lambda day: layout.start(day + EPOCH))
    arranged = rows.append_column(_PLACE, place).append_column(_START, start)
    keys = [(_PLACE, "ascending"), (_START, "ascending"), *order(endpoint)]
    return arranged.take(pc.sort_indices(arranged, sort_keys=keys)).combine_chunks()


def _mapped(column: pa.ChunkedArray, number: Callable[[Any], int]) -> pa.Array:
    """The number of each of the column's values, asked once per distinct value."""
    encoded = pa.concat_arrays(column.chunks).dictionary_encode()
    numbers = [number(value) for value in encoded.dictionary.to_pylist()]
    return pa.array(numbers, pa.int32()).take(encoded.indices)


def _bounds(arranged: pa.Table) -> list[int]:
    """Where partitions begin, and the end of the last."""
    changes = [
        pc.not_equal(column[1:], column[:-1])
        for column in (
            arranged.column(_PLACE).chunk(0),
            arranged.column(_START).chunk(0),
        )
    ]
    inner = pc.indices_nonzero(pc.or_(*changes)).to_pylist()
    return [0, *(at + 1 for at in inner), arranged.num_rows]
