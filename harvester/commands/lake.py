"""`verify`, `query` and `views`: the lake as it lies. They only read."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harvester import dates
from harvester.commands import console, options
from harvester.errors import UsageError

if TYPE_CHECKING:
    from harvester.catalogue.load import Catalogue
    from harvester.config.settings import Loaded
    from harvester.lake.problems import Problem, Report
    from harvester.lake.query import Answer
    from harvester.lake.snapshot import Selection
    from harvester.lake.views import Shelf

TABLE_ROWS = 1_000
"""More rows make no table for a person; the other formats have no limit."""


class Format(StrEnum):
    """What `query` prints."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def verify(
    context: typer.Context,
    account: options.Accounts = None,
    endpoint: options.Endpoints = None,
    since: options.Since = None,
    until: options.Until = None,
    as_json: options.Json = False,
) -> None:
    """Compare the ledger with the data files; exit code 3 when they disagree.

    Every file of the ledger is read to its last byte, and every row is counted. Takes
    no lock and changes nothing; a run may write meanwhile. Rows that differ under one
    natural key are told, and are no damage.
    """
    from harvester.catalogue.load import catalogue
    from harvester.lake.verification import verify

    loaded = options.loaded(context)
    known = catalogue(loaded.config.endpoints_file)
    root = Path(loaded.config.lake.path).absolute()
    chosen = {one.id for one in known.select(endpoint or ())}
    selection = _selection(loaded, root, account or [], (since, until))
    if chosen:
        selection = replace(selection, endpoints=frozenset(chosen))
    with console.progress() as show:
        report = verify(root, known.endpoints, selection, show=show)
    if as_json:
        console.as_json(_as_json(report))
    else:
        _tell(report)
    if report.damage:
        raise typer.Exit(3)


def _selection(
    loaded: "Loaded",
    root: Path,
    patterns: list[str],
    bounds: tuple[str | None, str | None],
) -> "Selection":
    """Accounts may have left the configuration and still be in the lake."""
    from harvester.accounts import Account, select
    from harvester.lake import snapshot

    first = options.day("--since", bounds[0]) or 1
    last = options.day("--until", bounds[1]) or snapshot.EVER
    if first > last:
        raise UsageError(f"--since {bounds[0]} is after --until {bounds[1]}")
    if not patterns:
        return snapshot.Selection(first=first, last=last)
    configured = {one.appid: one for one in loaded.accounts}
    others = sorted(snapshot.accounts(root) - configured.keys())
    every = [*configured.values(), *(Account(appid=appid) for appid in others)]
    chosen = frozenset(one.appid for one in select(every, patterns))
    return snapshot.Selection(accounts=chosen, first=first, last=last)


def _as_json(report: "Report") -> dict[str, Any]:
    return {
        "damage": [_problem(one) for one in report.damage],
        "damage_count": report.damage_count,
        "findings": [_problem(one) for one in report.findings],
        "findings_count": report.findings_count,
        "files": report.files,
        "rows": report.rows,
        "cells": report.cells,
    }


def _problem(one: "Problem") -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "endpoint": one.endpoint,
        "path": one.path or None,
        "account": one.account or None,
        "first_date": dates.text(one.first) if one.first else None,
        "last_date": dates.text(one.last) if one.last else None,
        "message": one.message,
    }


def _tell(report: "Report") -> None:
    for kind, problems in report.problems.items():
        word = "damage" if kind.is_damage else "finding"
        for one in problems:
            console.out(f"{word}: {one.message}")
        if more := report.counts[kind] - len(problems):
            console.out(f"{word}: {more:,} more of this kind ({kind.value})")
    console.out(
        f"{report.files:,} files, {report.rows:,} rows, {report.cells:,} cells held: "
        f"{report.damage_count:,} damaged, {report.findings_count:,} findings"
    )


