"""`sandbox`: the stand-in platform alone, for rehearsals."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from harvester.commands import options
from harvester.errors import UsageError
from harvester.sandbox.settings import AES_KEY, CALLBACK_TOKEN, PLATFORM, Settings


def sandbox(  # noqa: PLR0913 -- one argument an option
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", help="Where to listen; 0: any free port."),
    ] = 0,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", help="Another seed is another made-up world."
        ),
    ] = 1,
    accounts: Annotated[
        int, typer.Option("--accounts", metavar="N", help="How many made-up accounts.")
    ] = 100,
    config_folder: Annotated[
        Path | None,
        typer.Option(
            "--config-folder",
            metavar="DIR",
            help="Write accounts.toml and accounts.csv for a rehearsal there.",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="FAULT",
            help="Misbehave: NAME[=VALUE][@ACCOUNT[/ENDPOINT]][%PERCENT][*TIMES], "
            "for example busy%5. May be given again.",
        ),
    ] = None,
    latency_ms: Annotated[
        float, typer.Option("--latency-ms", metavar="MS", help="Answer so much later.")
    ] = 0,
    token_seconds: Annotated[
        float,
        typer.Option("--token-seconds", metavar="S", help="How long a token lives."),
    ] = 7200,
    daily_quota: Annotated[
        int | None,
        typer.Option(
            "--daily-quota", metavar="N", help="Calls a day, per account and endpoint."
        ),
    ] = None,
    minute_quota: Annotated[
        int | None,
        typer.Option(
            "--minute-quota", metavar="N", help="Calls a minute, per account."
        ),
    ] = None,
    as_of: options.AsOf = None,
    callback_url: Annotated[
        str,
        typer.Option(
            "--callback-url",
            metavar="URL",
            help="Push tickets and authorisations there, as to a third-party platform.",
        ),
    ] = "",
    callback_token: Annotated[
        str,
        typer.Option(
            "--callback-token",
            metavar="TEXT",
            help="Sign pushes by this made-up token; never a real one.",
        ),
    ] = CALLBACK_TOKEN,
    aes_key: Annotated[
        str,
        typer.Option(
            "--aes-key",
            metavar="TEXT",
            help="Encrypt pushes by these 43 made-up letters and digits; never a real key.",
        ),
    ] = AES_KEY,
    platform: Annotated[
        str,
        typer.Option("--platform", metavar="APPID", help="Whose pushes are sent."),
    ] = PLATFORM,
    ticket_seconds: Annotated[
        float,
        typer.Option(
            "--ticket-seconds", metavar="S", help="How often a ticket is pushed."
        ),
    ] = 600,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Take only tickets, refresh tokens and accounts known to the sandbox.",
        ),
    ] = False,
    rotate_refresh_tokens: Annotated[
        bool,
        typer.Option(
            "--rotate-refresh-tokens",
            help="Each refresh changes the account's refresh token.",
        ),
    ] = False,
    component_overlap: Annotated[
        float,
        typer.Option(
            "--component-overlap",
            metavar="S",
            help="How long the platform's old token works beside a new one.",
        ),
    ] = 0,
    call_quota: Annotated[
        list[str] | None,
        typer.Option(
            "--call-quota",
            metavar="NAME=N",
            help="Calls a day of one kind, such as api_component_token=10000. "
            "May be given again.",
        ),
    ] = None,
    allow_address: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-address",
            metavar="ADDRESS",
            help="The platform's IP list: others get 61004. May be given again.",
        ),
    ] = None,
) -> None:
    """Serve a stand-in for WeChat's statistics until interrupted; its figures are made up.

    Prints one JSON line, {"url": …}, once it listens.
    """
    from harvester.sandbox.app import serve

    settings = Settings(
        port=port,
        seed=seed,
        accounts=accounts,
        faults=tuple(fault or ()),
        latency_ms=latency_ms,
        token_seconds=token_seconds,
        daily_quota=daily_quota,
        minute_quota=minute_quota,
        as_of=options.moment("--as-of", as_of),
        callback_url=callback_url,
        callback_token=callback_token,
        aes_key=aes_key,
        platform=platform,
        ticket_seconds=ticket_seconds,
        strict=strict,
        rotate_refresh_tokens=rotate_refresh_tokens,
        component_overlap=component_overlap,
        call_quotas=dict(map(_call_quota, call_quota or ())),
        addresses=tuple(allow_address or ()),
    )
    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(serve(settings, config_folder))


def _call_quota(text: str) -> tuple[str, int]:
    """`NAME=N`. Raises UsageError."""
    name, _, number = text.partition("=")
    if not name or not (number.isascii() and number.isdigit()):
        raise UsageError(
            f"--call-quota {text}: expected a call and a number of calls",
            "write api_component_token=10000",
        )
    return name, int(number)


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, which serves more calls a second; asyncio's own where there is none."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
