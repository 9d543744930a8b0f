"""`endpoints` and `accounts list`: what can be harvested, and for whom."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harvester import dates
from harvester.commands import console, options

if TYPE_CHECKING:
    from harvester.accounts import Account
    from harvester.catalogue.endpoint import Endpoint

ENDPOINT = (
    "id",
    "family",
    "span",
    "granularity",
    "earliest",
    "permission_set",
    "status",
    "replaced_by",
)
ACCOUNT = ("appid", "name", "credential", "endpoints", "since", "calls_per_second")


def endpoints(context: typer.Context, as_json: options.Json = False) -> None:
    """Show every endpoint: span, granularity, earliest day, permission set, status.

    With a configuration, the endpoints of its endpoints_file too.
    """
    from harvester.catalogue.load import catalogue

    found = catalogue(_endpoints_file(context))
    rows = [_endpoint(one) for one in found.endpoints.values()]
    if as_json:
        named = [dict(zip(ENDPOINT, row, strict=True)) for row in rows]
        console.as_json({"catalogue_version": found.version, "endpoints": named})
    else:
        console.table(ENDPOINT, rows)


def _endpoints_file(context: typer.Context) -> Path | None:
    """That of the configuration; there need be none, unless one was named."""
    path: Path = context.obj.config
    if path == options.CONFIGURATION and not path.exists():
        return None
    return options.loaded(context).config.endpoints_file


def _endpoint(one: "Endpoint") -> tuple[Any, ...]:
    return (
        one.id,
        one.family,
        one.span,
        one.granularity.value,
        dates.text(one.earliest),
        one.permission_set,
        one.status.value,
        one.replaced_by,
    )


def accounts(context: typer.Context, as_json: options.Json = False) -> None:
    """Show the accounts, where their tokens come from, and what they override."""
    rows = [_account(one) for one in options.loaded(context).accounts]
    if as_json:
        named = [dict(zip(ACCOUNT, row, strict=True)) for row in rows]
        console.as_json({"accounts": named})
    else:
        console.table(ACCOUNT, rows)


def _account(one: "Account") -> tuple[Any, ...]:
    return (
        one.appid,
        one.name,
        one.credential,
        one.endpoints,
        one.since and dates.text(one.since),
        one.calls_per_second,
    )
