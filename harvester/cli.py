"""The command line: which commands there are, and how a command ends.

Commands live in `harvester.commands`; each is a function whose docstring is its help.
Their modules import light things only: what is heavy is imported when a command runs.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harvester import __version__
from harvester.commands import (
    catalogue,
    check,
    console,
    demo,
    harvest,
    lake,
    sandbox,
    serve,
    setup,
    vault,
)
from harvester.commands.options import CONFIGURATION, Globals, LogFormat, LogLevel
from harvester.errors import HarvesterError

COMMANDS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("demo", demo.demo),
    ("init", setup.init),
    ("config", setup.config),
    ("check", check.check),
    ("accounts list", catalogue.accounts),
    ("vault put-ticket", vault.put_ticket),
    ("vault put-refresh-token", vault.put_refresh_token),
    ("vault verify", vault.verify),
    ("vault backup", vault.backup),
    ("vault forget", vault.forget),
    ("endpoints", catalogue.endpoints),
    ("plan", harvest.plan),
    ("run", harvest.run),
    ("status", harvest.status),
    ("verify", lake.verify),
    ("query", lake.query),
    ("views", lake.views),
    ("serve", serve.serve),
    ("sandbox", sandbox.sandbox),
)
"""Every command, in the order of the help. Two words: a command in a group."""

GROUPS = {
    "accounts": "The accounts that are harvested.",
    "vault": "The vault by hand: tokens and tickets.",
}

PRECEDENCE = (1, 6, 7, 2, 4)
"""Of several errors at once, the one with the first of these exit codes counts."""


def _built() -> typer.Typer:
    root = _group(
        "harvester",
        "Harvests WeChat Official Account statistics of many accounts into a Parquet lake.",
    )
    root.callback()(_before_the_command)
    groups = {"": root, **{name: _group(name, text) for name, text in GROUPS.items()}}
    for name in GROUPS:
        root.add_typer(groups[name])
    for words, function in COMMANDS:
        group, _, name = words.rpartition(" ")
        groups[group].command(name)(function)
    return root


def _group(name: str, text: str) -> typer.Typer:
    return typer.Typer(
        name=name,
        help=text,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": 100},
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        console.out(f"harvester {__version__}")
        raise typer.Exit


def _before_the_command(  # noqa: PLR0913 -- one argument an option
    context: typer.Context,
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            "-c",
            envvar="HARVESTER_CONFIG",
            metavar="FILE",
            help="The configuration.",
        ),
    ] = CONFIGURATION,
    log_format: Annotated[
        LogFormat, typer.Option(help="How log lines look: text or json.")
    ] = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel,
        typer.Option(help="Log lines from this level on: debug, info, warning, error."),
    ] = LogLevel.INFO,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress and no words; warnings stay.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Options that stand before every command."""
    from harvester import logs  # structlog: not for --help to wait for

    console.switch(quiet=quiet, debug=debug)
    level = LogLevel.WARNING if quiet and log_level is LogLevel.INFO else log_level
    logs.start(as_json=log_format is LogFormat.JSON, level=level)
    context.obj = Globals(config=config)


app = _built()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits with its code."""
    try:
        app(args=arguments, prog_name="harvester")
    except (
        Exception
    ) as error:  # the edge of the program: nothing above could tell the user
        first = _first(error)
        console.explain(first)
        sys.exit(first.exit_code if isinstance(first, HarvesterError) else 1)


def _first(error: BaseException) -> BaseException:
    """Of the errors in a task group the one that counts; else the error itself."""
    return min(_leaves(error), key=lambda leaf: PRECEDENCE.index(_code(leaf)))


def _code(error: BaseException) -> int:
    return error.exit_code if isinstance(error, HarvesterError) else 1


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
