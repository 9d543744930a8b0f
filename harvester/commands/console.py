"""What a command prints: data on stdout, words on stderr, progress on a terminal only."""

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

import orjson

from harvester.errors import HarvesterError
from harvester.secret import masked


@dataclass(slots=True)
class _Switches:
    quiet: bool = False
    debug: bool = False


WIDE = 100_000
"""Columns of a table that no terminal shows: nothing is cut or wrapped."""

_SWITCHES = _Switches()
"""Set once by the command line, for the whole process."""


def switch(*, quiet: bool, debug: bool) -> None:
    """Whether `say` and `progress` stay silent, and whether errors show their traceback."""
    _SWITCHES.quiet = quiet
    _SWITCHES.debug = debug


def out(text: str) -> None:
    """Data: to stdout, with a line end."""
    _write(sys.stdout, text + "\n")


def as_json(value: object) -> None:
    """One JSON object: the only thing a command with `--json` has on stdout."""
    options = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    out(orjson.dumps(value, default=str, option=options).decode())


def say(text: str) -> None:
    """Words for a person: to stderr, unless `--quiet`."""
    if not _SWITCHES.quiet:
        _write(sys.stderr, masked(text) + "\n")


def warn(text: str) -> None:
    """What a person must know: to stderr, a line each with the program's name."""
    for line in text.splitlines():
        _write(sys.stderr, f"harvester: {masked(line)}\n")


def explain(error: BaseException) -> None:
    """Why a command ends: a line to act on, and with `--debug` how it came to it."""
    if _SWITCHES.debug:
        _write(sys.stderr, masked("".join(traceback.format_exception(error))))
    if isinstance(error, HarvesterError):
        warn(str(error))
    else:
        said = str(error).partition("\n")[0]
        warn(f"{type(error).__name__}: {said} (a bug: --debug shows where)")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Data in columns: as wide as the terminal, or as the data where there is none."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in rows:
        grid.add_row(*(Text(_cell(value)) for value in row))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDE)
    with console.capture() as captured:
        console.print(grid)
    lines = (line.rstrip() for line in captured.get().splitlines())
    out("\n".join(lines))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


Show = Callable[[str, int, int | None], None]
"""Tells a progress bar its words, what is done, and what there is to do."""


@contextmanager
def progress() -> Iterator[Show]:
    """A bar with speed and remaining time on a terminal; elsewhere nothing at all."""
    if _SWITCHES.quiet or not sys.stderr.isatty():
        yield lambda _words, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        Remaining(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda words, done, total: bar.update(
            task, description=words, completed=done, total=total
        )


def _write(stream: TextIO, text: str) -> None:
    """A reader that has gone (`| head`) changes neither the work nor the exit code."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
