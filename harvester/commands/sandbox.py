"""`sandbox`: the stand-in platform alone, for rehearsals."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from harvester.commands import options


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
) -> None:
    """Serve a stand-in for WeChat's statistics until interrupted; its figures are made up.

    Prints one JSON line, {"url": …}, once it listens.
    """
    from harvester.sandbox.app import serve
    from harvester.sandbox.settings import Settings

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
    )
    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(serve(settings, config_folder))


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, which serves more calls a second; asyncio's own where there is none."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
