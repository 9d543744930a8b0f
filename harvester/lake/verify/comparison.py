"""Rows against the ledger, in SQL: some accounts or buckets of one endpoint at a time.

What does not fit in memory goes to a temporary directory. In here days are counted
from 1970-01-01, as in Arrow's date32.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from harvester.catalogue.endpoint import Endpoint, Field
from harvester.dates import EPOCH, Granularity
from harvester.lake.layout import Layout
from harvester.lake.sql import views
from harvester.lake.sql.dialects import DUCKDB
from harvester.lake.verify import questions
from harvester.lake.verify.inspection import File
from harvester.lake.verify.problems import Kind, Problem, shown
from harvester.lake.verify.snapshot import Selection

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS = 500_000
"""About so many are grouped at once."""

_FILES = pa.schema(
    {
        "filename": pa.string(),
        "number": pa.int32(),
        "place": pa.string(),
        "first": pa.int32(),
        "last": pa.int32(),
    }
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole accounts or buckets of an endpoint."""

    files: Sequence[File]
    """The sound ones."""

    broken: Sequence[File]
    """Those that are not: nothing is said of their days."""

    entries: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Compares batches of one endpoint; one after the other."""

    connection: "DuckDBPyConnection"
    root: str
    layout: Layout
    endpoint_id: str
    endpoint: Endpoint | None
    """None for one that the catalogue does not know: its keys are not looked at."""

    selection: Selection

    def problems(self, batch: Batch) -> Iterator[Problem]:
        """What is wrong with the batch. Raises duckdb.Error for an unreadable file."""
        self._load(batch)
        yield from self._misplaced(batch.files)
        yield from self._doubled(batch.files)
        yield from self._lost()
        yield from self._unknown()
        yield from self._counts()
        if self.endpoint:
            for chunk in _chunks(batch.files):
                if self._repeated(chunk, self.endpoint):
                    yield from self._alike(batch.files, chunk, self.endpoint)

    def affected(self) -> Iterator[Problem]:
        """Cells of the last batch that must have been in its broken files."""
        sql = questions.LOST.format(which=questions.IN_BROKEN_FILES)
        for account, first, last, _ in self._rows(sql):
            yield self._of_cells(Kind.LOST, account, first, last, "in a damaged file")

    def readable(self, file: File) -> bool:
        """Whether DuckDB can read every column of the file."""
        import duckdb

        fields = [*(self.endpoint.fields if self.endpoint else ()), views.EXTRA]
        self._register("files", _table([self._listed(0, file)]))
        try:
            list(
                self._rows(
                    questions.WHOLE.format(
                        row=_names(fields), read=self._read([file], fields)
                    )
                )
            )
        except duckdb.Error:
            return False
        return True

    def held(self) -> int:
        """How many cells of the last batch are held."""
        found = self.connection.execute(questions.HELD).fetchall()
        return int(found[0][0])

    def _load(self, batch: Batch) -> None:
        files = [self._listed(number, file) for number, file in enumerate(batch.files)]
        broken = [self._listed(0, file) for file in batch.broken]
        self._register("files", _table(files))
        self._register("broken", _table(broken))
        self._register("entries", batch.entries)
        accounts = self.selection.accounts
        names = ", ".join(map(DUCKDB.text, sorted(accounts or ())))
        wanted = "true" if accounts is None else f"account IN ({names})"
        days = {
            "first": self.selection.first - EPOCH,
            "last": self.selection.last - EPOCH,
        }
        granularity = self.endpoint.granularity if self.endpoint else Granularity.DAY
        self._run(questions.NOTHING_FOUND)
        for chunk in _chunks(batch.files):
            self._run(questions.FOUND.format(read=self._read(chunk)))
        self._run(questions.CELLS.format(**days, wanted=wanted))
        self._run(
            questions.SAID.format(
                **days, label=questions.LABEL.get(granularity, "true")
            )
        )

    def _listed(self, number: int, file: File) -> tuple[str, int, str, int, int]:
        days = file.first - EPOCH, file.last - EPOCH
        return f"{self.root}/{file.path}", number, file.place, *days

    def _register(self, name: str, table: pa.Table) -> None:
        """As a table of DuckDB's own, which later statements may read at will."""
        self.connection.register(f"{name}_arrow", table)
        self._run(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM {name}_arrow")
        self.connection.unregister(f"{name}_arrow")

    def _run(self, sql: str) -> None:
        self.connection.execute(sql)

    def _rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        asked = self.connection.execute(sql)
        while rows := asked.fetchmany(1000):
            yield from rows

    def _read(self, files: Sequence[File], fields: Sequence[Field] = ()) -> str:
        """The rows of these files: `number`, `account`, `day`, and the fields."""
        if not files:
            return "(SELECT 0 AS number, '' AS account, 0 AS day WHERE false)"
        others = [field for field in fields if field.name != "ref_date"]
        inside = [_REF_DATE, *others]
        account = "substr(place, 9) AS account"
        if self.layout.buckets:
            inside, account = [views.ACCOUNT, *inside], "account"
        names = [DUCKDB.name(field.name) for field in others]
        day = "CAST(ref_date - DATE '1970-01-01' AS INTEGER) AS day"
        paths = (DUCKDB.glob(f"{self.root}/{file.path}") for file in files)
        read = views.duckdb_files(paths, inside)
        shown = ", ".join(["number", account, day, "ref_date", *names])
        return f"(SELECT {shown} FROM {read} JOIN files USING (filename))"  # noqa: S608 - quoted

    def _misplaced(self, files: Sequence[File]) -> Iterator[Problem]:
        for number, account, first, last, rows in self._rows(questions.MISPLACED):
            days = "no day" if first is None else shown(first + EPOCH, last + EPOCH)
            yield self._of_file(
                files[number],
                Kind.MISPLACED,
                f"{rows:,} rows of {account} and {days} belong elsewhere",
            )
        if self.layout.buckets:
            for number, account in self._rows(questions.WHO):
                if self._place(account) != files[number].place:
                    message = f"its rows of {account} belong elsewhere"
                    yield self._of_file(files[number], Kind.MISPLACED, message)

    def _place(self, account: str | None) -> str:
        try:
            return self.layout.place(account or "")
        except ValueError:
            return ""

    def _doubled(self, files: Sequence[File]) -> Iterator[Problem]:
        for account, day, numbers in self._rows(questions.DOUBLED):
            names = " and ".join(files[number].path for number in numbers)
            yield self._of_cells(Kind.DOUBLED, account, day, day, f"is in {names}")

    def _lost(self) -> Iterator[Problem]:
        for account, first, last, cells in self._rows(
            questions.LOST.format(which=questions.HELD_CELLS)
        ):
            message = f"{cells:,} cells are held, and no file has rows of them"
            yield self._of_cells(Kind.LOST, account, first, last, message)

    def _unknown(self) -> Iterator[Problem]:
        for account, day, rows, outcome in self._rows(questions.UNKNOWN):
            knows = "says empty" if outcome else "does not know the cell"
            message = f"{rows:,} rows, and the ledger {knows}"
            yield self._of_cells(Kind.UNKNOWN, account, day, day, message)

    def _counts(self) -> Iterator[Problem]:
        for account, first, last, said, there in self._rows(questions.COUNT):
            message = f"{there:,} rows, the ledger says {said:,}"
            yield self._of_cells(Kind.COUNT, account, first, last, message)

    def _repeated(self, files: Sequence[File], endpoint: Endpoint) -> bool:
        """Whether any natural key is there twice: then a closer look is worth it."""
        key = _named(endpoint.key, endpoint)
        sql = questions.REPEATED.format(key=_names(key), read=self._read(files, key))
        return any(self._rows(sql))

    def _alike(
        self, files: Sequence[File], chunk: Sequence[File], endpoint: Endpoint
    ) -> Iterator[Problem]:
        """Rows that repeat another, and rows that differ under one natural key."""
        row = [*endpoint.fields, views.EXTRA]
        sql = questions.ALIKE.format(
            key=_names(_named(endpoint.key, endpoint)),
            row=_names(row),
            read=self._read(chunk, row),
        )
        for number, account, day, rows, kinds in self._rows(sql):
            if kinds < rows:
                message = f"{rows - kinds:,} rows repeat others in {files[number].path}"
                yield self._of_cells(Kind.DOUBLED, account, day, day, message)
            if kinds > 1:
                message = f"{kinds:,} rows that differ under one natural key"
                yield self._of_cells(Kind.AMBIGUOUS, account, day, day, message)

    def _of_file(self, file: File, kind: Kind, message: str) -> Problem:
        return Problem(
            kind=kind,
            message=f"{file.path}: {message}",
            endpoint=self.endpoint_id,
            place=file.place,
            path=file.path,
        )

    def _of_cells(
        self, kind: Kind, account: str, first: int, last: int, message: str
    ) -> Problem:
        days = shown(first + EPOCH, last + EPOCH)
        return Problem(
            kind=kind,
            message=f"{self.endpoint_id} {account} {days}: {message}",
            endpoint=self.endpoint_id,
            place=self._place(account),
            account=account,
            first=first + EPOCH,
            last=last + EPOCH,
        )


_REF_DATE = Field(name="ref_date", at="", type="date32")


def _chunks(files: Sequence[File]) -> Iterator[list[File]]:
    """Some partitions at a time: rows of two of them are never the same."""
    chunk: list[File] = []
    rows = 0
    for _, partition in groupby(files, key=lambda file: file.path.rpartition("/")[0]):
        its_files = list(partition)
        chunk += its_files
        rows += sum(file.rows for file in its_files)
        if rows >= ROWS:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk


def _table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(_FILES)
    arrays = [
        pa.array(list(values), field.type)
        for values, field in zip(columns, _FILES, strict=True)
    ]
    return pa.table(arrays, schema=_FILES)


def _named(names: Sequence[str], endpoint: Endpoint) -> list[Field]:
    return [field for field in endpoint.fields if field.name in names]


def _names(fields: Sequence[Field]) -> str:
    return ", ".join(DUCKDB.name(field.name) for field in fields)
