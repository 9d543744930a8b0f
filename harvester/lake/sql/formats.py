"""Rows as text for other programs: csv and JSON, a batch at a time."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from harvester.errors import UsageError

ROW_GROUP = 128 * 1024
"""Rows from which on a Parquet row group is worth its metadata."""


def rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """The batch row by row, in values that JSON knows."""
    columns = [[plain(value) for value in _column(each)] for each in batch.columns]
    return zip(*columns, strict=True)


def csv_text(names: Sequence[str], batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
    """RFC 4180 with `\\n`: a header, then chunks of lines; null is an empty field."""
    yield _lines([names])
    for batch in batches:
        yield _lines(rows(batch))


def json_text(names: Sequence[str], batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
    """One JSON array with an object a row.

    Raises UsageError where two columns have one name.
    """
    distinct(names)
    opening = "["
    for batch in batches:
        for row in rows(batch):
            yield f"{opening}{_json(dict(zip(names, row, strict=True)))}"
            opening = ",\n"
    yield "[]\n" if opening == "[" else "]\n"


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches, many small ones together: each table makes one row group."""
    gathered: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        gathered.append(batch)
        count += batch.num_rows
        if count >= ROW_GROUP:
            yield pa.Table.from_batches(gathered)
            gathered, count = [], 0
    if gathered:
        yield pa.Table.from_batches(gathered)


def distinct(names: Sequence[str]) -> None:
    """Raises UsageError where two columns have one name."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UsageError(
            f"two columns are called {twice[0]!r}", "name one of them with AS"
        )


def plain(value: Any) -> Any:
    """The value in JSON's terms: days and times as ISO text, no NaN, no Decimal."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime() | date() | time():
            return value.isoformat()
        case dict():
            return {str(plain(key)): plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case bytes():
            return value.hex()
    return str(value)


def _column(column: pa.Array) -> Iterator[Any]:
    """Its values. A time with a zone is shown in UTC: machines may lack other zones."""
    if not (pa.types.is_timestamp(column.type) and column.type.tz):
        yield from column.to_pylist()
        return
    for value in column.cast(pa.timestamp(column.type.unit)).to_pylist():
        yield value and f"{value.isoformat()}+00:00"


def _lines(values: Iterator[Sequence[Any]] | list[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([cell(value) for value in row] for row in values)
    return text.getvalue()


def cell(value: Any) -> Any:
    """The value as one field of text: true, false, and lists and objects as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _json(value) if isinstance(value, dict | list) else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
