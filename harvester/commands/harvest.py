"""`plan`, `run` and `status`: what is missing, fetching it, and how far the lake is."""

import sys
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harvester import dates
from harvester.commands import console, options
from harvester.errors import UsageError

if TYPE_CHECKING:
    from harvester.coverage import Coverage
    from harvester.forecast import Forecast
    from harvester.harvest import Progress
    from harvester.wishes import Wanted, Wishes

Only = Annotated[
    str | None,
    typer.Option(
        "--only", metavar="fresh|backfill", help="The last 35 days, or what is older."
    ),
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Ask again what is held and settled.")
]
LISTED = 10

NOTICED = {
    "unknown_fields": "fields that the catalogue does not know, kept in _extra",
    "rows_outside_window": "rows dated outside their window, left out",
    "rows_repeated": "rows that repeated another one, left out",
    "cells_shrunk": "cells with fewer rows than before",
}
"""What a summary may have noticed, in words."""


def wishes(  # noqa: PLR0913 - one argument an option
    accounts: list[str] | None,
    endpoints: list[str] | None,
    since: str | None,
    until: str | None,
    as_of: str | None,
    *,
    only: str | None = None,
    refresh: bool = False,
) -> "Wishes":
    """The options of a selection, checked. Raises UsageError."""
    from harvester.plan import Phase
    from harvester.wishes import Wishes

    if only is not None and only not in list(Phase):
        raise UsageError(f"--only {only}: expected fresh or backfill")
    return Wishes(
        accounts=tuple(accounts or ()),
        endpoints=tuple(endpoints or ()),
        since=options.day("--since", since),
        until=options.day("--until", until),
        as_of=options.moment("--as-of", as_of),
        only=Phase(only) if only else None,
        refresh=refresh,
    )


def plan(  # noqa: PLR0913 - one argument an option
    context: typer.Context,
    account: options.Accounts = None,
    endpoint: options.Endpoints = None,
    since: options.Since = None,
    until: options.Until = None,
    as_of: options.AsOf = None,
    only: Only = None,
    refresh: Refresh = False,
    as_json: options.Json = False,
) -> None:
    """Show what a run would do: calls, cells, files, time. Spends nothing."""
    from harvester.forecast import forecast, yearly_files
    from harvester.wishes import surveyed

    wanted = surveyed(
        options.loaded(context),
        wishes(account, endpoint, since, until, as_of, only=only, refresh=refresh),
    )
    found = forecast(wanted.survey, wanted.quotas)
    today = wanted.survey.policy.now
    if as_json:
        console.as_json(_plan_object(found, today))
        return
    console.table(
        ("endpoint", "calls"), [*found.by_endpoint.items(), ("all", found.calls)]
    )
    console.say(_plan_words(found))
    for line in _late_words(found, today):
        console.say(line)
    for warning in _plan_warnings(wanted, yearly_files(wanted.survey)):
        console.warn(warning)


def _plan_object(found: "Forecast", today: datetime) -> dict[str, Any]:
    return {
        "calls": found.calls,
        "calls_today": found.calls_today,
        "cells": found.cells,
        "files": found.files,
        "token_refreshes": found.accounts,
        "by_endpoint": dict(found.by_endpoint),
        "by_account_max": found.by_account_max,
        "seconds": round(found.seconds, 1),
        "accounts": found.accounts,
        "largest_accounts": [
            {"account": appid, "calls": calls} for calls, appid in found.largest
        ],
        "unfinished_today": found.unfinished,
        "latest": [
            {
                "account": appid,
                "endpoint": endpoint,
                "calls": calls,
                "finished_on": _finished_on(today, days),
            }
            for days, calls, appid, endpoint in found.late
        ],
    }


def _plan_words(found: "Forecast") -> str:
    if not found.calls:
        return "Nothing is missing: a run would make no call."
    largest, appid = found.largest[0]
    return (
        f"{found.calls:,} calls for {found.cells:,} cells of {found.accounts:,} accounts, "
        f"into {found.files:,} files.\n"
        f"The account with the most is {appid} with {largest:,} calls; at the "
        f"configured rates the slowest takes {_duration(found.seconds)}."
    )


def _late_words(found: "Forecast", today: datetime) -> list[str]:
    if not found.late:
        return []
    return [
        f"{found.calls_today:,} of the calls go today; quotas hold back those of "
        f"{found.unfinished:,} endpoints of accounts. The last to finish, run daily:",
        *(
            f"  {appid} {endpoint}: {calls:,} calls, {_finished_on(today, days)}"
            for days, calls, appid, endpoint in found.late
        ),
    ]


def _finished_on(today: datetime, days: int) -> str:
    return dates.text(dates.china_day(today) + days - 1)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _plan_warnings(wanted: "Wanted", yearly: int) -> list[str]:
    from harvester.forecast import MANY_FILES

    if yearly <= MANY_FILES:
        return []
    return [
        f"warning: this layout makes about {yearly:,} files a year: set [lake] buckets "
        f'and date = "month" before the first run'
    ]


