"""Where everything in a lake lies, and `lake.json`, which fixes it for good.

All places are relative to the lake, with `/` between the parts, so that they name
objects in a bucket as well as files in a directory.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from harvester import __version__, dates
from harvester.errors import StorageError, UsageError

FORMAT = 1
"""The version of everything below a lake. A reader refuses the others."""

LAKE_JSON = "lake.json"
NEW_LAKE_JSON = "lake.json.new"
LOCK = "lock"
DATA = "data"
CELLS = "ledger/cells"
FILES = "ledger/files"
SPOOL = "spool"
RUNS = "runs"
REJECTED = "rejected"
TMP = "tmp"

UNBORN = frozenset({LOCK, NEW_LAKE_JSON, "lost+found"})
"""What a folder may hold and still become a lake: traces of a start that died."""

BUCKET_OF = "int(md5(appid)[:8], 16) % buckets"

_APPID = re.compile(r"wx[0-9a-f]{16}")
_ENDPOINT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PART = re.compile(r"part-(\d+)\.parquet")


@dataclass(frozen=True, slots=True)
class Layout:
    """How data files are cut: by account or bucket, by day or month."""

    buckets: int = 0
    """0: a directory per account; N: accounts packed into N buckets."""

    date: Literal["day", "month"] = "day"

    def bucket(self, appid: str) -> int:
        """The account's bucket: `int(md5(appid)[:8 hex digits], 16) % buckets`."""
        digest = hashlib.md5(appid.encode(), usedforsecurity=False).hexdigest()
        return int(digest[:8], 16) % self.buckets

    def place(self, appid: str) -> str:
        """`account=wx…` or `bucket=b017`. Raises ValueError for what is no appid."""
        if not _APPID.fullmatch(appid):
            raise ValueError(f"not an appid: {appid[:40]!r}")
        return (
            f"bucket=b{self.bucket(appid):03d}" if self.buckets else f"account={appid}"
        )

    def partition(self, endpoint_id: str, appid: str, day: int) -> str:
        """`data/endpoint=…/account=…/date=2024-12-07`, or with bucket and month.

        Raises ValueError for what is no endpoint's id or no appid: nothing else
        may become a path.
        """
        return (
            f"{_endpoint(endpoint_id)}/{_place(self, appid)}/{_period(self.date, day)}"
        )

    def start(self, day: int) -> int:
        """The first day of the partition that holds this day."""
        if self.date == "day":
            return day
        return day - date.fromordinal(day).day + 1


@lru_cache(maxsize=65536)
def _place(layout: Layout, appid: str) -> str:
    return layout.place(appid)


@lru_cache(maxsize=65536)
def _period(unit: str, day: int) -> str:
    text = dates.text(day)
    return f"date={text}" if unit == "day" else f"month={text[:7]}"


@lru_cache(maxsize=1024)
def _endpoint(endpoint_id: str) -> str:
    if not _ENDPOINT.fullmatch(endpoint_id):
        raise ValueError(f"not an endpoint's id: {endpoint_id[:40]!r}")
    return f"{DATA}/endpoint={endpoint_id}"


def part(number: int) -> str:
    """The name of a partition's data file."""
    return f"part-{number}.parquet"


def part_number(path: str) -> int:
    """The number in a data file's path; -1 for a name that is not ours."""
    match = _PART.fullmatch(path.rpartition("/")[2])
    return int(match[1]) if match else -1


def checked_run_id(run_id: str) -> str:
    """The id itself. Raises UsageError for one that must not become a path."""
    if not _RUN_ID.fullmatch(run_id):
        raise UsageError(
            f"the run's id {run_id[:40]!r} cannot name a file",
            "use letters, digits, '.', '_' and '-', at most 100",
        )
    return run_id


@dataclass(frozen=True, slots=True)
class Lake:
    """What `lake.json` says."""

    layout: Layout
    demo: bool
    created_at: str
    created_by: str


def born(layout: Layout, *, demo: bool) -> bytes:
    """The bytes of a new lake's `lake.json`."""
    content = {
        "format": FORMAT,
        "buckets": layout.buckets,
        "date": layout.date,
        "bucket_of": BUCKET_OF,
        "demo": demo,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "created_by": f"harvester {__version__}",
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def read(root: Path) -> Lake | None:
    """The lake at this path; None where there is no `lake.json`.

    Raises UsageError for a file that is damaged or of another format, StorageError
    for one that cannot be read.
    """
    path = root / LAKE_JSON
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError:
        raise UsageError(f"{path} is damaged", "restore it from a backup") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise UsageError(
            f"{path} has format {found!r}, and this harvester knows {FORMAT}",
            "use the version of harvester that made the lake, or a newer one",
        )
    return _lake(path, content)


def _lake(path: Path, content: dict[str, object]) -> Lake:
    buckets, unit = content.get("buckets"), content.get("date")
    if type(buckets) is not int or buckets < 0 or unit not in ("day", "month"):
        raise UsageError(
            f"{path} names no layout: buckets = {buckets!r}, date = {unit!r}",
            "restore it from a backup",
        )
    return Lake(
        layout=Layout(buckets, "day" if unit == "day" else "month"),
        demo=content.get("demo") is True,
        created_at=str(content.get("created_at", "")),
        created_by=str(content.get("created_by", "")),
    )


def check_agrees(found: Layout, configured: Layout) -> None:
    """Raises UsageError when the configuration wants another layout."""
    if found == configured:
        return
    move = f"harvester compact --buckets {configured.buckets} --date {configured.date}"
    raise UsageError(
        f"the lake has buckets = {found.buckets}, date = {found.date}; "
        f"the configuration says buckets = {configured.buckets}, date = {configured.date}",
        f"change the configuration, or move the lake with `{move}`",
    )


def check_folder(root: Path) -> None:
    """Raises UsageError unless the path is a lake, or free to become one.

    Raises StorageError when that cannot be seen.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file", "name a directory for the lake")
    if not root.exists() or (root / LAKE_JSON).exists():
        return
    try:
        foreign = sorted({entry.name for entry in root.iterdir()} - UNBORN)
    except OSError as error:
        raise _unreadable(root, error) from error
    if foreign:
        raise UsageError(
            f"{root} is no lake (there is no {LAKE_JSON}) and not empty "
            f"({', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''})",
            f"name an empty directory, or restore the lake's {LAKE_JSON}",
        )


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be read ({error.strerror})",
        "mend the permissions, or name another lake",
    )


def check_ledger(root: Path) -> None:
    """Raises UsageError when the ledger is missing beside data."""
    lost = [
        place for place in (CELLS, FILES) if not any((root / place).glob("*.parquet"))
    ]
    if lost and any((root / DATA).glob("*/*/*/*.parquet")):
        raise UsageError(
            f"{root} holds data and {' and '.join(lost)} is empty: the ledger is lost",
            "restore it from a backup, or make it again from the data with "
            "`harvester verify --rebuild`",
        )
