"""The ledger's segments: Parquet files in one folder, numbered by their sequence.

A number is used once. A fold puts what it folds into the segment with the highest
number and then removes the others, so that a reader that lists meanwhile finds every
entry at least once, and starts again when a file has gone.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harvester.errors import StorageError

ATTEMPTS = 100
"""How often a reader starts again while folds take files away under it."""


def name(sequence: int) -> str:
    """The file name of a segment."""
    return f"{sequence:012d}.parquet"


def numbers(folder: Path) -> list[int]:
    """The sequences of the folder's segments, ascending."""
    names = (path.stem for path in folder.glob("*.parquet"))
    return sorted(int(stem) for stem in names if stem.isdigit())


def encode(schema: pa.Schema, tables: Iterable[pa.Table]) -> pa.Buffer:
    """The bytes of a segment; each table becomes a row group."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        write_statistics=["endpoint", "account"],
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        for table in tables:
            writer.write_table(table)
    return sink.getvalue()


def read(
    folder: Path,
    schema: pa.Schema,
    columns: Sequence[str],
    each: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> pa.Table:
    """These columns of all segments, in their order; text is dictionary-encoded.

    `each` is applied to one segment after the other, so that only what it leaves is
    ever in memory. Raises StorageError for a damaged segment.
    """
    for _ in range(ATTEMPTS):
        try:
            tables = [
                each(_read(folder / name(sequence), schema, columns))
                for sequence in numbers(folder)
            ]
        except FileNotFoundError:
            continue
        return pa.concat_tables(tables) if tables else _none(schema, columns, each)
    raise StorageError(f"{folder} changes all the time", "try again")


def _none(
    schema: pa.Schema,
    columns: Sequence[str],
    each: Callable[[pa.Table], pa.Table],
) -> pa.Table:
    return each(schema.empty_table().select(list(columns)))


def _read(path: Path, schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
    text = [field.name for field in schema if pa.types.is_string(field.type)]
    try:
        with pa.OSFile(str(path)) as file:
            segment = pq.ParquetFile(
                file, read_dictionary=text, page_checksum_verification=True
            )
            return segment.read(list(columns))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"the ledger's {path} cannot be read ({error})",
            "restore it from a backup, or make the ledger again with "
            "`harvester verify --rebuild`",
        ) from error
