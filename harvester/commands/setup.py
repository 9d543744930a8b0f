"""`init` and `config`: making a configuration, and seeing what is in force."""

import os
from importlib import resources
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from harvester.commands import console, options
from harvester.errors import UsageError

FOLDERS_UP_TO = 50
"""So many accounts have a directory each; more are packed into buckets."""

ACCOUNTS_A_BUCKET = 500
"""A bucket's file then holds some thousand rows a month: few files, quick to read."""

ENDPOINTS = 20
"""About so many are harvested."""


def init(
    context: typer.Context,
    accounts: Annotated[
        int,
        typer.Option(
            "--accounts", min=1, max=1_000_000, help="How many accounts there will be."
        ),
    ] = 10,
) -> None:
    """Write a commented configuration, with a layout that suits the number of accounts.

    Writes the file that --config names, accounts.toml, and never overwrites one.
    """
    path: Path = context.obj.config
    _create(path, template(accounts))
    console.say(
        f"{path} is written: fill in your accounts, then run `harvester check`."
    )


def template(accounts: int) -> str:
    """The commented configuration for so many accounts."""
    text = resources.files("harvester.commands").joinpath("accounts.template.toml")
    buckets, date = layout(accounts)
    return Template(text.read_text("utf-8")).substitute(
        reason=_reason(accounts, buckets),
        buckets=str(buckets).ljust(25),
        date=f'"{date}"'.ljust(28),
    )


def layout(accounts: int) -> tuple[int, str]:
    """Buckets and partition that keep the number of files small."""
    if accounts <= FOLDERS_UP_TO:
        return 0, "day"
    return -(-accounts // ACCOUNTS_A_BUCKET), "month"


def _reason(accounts: int, buckets: int) -> str:
    if not buckets:
        files = f"at most {accounts * ENDPOINTS * 365:,} files a year"
        return f"up to {FOLDERS_UP_TO} accounts: a directory for each, {files}"
    files = f"about {buckets * ENDPOINTS * 12:,} files a year"
    return f"{accounts:,} accounts, packed {ACCOUNTS_A_BUCKET} to a bucket and month: {files}"


def _create(path: Path, text: str) -> None:
    """Only its owner may read it: secrets may come to stand in it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            f"{path} exists already", "--config names another file"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def config(context: typer.Context, as_json: options.Json = False) -> None:
    """Show every value in force and where it comes from; secrets appear as ***."""
    found = options.loaded(context)
    if as_json:
        values = {
            one.key: {"value": one.shown, "source": one.source} for one in found.values
        }
        console.as_json({"path": str(found.path), "values": values})
        return
    rows = ((one.key, one.shown, one.source) for one in found.values)
    console.table(("key", "value", "source"), rows)