def query(
    context: typer.Context,
    sql: Annotated[
        str | None,
        typer.Argument(metavar="[SQL]", help="One SELECT. Every endpoint is a view."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="Read the SQL from a file."),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="How the rows are printed.")
    ] = Format.TABLE,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as --format json.")
    ] = False,
) -> None:
    """Ask the lake in DuckDB's SQL: read-only, and also while a run writes.

    For example: SELECT account, sum(new_user) FROM getusersummary GROUP BY account
    """
    from harvester.lake.query import answered

    chosen = Format.JSON if as_json else form
    if chosen is Format.PARQUET and sys.stdout.isatty():
        raise UsageError(
            "Parquet is not for a terminal", "write it to a file: … > rows.parquet"
        )
    text = _sql(sql, file)
    shelf, known = _shelf(context)
    with answered(text, known.endpoints.values(), known.labels, shelf) as answer:
        _PRINTERS[chosen](answer)


def views(
    context: typer.Context,
    duckdb: Annotated[bool, typer.Option("--duckdb", help="For DuckDB.")] = False,
    spark: Annotated[
        bool, typer.Option("--spark", help="For Spark SQL, with explicit schemas.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Print SQL that makes a view of every endpoint.

    With labels of enumerations, totals among rows flagged, and daily differences of
    running totals. Views of endpoints without a file yet are empty: print them again
    once there are some.
    """
    from harvester.lake.query import statements

    if duckdb == spark:
        raise UsageError("for which reader?", "expected --duckdb or --spark")
    shelf, known = _shelf(context)
    endpoints = known.endpoints.values()
    made = list(statements(endpoints, known.labels, shelf, spark=spark))
    if as_json:
        names = (endpoint.id for endpoint in endpoints)
        console.as_json({"views": dict(zip(names, made, strict=True))})
    else:
        console.out("\n".join(made).rstrip("\n"))


def _sql(sql: str | None, file: Path | None) -> str:
    if (sql is None) == (file is None):
        raise UsageError("which SQL?", "expected it as an argument, or a file with -f")
    if file is None:
        return sql or ""
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} cannot be read ({error})"
        raise UsageError(message, "expected a file of SQL") from None


def _shelf(context: typer.Context) -> "tuple[Shelf, Catalogue]":
    """The lake that the configuration names, and the catalogue.

    Raises UsageError where there is no lake.
    """
    from harvester.catalogue.load import catalogue
    from harvester.lake import layout
    from harvester.lake.views import Shelf

    config = options.loaded(context).config
    root = Path(config.lake.path).absolute()
    lake = layout.read(root)
    if lake is None:
        raise UsageError(
            f"{root} is no lake", "`harvester run` makes one; lake.path names it"
        )
    return Shelf(str(root), lake.layout), catalogue(config.endpoints_file)


def _print_table(answer: "Answer") -> None:
    from harvester.lake import formats

    rows = (row for batch in answer.batches for row in formats.rows(batch))
    shown = [tuple(map(formats.cell, row)) for row in islice(rows, TABLE_ROWS + 1)]
    console.table(answer.schema.names, shown[:TABLE_ROWS])
    if len(shown) > TABLE_ROWS:
        console.warn(f"only the first {TABLE_ROWS:,} rows: --format csv has all")


def _print_csv(answer: "Answer") -> None:
    from harvester.lake import formats

    _print(formats.csv_text(answer.schema.names, answer.batches))


def _print_json(answer: "Answer") -> None:
    from harvester.lake import formats

    _print(formats.json_text(answer.schema.names, answer.batches))


def _print(chunks: Iterable[str]) -> None:
    with _until_the_reader_goes():
        for chunk in chunks:
            sys.stdout.write(chunk)
        sys.stdout.flush()


def _print_parquet(answer: "Answer") -> None:
    from pyarrow.parquet import ParquetWriter

    from harvester.lake import formats

    formats.distinct(answer.schema.names)
    out = sys.stdout.buffer
    with _until_the_reader_goes(), ParquetWriter(out, answer.schema) as writer:
        for batch in answer.batches:
            writer.write_batch(batch)


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
    Format.TABLE: _print_table,
    Format.CSV: _print_csv,
    Format.JSON: _print_json,
    Format.PARQUET: _print_parquet,
}
