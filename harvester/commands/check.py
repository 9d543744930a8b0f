"""`check`: what would stand in a run's way, and what to do about it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harvester.commands import console, options

if TYPE_CHECKING:
    from harvester.accounts import Account
    from harvester.checkup import Finding
    from harvester.config.models import Config
    from harvester.survey import Survey


def check(
    context: typer.Context,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="How many accounts are tried.")
    ] = 20,
    every: Annotated[bool, typer.Option("--all", help="Try every account.")] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Look at the configuration and lake alone."),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Check configuration, clock, vault, lake, platform and a sample of accounts.

    Asks for tokens and quotas, and spends no call.
    """
    import anyio

    from harvester import checkup
    from harvester.wishes import Wishes, surveyed

    loaded = options.loaded(context)
    survey = surveyed(loaded, Wishes()).survey
    count = f"{loaded.path}: {len(loaded.accounts):,} accounts"
    found = [checkup.Finding("configuration", count)]
    found.append(checkup.lake(survey, Path(loaded.config.lake.path)))
    if not offline:
        chosen = checkup.sampled(survey.accounts, None if every else sample)
        found += anyio.run(_online, loaded.config, survey, chosen)
    _show(found, as_json=as_json)
    sys.exit(checkup.worst(found))


async def _online(
    config: "Config", survey: "Survey", chosen: "list[Account]"
) -> "list[Finding]":
    from harvester import checkup
    from harvester.harvest import connected

    async with connected(config) as (wire, client):
        found = [checkup.Finding("vault", config.vault.url)]
        async for finding in checkup.accounts(survey, client, chosen):
            found.append(finding)
        return [*found, checkup.clock(wire)]


def _show(found: "list[Finding]", *, as_json: bool) -> None:
    from harvester import checkup

    if as_json:
        console.as_json({"ok": all(f.well for f in found), "findings": _objects(found)})
        return
    console.table(("what", "", ""), checkup.lines(found))


def _objects(found: "list[Finding]") -> list[dict[str, Any]]:
    return [
        {
            "subject": one.subject,
            "ok": one.well,
            "message": one.message,
            "what_to_do": one.todo,
        }
        for one in found
    ]
