"""A run as a user would make it, against a real sandbox on loopback.

`sandboxed` runs the sandbox on a thread of its own with a clock of its own; `Project`
is a folder with an `accounts.toml`; `truth` is what the sandbox's world holds, flattened
here and not by the code under test.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from anyio.from_thread import start_blocking_portal

from harvester.sandbox.app import running
from harvester.sandbox.clock import CHINA
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings, appids

TODAY = datetime(2026, 1, 20, 12, 0, tzinfo=CHINA)
"""The clock of most tests: a Tuesday at noon in China."""

AS_OF = TODAY.isoformat()

LAST_READY = date(2026, 1, 19)

OLD_ARTICLES = (
    "getarticlesummary",
    "getarticletotal",
    "getuserread",
    "getuserreadhour",
    "getusershare",
    "getusersharehour",
)
EVERY = (
    "getusersummary",
    "getusercumulate",
    *OLD_ARTICLES,
    "getarticleread",
    "getarticleshare",
    "getbizsummary",
    "getarticletotaldetail",
    "getupstreammsg",
    "getupstreammsghour",
    "getupstreammsgweek",
    "getupstreammsgmonth",
    "getupstreammsgdist",
    "getupstreammsgdistweek",
    "getupstreammsgdistmonth",
    "getinterfacesummary",
    "getinterfacesummaryhour",
)

NESTED = {"getarticletotal": "details", "getarticletotaldetail": "detail_list"}


@contextmanager
def sandboxed(
    settings: Settings | None = None, now: datetime = TODAY
) -> Iterator[Sandbox]:
    """A sandbox whose clock stands at `now`."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running(settings, now=lambda: now)) as box,
    ):
        yield box


@dataclass(slots=True)
class Project:
    """A folder with a configuration, and the program run in it."""

    folder: Path
    url: str
    accounts: list[str] = field(default_factory=lambda: appids(1, 2))
    text: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    written: bool = False
    """The test writes `accounts.toml` itself."""

    def write(self) -> None:
        """Makes `accounts.toml`: each account with a secret of its own."""
        entries = "".join(
            f'[[accounts]]\nappid = "{appid}"\nsecret = "s-{appid}"\n'
            for appid in self.accounts
        )
        fast = "" if "[limits]" in self.text else "[limits]\ncalls_per_second = 1000\n"
        config = self.folder / "accounts.toml"
        config.touch(0o600)
        config.write_text(
            f'[api]\nurl = "{self.url}"\nfallback_urls = []\n{fast}{self.text}\n{entries}'
        )

    def harvester(
        self, *arguments: str, check: int | None = 0, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        """Runs the program; fails on another exit code than `check`."""
        if not self.written:
            self.write()
        done = subprocess.run(
            [sys.executable, "-m", "harvester", *arguments],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", **self.environ},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check is not None:
            assert done.returncode == check, done.stderr + done.stdout
        return done

    def run(self, *arguments: str, check: int | None = 0) -> dict[str, Any]:
        """`harvester run --json` on the day of the tests."""
        done = self.harvester(
            "run", "--json", "--as-of", AS_OF, *arguments, check=check
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def plan(self, *arguments: str) -> dict[str, Any]:
        """`harvester plan --json` on the day of the tests."""
        done = self.harvester("plan", "--json", "--as-of", AS_OF, *arguments)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @property
    def lake(self) -> Path:
        """Where the data lies."""
        return self.folder / "lake"

    def ledger(self) -> list[dict[str, Any]]:
        """The entries of the ledger, oldest first."""
        cells = f"{self.lake}/ledger/cells/*.parquet"
        found = duckdb.sql(f"SELECT * FROM read_parquet('{cells}') ORDER BY sequence")
        return found.to_arrow_table().to_pylist()

    def outcomes(self) -> dict[tuple[str, str, date], str]:
        """What the ledger says of each cell: the entry with the highest sequence."""
        cells: dict[tuple[str, str, date], str] = {}
        for entry in self.ledger():
            day = entry["first_date"]
            while day <= entry["last_date"]:
                cells[entry["endpoint"], entry["account"], day] = entry["outcome"]
                day += timedelta(days=1)
        return cells


Row = tuple[tuple[str, Any], ...]


def truth(
    box: Sandbox, endpoint: str, accounts: list[str], days: list[date]
) -> list[Row]:
    """What the lake should hold of the endpoint: one flat row each, sorted."""
    rows = []
    for appid in accounts:
        for day in days:
            for row in box.world.rows(endpoint, appid, day, LAST_READY):
                rows += [
                    _comparable({"account": appid, **flat})
                    for flat in _flattened(endpoint, row)
                ]
    return sorted(rows, key=str)


def _flattened(endpoint: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    inner = NESTED.get(endpoint)
    if inner is not None:
        outer = {key: value for key, value in row.items() if key != inner}
        return [{**outer, **detail} for detail in row[inner]]
    return [
        {**{k: v for k, v in row.items() if k != "detail"}, **row.get("detail", {})}
    ]


def held(project: Project, endpoint: str) -> list[Row]:
    """What the lake holds of the endpoint, read by DuckDB from plain files."""
    files = sorted(project.lake.glob(f"data/endpoint={endpoint}/**/*.parquet"))
    if not files:
        return []
    found = duckdb.sql(
        "SELECT * FROM read_parquet($files, hive_partitioning = true, "
        "union_by_name = true)",
        params={"files": [str(file) for file in files]},
    )
    columns = [name for name in found.columns if name not in PATH_KEYS]
    rows = found.project(", ".join(columns)).to_arrow_table().to_pylist()
    return sorted((_comparable(row) for row in rows), key=str)


PATH_KEYS = ("endpoint", "bucket", "date", "month", "_extra")


def _comparable(row: Mapping[str, Any]) -> Row:
    """Without absent values; dates as text; nested values as JSON."""
    return tuple(
        sorted(
            (name, _plain(value)) for name, value in row.items() if value is not None
        )
    )


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value


def days(first: str, last: str) -> list[date]:
    """The days from first to last, both included."""
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]
