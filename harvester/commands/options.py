"""What commands have in common: the options before them, and those they share."""

import os
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harvester import dates, secret
from harvester.commands import console
from harvester.errors import UsageError

if TYPE_CHECKING:
    from harvester.config.settings import Loaded

CONFIGURATION = Path("accounts.toml")
"""Where the configuration is when nobody says otherwise."""

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else.")
]
Accounts = Annotated[
    list[str] | None,
    typer.Option(
        "--account",
        metavar="GLOB",
        help="Only accounts whose appid or name matches (upper and lower case differ). "
        "May be given again.",
    ),
]
Endpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="NAME",
        help="Only these endpoints: an id, a glob over ids, a family or a group. "
        "May be given again.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="DATE", help="First date, included: 2024-12-07."),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="DATE", help="Last date, included; cut to what is ready."
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        help="Start the clock here: an ISO time with offset, "
        "2024-12-08T09:00:00+08:00.",
    ),
]


class LogFormat(StrEnum):
    """How a log line is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important log line that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Globals:
    """The options that stand before the command."""

    config: Path


def loaded(context: typer.Context) -> "Loaded":
    """The configuration that the command line names, with its warnings told.

    Raises UsageError with everything that is wrong in it.
    """
    from harvester.config import settings  # pydantic: not for --help to wait for

    found = settings.load(context.obj.config, os.environ)
    secret.hide(found.secrets)
    for warning in found.warnings:
        console.warn(f"warning: {warning}")
    return found


def day(option: str, value: str | None) -> int | None:
    """The date of `--since` or `--until`; UsageError when it is none."""
    if value is None:
        return None
    try:
        return dates.parse(value)
    except ValueError:
        raise UsageError(
            f"{option} {value}: expected a date such as 2024-12-07"
        ) from None


def moment(option: str, value: str | None) -> datetime | None:
    """The time of `--as-of`; UsageError when it is none or has no offset."""
    if value is None:
        return None
    found = _time(value)
    if found is None or found.tzinfo is None:
        example = "2024-12-08T09:00:00+08:00"
        raise UsageError(
            f"{option} {value}: expected a time with its offset, such as {example}"
        )
    return found


def _time(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None
