"""`verify`, `query` and `views`: the lake as it lies."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harvester import dates
from harvester.commands import answers, console, options
from harvester.commands.harvest import new_run_id
from harvester.errors import UsageError

if TYPE_CHECKING:
    from harvester.catalogue.load import Catalogue
    from harvester.config.settings import Loaded
    from harvester.lake.sql.views import Shelf
    from harvester.lake.verify.problems import Problem, Report
    from harvester.lake.verify.snapshot import Selection


def verify(  # noqa: PLR0913 -- one argument an option
    context: typer.Context,
    account: options.Accounts = None,
    endpoint: options.Endpoints = None,
    since: options.Since = None,
    until: options.Until = None,
    refetch: Annotated[
        bool,
        typer.Option(
            "--refetch",
            help="Mark broken cells: the next run asks them again. Never those that "
            "WeChat no longer serves.",
        ),
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Make a lost ledger again from the data files."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Compare the ledger with the data files; exit code 3 when they disagree.

    Every file of the ledger is read to its last byte, and every row is counted. Takes
    no lock and changes nothing, and a run may write meanwhile; the two repairs do both,
    and no run may. Rows that differ under one natural key are told, and are no damage.
    """
    from harvester.catalogue.load import catalogue

    loaded = options.loaded(context)
    known = catalogue(loaded.config.endpoints_file)
    root = Path(loaded.config.lake.path).absolute()
    repairs: dict[str, Any] = {}
    if rebuild:
        repairs["rebuilt"] = _rebuilt(root, known)
    selection = _selection(loaded, root, account or [], (since, until))
    chosen = frozenset(one.id for one in known.select(endpoint or ()))
    report, marked = _verified(
        root, known, replace(selection, endpoints=chosen or None), refetch=refetch
    )
    if marked:
        repairs["refetched"] = marked
    if as_json:
        console.as_json({**_as_json(report), **repairs})
    else:
        _tell(report, repairs)
    if report.damage:
        raise typer.Exit(3)


def _rebuilt(root: Path, known: "Catalogue") -> dict[str, Any]:
    from harvester.lake.verify.rebuilding import Maker, rebuild

    maker = Maker(run_id=new_run_id(), endpoints=known.endpoints, version=known.version)
    with console.progress() as show:
        return asdict(rebuild(root, maker, show=show))


def _verified(
    root: Path, known: "Catalogue", selection: "Selection", *, refetch: bool
) -> "tuple[Report, dict[str, Any]]":
    from harvester.lake.verify import refetching, verification

    with console.progress() as show:
        if not refetch:
            report = verification.verify(root, known.endpoints, selection, show=show)
            return report, {}
        report, marked = refetching.refetch(
            root, known.endpoints, selection, new_run_id(), show=show
        )
    return report, asdict(marked)


def _selection(
    loaded: "Loaded",
    root: Path,
    patterns: list[str],
    bounds: tuple[str | None, str | None],
) -> "Selection":
    """Accounts may have left the configuration and still be in the lake."""
    from harvester.accounts import Account, select
    from harvester.lake.verify import snapshot

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


def _tell(report: "Report", repairs: Mapping[str, Any]) -> None:
    for kind, examples, more in report.told():
        word = "damage" if kind.is_damage else "finding"
        for one in examples:
            console.out(f"{word}: {one.message}")
        if more:
            console.out(f"{word}: {more:,} more of this kind ({kind.value})")
    for repair, done in repairs.items():
        figures = (
            f"{count:,} {what}" for what, count in done.items() if what != "set_aside"
        )
        console.out(f"{repair}: {', '.join(figures)}")
        for place in done["set_aside"]:
            console.out(f"{repair}: set aside {place}")
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
        answers.Format, typer.Option("--format", help="How the rows are printed.")
    ] = answers.Format.TABLE,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as --format json.")
    ] = False,
) -> None:
    """Ask the lake in DuckDB's SQL: read-only, and also while a run writes.

    For example: SELECT account, sum(new_user) FROM getusersummary GROUP BY account
    """
    from harvester.lake.sql.query import answered

    chosen = answers.Format.JSON if as_json else form
    if chosen is answers.Format.PARQUET and sys.stdout.isatty():
        raise UsageError(
            "Parquet is not for a terminal", "write it to a file: … > rows.parquet"
        )
    text = _sql(sql, file)
    shelf, known = _shelf(context)
    with answered(text, known.endpoints.values(), known.labels, shelf) as answer:
        answers.show(answer, chosen)


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
    from harvester.lake.sql.query import statements

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
    from harvester.lake.sql.views import Shelf

    config = options.loaded(context).config
    root = Path(config.lake.path).absolute()
    lake = layout.read(root)
    if lake is None:
        raise UsageError(
            f"{root} is no lake", "`harvester run` makes one; lake.path names it"
        )
    return Shelf(str(root), lake.layout), catalogue(config.endpoints_file)
