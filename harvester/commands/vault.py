"""`vault`: the vault by hand. Secrets come from stdin, and none is ever printed."""

import getpass
import re
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from harvester import secret
from harvester.commands import console, options
from harvester.errors import AuthorisationError, UsageError
from harvester.secret import Secret

if TYPE_CHECKING:
    from harvester.api.vault.inspection import Inspection
    from harvester.api.vault.vault import Vault
    from harvester.config.models import Config

T = TypeVar("T")

MOST_CHARACTERS = 4096

AppId = Annotated[str, typer.Argument(metavar="APPID", help="The account's appid.")]


def put_ticket(context: typer.Context) -> None:
    """Put in the platform's ticket, read from stdin.

    For when another program receives WeChat's pushes. A ticket lives 12 hours.
    """
    config = options.loaded(context).config
    platform = _platform(config, "ticket")
    if config.platform is not None and config.platform.ticket is not None:
        console.warn("warning: platform.ticket is configured, and comes first")
    ticket = _from_stdin("ticket")
    _with(config, lambda vault: vault.put_ticket(platform, ticket))
    console.say("The ticket is stored.")


def put_refresh_token(context: typer.Context, appid: AppId) -> None:
    """Put in an account's refresh token, read from stdin.

    It counts from now on; those before it are kept, to be tried should it be refused.
    """
    config = options.loaded(context).config
    _check(appid)
    _platform(config, "refresh token")
    token = _from_stdin("refresh token")
    _with(config, lambda vault: vault.put_refresh_token(appid, token))
    console.say(f"The refresh token of {appid} is stored.")


def verify(
    context: typer.Context,
    reseal: Annotated[
        bool,
        typer.Option(
            "--reseal", help="Encrypt everything by the first key of [vault]."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Open the vault, decrypt everything in it, and say what it holds and what to do."""
    config = options.loaded(context).config
    found, written = _with(config, lambda vault: _inspected(vault, reseal=reseal))
    if reseal:
        console.say(f"{written:,} entries are encrypted by the first key now.")
    owner = config.platform is not None and config.platform.secret is not None
    owns_ticket = (
        owner and config.platform is not None and config.platform.ticket is None
    )
    _show(found, owns_ticket=owns_ticket, as_json=as_json)
    if found.unreadable:
        raise AuthorisationError(
            f"no key opens {found.unreadable} secrets of the vault",
            "add the key they were encrypted with to [vault] key",
        )


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    as_json: options.Json = False,
) -> None:
    """Write the whole vault, as it is at one moment, into a new file.

    The file is a vault itself: [vault] url = "sqlite:///FILE" opens it, with the same keys.
    """
    config = options.loaded(context).config
    encrypted = _with(config, lambda vault: _backed_up(vault, file))
    if as_json:
        size = file.stat().st_size
        console.as_json({"path": str(file), "bytes": size, "encrypted": encrypted})
    else:
        console.say(f"{file} is written: a vault that only its owner may read.")
    if not encrypted:
        console.warn("warning: nothing in it is encrypted: [vault] has no key")


def forget(context: typer.Context, appid: AppId) -> None:
    """Drop all that the vault knows of an account, its refresh tokens too.

    While the account authorises the platform, they are found again in its list.
    """
    config = options.loaded(context).config
    _check(appid)
    if not _with(config, lambda vault: vault.forget(appid)):
        raise UsageError(f"the vault knows nothing of {appid}", "check the appid")
    console.say(f"{appid} is forgotten.")


def _with(config: "Config", work: "Callable[[Vault], Awaitable[T]]") -> T:
    import anyio

    from harvester.api.vault.vault import opened

    async def run() -> T:
        async with opened(config.vault.url, keys=config.vault.key) as vault:
            return await work(vault)

    return anyio.run(run)


async def _inspected(vault: "Vault", *, reseal: bool) -> "tuple[Inspection, int]":
    from harvester.api.vault.inspection import inspected, resealed

    written = await resealed(vault) if reseal else 0
    return await inspected(vault, time.time()), written


async def _backed_up(vault: "Vault", file: Path) -> bool:
    await vault.documents.start()
    await vault.documents.store.back_up(file)
    return bool(vault.documents.seals)


def _platform(config: "Config", what: str) -> str:
    """The platform's appid, where harvester owns its tokens. Raises UsageError."""
    given = config.platform
    if given is not None and given.token_url is not None:
        todo = "the system behind platform.token_url is the one that needs it"
        raise UsageError(f"a {what} is of no use here", todo)
    if given is None or given.appid is None:
        raise UsageError("no platform is configured", f"a {what} is for [platform]")
    return given.appid


def _check(appid: str) -> None:
    if not re.fullmatch(r"wx[0-9a-f]{16}", appid):
        raise UsageError(
            f"{appid[:40]!r} is no appid",
            "expected wx and 16 characters of 0-9 and a-f",
        )


def _from_stdin(what: str) -> str:
    """One line of text. Raises UsageError."""
    if sys.stdin.isatty():
        value = getpass.getpass(f"The {what}: ").strip()
    else:
        value = sys.stdin.read(MOST_CHARACTERS + 1).strip()
    secret.hide([Secret(value)])
    if not value:
        raise UsageError(f"no {what} came", "give it on stdin: … < file")
    if len(value) > MOST_CHARACTERS or not value.isprintable() or " " in value:
        raise UsageError(f"that is no {what}", "expected one word on stdin")
    return value


def _show(found: "Inspection", *, owns_ticket: bool, as_json: bool) -> None:
    from harvester.api.vault.inspection import findings

    wrong = findings(found, platform=owns_ticket)
    if as_json:
        told = [{"message": message, "what_to_do": todo} for message, todo in wrong]
        console.as_json({**asdict(found), "ok": not wrong, "findings": told})
        return
    rows = (
        (name.replace("_", " "), _cell(name, value))
        for name, value in asdict(found).items()
    )
    console.table(("what", ""), [row for row in rows if row[0] != "advice"])
    for message, todo in wrong:
        console.warn(f"{message}: {todo}")


def _cell(name: str, value: object) -> object:
    if name in ("ticket_age", "platform_token_left"):
        return "none" if value is None else f"{value:.0f} s"
    return value
