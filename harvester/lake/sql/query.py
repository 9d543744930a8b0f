"""SQL over the lake: DuckDB in memory, without a lock, and able to read only.

DuckDB is shut in with the lake's directory and cannot be let out again. What would
write inside that directory is refused before it runs: only SELECT, PIVOT and EXPLAIN
pass, and `WITH … AS (COPY … TO …)` is found in the plan.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from harvester.catalogue.endpoint import Endpoint
from harvester.catalogue.values import nearest
from harvester.errors import HarvesterError, StorageError, UsageError
from harvester.lake.sql import views
from harvester.lake.sql.dialects import DUCKDB
from harvester.lake.sql.views import Labels, Shelf

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ATTEMPTS = 3
"""A file folded away between listing and opening: the next look finds its successor."""

_NO_TABLE = re.compile(r"Table with name (\S+) does not exist")
_CANDIDATES = re.compile(r"Candidate bindings: (.+)")
_SQL_IS_WRONG = re.compile(r"[A-Z][A-Za-z ]* Error: (?!.*/data/endpoint=)")
"""What names a data file, or comes from below the SQL, is about the file."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows that a statement gives, batch after batch."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def statements(
    endpoints: Iterable[Endpoint], labels: Labels, shelf: Shelf, *, spark: bool = False
) -> Iterator[str]:
    """The SQL of every endpoint's view, as its files lie now."""
    make = views.spark if spark else views.duckdb
    for endpoint in endpoints:
        files = Path(shelf.of(endpoint)).glob("*/*/*.parquet")
        yield make(endpoint, labels, shelf, empty=next(files, None) is None)


@contextmanager
def answered(
    sql: str, endpoints: Iterable[Endpoint], labels: Labels, shelf: Shelf
) -> Iterator[Answer]:
    """The answer to one SELECT; it is read while this is open.

    Raises UsageError, in one line, for SQL that is wrong or would write, and
    StorageError for a data file that cannot be read; reading the batches does too.
    """
    known = {endpoint.id: endpoint for endpoint in endpoints}
    with connected() as opened:
        with _plainly(known):
            _shut_in(opened, shelf.root)
        yield repeated(lambda: _begun(opened, sql, known, labels, shelf))


def repeated(begin: Callable[[], T]) -> T:
    """What `begin` gives, at the third StorageError the error itself."""
    for _ in range(ATTEMPTS - 1):
        try:
            return begin()
        except StorageError:
            continue
    return begin()


def _begun(
    connection: "DuckDBPyConnection",
    sql: str,
    known: dict[str, Endpoint],
    labels: Labels,
    shelf: Shelf,
) -> Answer:
    """Makes the views, asks, and reads the first batch."""
    with _plainly(known):
        for statement in statements(known.values(), labels, shelf):
            connection.execute(statement)
        checked = _checked(connection, sql)
        reader = pa.RecordBatchReader.from_stream(connection.sql(checked))
        first = next(reader, None)
    batches = () if first is None else chain([first], _plain_batches(reader, known))
    return Answer(reader.schema, iter(batches))


def _plain_batches(
    reader: pa.RecordBatchReader, known: Iterable[str]
) -> Iterator[pa.RecordBatch]:
    while True:
        with _plainly(known):
            batch = next(reader, None)
        if batch is None:
            return
        yield batch


@contextmanager
def connected(memory: str = "80%") -> "Iterator[DuckDBPyConnection]":
    """DuckDB in memory; what does not fit goes to a temporary directory.

    Nothing comes from elsewhere: no extensions, no variables of this program.
    """
    import duckdb  # heavier than every other command's start

    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "memory_limit": memory,
        "python_enable_replacements": False,
    }
    with (
        TemporaryDirectory(prefix="harvester-") as spill,
        duckdb.connect(
            ":memory:", config={**config, "temp_directory": spill}
        ) as opened,
    ):
        yield opened


def _shut_in(connection: "DuckDBPyConnection", root: str) -> None:
    """Leaves the lake's directory as all there is to read, for good."""
    inside = sorted({DUCKDB.text(root), DUCKDB.text(DUCKDB.glob(root))})
    for setting in (
        "SET TimeZone = 'Asia/Shanghai'",
        f"SET allowed_directories = [{', '.join(inside)}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(setting)


def _checked(connection: "DuckDBPyConnection", sql: str) -> str:
    """The one statement, which only reads. Raises UsageError for everything else."""
    found = connection.extract_statements(sql)
    if len(found) != 1:
        raise UsageError(f"{len(found)} statements", "expected one SELECT")
    kind = str(found[0].type).rpartition(".")[2]
    if kind not in ("SELECT", "EXPLAIN", "MULTI"):  # MULTI is PIVOT
        raise UsageError(f"{kind} is not for reading", "expected a SELECT")
    text = found[0].query
    if re.search(r"\bcopy\b", text, re.IGNORECASE) and _copies(connection, kind, text):
        raise UsageError(
            "COPY would write", "expected a SELECT; --format writes to stdout"
        )
    return text


def _copies(connection: "DuckDBPyConnection", kind: str, text: str) -> bool:
    """Whether the statement's plan writes a file; unknown is yes."""
    if kind != "SELECT":
        return True
    plans = connection.execute(f"EXPLAIN (FORMAT json)\n{text}").fetchall()
    return any("COPY_TO_FILE" in plan for _, plan in plans)


@contextmanager
def _plainly(known: Iterable[str]) -> Iterator[None]:
    """Makes one line for a person of what DuckDB says.

    While rows stream, its errors come through Arrow, as OSError.
    """
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise _explained(str(error), known) from None


def _explained(said: str, known: Iterable[str]) -> HarvesterError:
    line = said.partition("\n")[0].rstrip("!. ")
    if not _SQL_IS_WRONG.match(line):
        return StorageError(line, "`harvester verify` says which files are damaged")
    no_table, candidates = _NO_TABLE.search(said), _CANDIDATES.search(said)
    if no_table:
        return UsageError(line, nearest(no_table[1], known))
    return UsageError(line, f"there are {candidates[1]}" if candidates else "")