def run(  # noqa: PLR0913 - one argument an option
    context: typer.Context,
    account: options.Accounts = None,
    endpoint: options.Endpoints = None,
    since: options.Since = None,
    until: options.Until = None,
    as_of: options.AsOf = None,
    only: Only = None,
    refresh: Refresh = False,
    max_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Start no call after so many minutes."),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(help="Name of the run in ledger and reports.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Spend more calls than limits.confirm_calls.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Fetch what is missing and put it into the lake."""
    from harvester import harvest
    from harvester.wishes import surveyed

    loaded = options.loaded(context)
    wanted = surveyed(
        loaded,
        wishes(account, endpoint, since, until, as_of, only=only, refresh=refresh),
    )
    planned = harvest.confirmed(loaded, wanted, yes=yes)
    with console.progress() as show:
        order = harvest.Order(
            run_id=run_id or new_run_id(),
            max_minutes=max_minutes,
            planned=planned,
            show=lambda progress: show(*progress_words(progress)),
        )
        ended = harvest.harvest(loaded, wanted, order)
    if as_json:
        console.as_json(ended.summary)
    else:
        tell(ended.summary)
    sys.exit(ended.exit_code)


def progress_words(progress: "Progress") -> tuple[str, int, int | None]:
    """A progress bar's words, what is done, and what there is to do."""
    words = (
        f"calls · {progress.per_second:,.0f}/s · {progress.rows:,} rows · "
        f"{progress.accounts_done:,} accounts"
    )
    if progress.failures:
        words += f" · {progress.failures:,} cells failed"
    return words, progress.calls, progress.planned


def new_run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(3)}"


def tell(summary: dict[str, Any]) -> None:
    """A run's end in words: what came, what did not, and what to do."""
    cells = summary["cells"]
    counted = ", ".join(f"{count:,} {name}" for name, count in cells.items() if count)
    console.say(
        f"{summary['outcome']}: {summary['calls']:,} calls, {summary['rows']:,} rows, "
        f"{summary['files']:,} files; cells: {counted or 'none was due'}"
    )
    accounts = summary["accounts"]
    if accounts["partial"] or accounts["failed"]:
        console.say(
            f"accounts: {accounts['done']:,} done, {accounts['partial']:,} in part, "
            f"{accounts['failed']:,} not at all"
        )
    for key, words in NOTICED.items():
        if summary[key]:
            found = summary[key]
            shown = f"{found:,}" if isinstance(found, int) else ", ".join(found)
            console.say(f"  {words}: {shown}")
    for failure in summary["failures"][:LISTED]:
        console.say(_failure(failure))
    if summary["stopped"]:
        console.warn(summary["stopped"])


def _failure(failure: dict[str, Any]) -> str:
    first = failure["examples"][0]
    others = failure["count"]
    where = f"{first['account']} {first['endpoint']} {first['first_date']}"
    rid = f", rid {first['rid']}" if first["rid"] else ""
    todo = f"; {failure['what_to_do']}" if failure["what_to_do"] else ""
    return (
        f"  {failure['code']}: {others:,} cells, {failure['message']} "
        f"(first: {where}{rid}){todo}"
    )


def status(  # noqa: PLR0913 - one argument an option
    context: typer.Context,
    account: options.Accounts = None,
    endpoint: options.Endpoints = None,
    since: options.Since = None,
    until: options.Until = None,
    as_of: options.AsOf = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="account|cell", help="A line for each of these."),
    ] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only what is neither held nor empty.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show how far the lake is, from the ledger: held, complete until, who is behind."""
    from harvester import coverage
    from harvester.wishes import surveyed

    if by not in (None, "account", "cell"):
        raise UsageError(f"--by {by}: expected account or cell")
    wanted = surveyed(
        options.loaded(context), wishes(account, endpoint, since, until, as_of)
    )
    if by is not None or missing:
        rows = coverage.listed(wanted.survey, by or "cell", missing=missing)
        _show_rows(rows, as_json=as_json)
        return
    found = coverage.coverage(wanted.survey)
    if as_json:
        console.as_json(_status_object(found))
        return
    show_status(found)


def _show_rows(rows: Any, *, as_json: bool) -> None:
    lines = list(rows)
    if as_json:
        console.as_json({"rows": lines})
    elif lines:
        console.table(tuple(lines[0]), (line.values() for line in lines))
    else:
        console.say("Nothing to list.")


def _status_object(found: "Coverage") -> dict[str, Any]:
    return {
        "accounts": found.accounts,
        "accounts_behind": found.accounts_behind,
        "endpoints": [
            {
                "endpoint": endpoint,
                "cells": {str(outcome): cells for outcome, cells in line.cells.items()},
                "held": line.cells["held"],
                "complete_until": _day(line.complete_until),
                "accounts": line.accounts,
                "accounts_behind": line.behind,
            }
            for endpoint, line in found.lines.items()
        ],
        "worst": [
            {"account": appid, "cells_behind": cells} for cells, appid in found.worst
        ],
    }


def show_status(found: "Coverage") -> None:
    console.table(
        ("endpoint", "held", "empty", "other", "missing", "complete until", "behind"),
        (
            (
                endpoint,
                line.cells["held"],
                line.cells["empty"],
                sum(line.cells.values())
                - sum(line.cells[name] for name in ("held", "empty", "missing")),
                line.cells["missing"],
                (_day(line.complete_until) or "never") if line.accounts else "",
                line.behind,
            )
            for endpoint, line in found.lines.items()
        ),
    )
    console.say(
        f"{found.accounts - found.accounts_behind:,} of {found.accounts:,} accounts "
        "have everything that is due."
    )
    for cells, appid in found.worst:
        console.say(f"  {appid}: {cells:,} cells behind")


def _day(day: int | None) -> str | None:
    return None if day is None else dates.text(day)
