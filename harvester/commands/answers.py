"""The answer to a query, printed: a table for people, the rest for programs."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from harvester.commands import console

if TYPE_CHECKING:
    from harvester.lake.sql.query import Answer

TABLE_ROWS = 1_000
"""More rows make no table for a person; the other formats have no limit."""


class Format(StrEnum):
    """What `query` prints."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def show(answer: "Answer", form: Format) -> None:
    """Prints it to stdout, batch after batch. Raises UsageError, StorageError."""
    _PRINTERS[form](answer)


def _table(answer: "Answer") -> None:
    from harvester.lake.sql import formats

    rows = (row for batch in answer.batches for row in formats.rows(batch))
    shown = [tuple(map(formats.cell, row)) for row in islice(rows, TABLE_ROWS + 1)]
    console.table(answer.schema.names, shown[:TABLE_ROWS])
    if len(shown) > TABLE_ROWS:
        console.warn(f"only the first {TABLE_ROWS:,} rows: --format csv has all")


def _csv(answer: "Answer") -> None:
    from harvester.lake.sql import formats

    _text(formats.csv_text(answer.schema.names, answer.batches))


def _json(answer: "Answer") -> None:
    from harvester.lake.sql import formats

    _text(formats.json_text(answer.schema.names, answer.batches))


def _text(chunks: Iterable[str]) -> None:
    with _until_the_reader_goes():
        for chunk in chunks:
            sys.stdout.write(chunk)
        sys.stdout.flush()


def _parquet(answer: "Answer") -> None:
    from pyarrow.parquet import ParquetWriter

    from harvester.lake.sql import formats

    formats.distinct(answer.schema.names)
    out = sys.stdout.buffer
    with _until_the_reader_goes(), ParquetWriter(out, answer.schema) as writer:
        for table in formats.row_groups(answer.batches):
            writer.write_table(table, row_group_size=table.num_rows)


@contextmanager
def _until_the_reader_goes() -> Iterator[None]:
    """Ends the answer, and nothing else, when nobody reads on (`| head`)."""
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


_PRINTERS: dict[Format, Callable[["Answer"], None]] = {
    Format.TABLE: _table,
    Format.CSV: _csv,
    Format.JSON: _json,
    Format.PARQUET: _parquet,
}
