"""`demo`: the whole job without credentials, against a sandbox on this machine."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from harvester import dates
from harvester.commands import console, lake
from harvester.commands.harvest import new_run_id, progress_words, status, tell
from harvester.errors import HarvesterError, UsageError

LAKE = Path("demo-lake")
CONFIG = LAKE / "accounts.toml"
ACCOUNTS = 6
DAYS = 14
SHOWN = 6

SQL = """\
SELECT account, min(ref_date) AS since, sum(new_user) AS gained, sum(cancel_user) AS lost
FROM getusersummary GROUP BY account ORDER BY gained DESC"""


def demo(context: typer.Context) -> None:
    """Run the whole job with no credentials: sandbox, harvest, coverage, one query.

    The lake is ./demo-lake. It is kept, and only another demo replaces it.
    """
    _make_way()
    with TemporaryDirectory(prefix="harvester-demo-") as folder:
        console.say(f"A sandbox with {ACCOUNTS} made-up accounts starts.")
        with sandbox(Path(folder)):
            code = _harvest(Path(folder))
        _keep_configuration(Path(folder))
    context.obj = replace(context.obj, config=CONFIG)
    console.say("\nHow far the lake is (harvester status):")
    status(context)
    console.say(f'\nOne query (harvester query "…"):\n{SQL}\n')
    lake.query(context, SQL)
    _show_files()
    sys.exit(code)


def _make_way() -> None:
    """Removes an earlier demo's lake, and nothing else. Raises UsageError."""
    from harvester.lake import layout

    if not LAKE.exists():
        return
    found = layout.read(LAKE)
    if found is None or not found.demo:
        raise UsageError(
            f"{LAKE} exists and is no demo's lake",
            "move it away, or start the demo in another directory",
        )
    shutil.rmtree(LAKE)


@contextmanager
def sandbox(folder: Path) -> Iterator[None]:
    """A sandbox as a process of its own, and its accounts' configuration in `folder`."""
    command = [sys.executable, "-m", "harvester", "sandbox", f"--accounts={ACCOUNTS}"]
    command.append(f"--config-folder={folder}")
    with subprocess.Popen(  # noqa: S603 - this very program
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise HarvesterError("the sandbox did not start", "see what it said")
            yield
        finally:
            process.terminate()


def _harvest(folder: Path) -> int:
    """The run itself; returns its exit code."""
    from harvester import harvest
    from harvester.config import settings
    from harvester.wishes import Wishes, surveyed

    overrides = {
        "HARVESTER__LAKE__PATH": str(LAKE.absolute()),
        "HARVESTER__HARVEST__SINCE": _since(),
        "HARVESTER__LIMITS__CALLS_PER_SECOND": "100",
    }
    loaded = settings.load(folder / "accounts.toml", overrides)
    wanted = surveyed(loaded, Wishes())
    with console.progress() as show:
        order = harvest.Order(
            run_id=new_run_id(),
            planned=harvest.confirmed(loaded, wanted, yes=True),
            show=lambda progress: show(*progress_words(progress)),
            demo=True,
        )
        ended = harvest.harvest(loaded, wanted, order)
    tell(ended.summary)
    return ended.exit_code


def _since() -> str:
    return dates.text(dates.china_day(datetime.now(UTC) - timedelta(days=DAYS)))


def _keep_configuration(folder: Path) -> None:
    """Leaves the configuration in the lake, so that every command works on it."""
    text = (folder / "accounts.toml").read_text("utf-8")
    text = text.replace('path = "lake"', 'path = "."')
    CONFIG.write_text(f'{text}\n[harvest]\nsince = "{_since()}"\n', "utf-8")
    shutil.copy(folder / "accounts.csv", LAKE / "accounts.csv")
    for name in ("accounts.toml", "accounts.csv"):
        (LAKE / name).chmod(0o600)


def _show_files() -> None:
    """Where the data lies: some of the data files, and how many there are."""
    files = sorted(LAKE.glob("data/**/*.parquet"))
    size = sum(file.stat().st_size for file in files)
    console.say(
        f"\nThe lake is ./{LAKE}: {len(files):,} data files, {size / 1e6:.1f} MB, such as"
    )
    for file in files[:: max(1, len(files) // SHOWN)][:SHOWN]:
        console.say(f"  {file}")
    console.say(f'Ask it more: harvester -c {CONFIG} query "SELECT …"')
