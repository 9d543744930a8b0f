"""Data files one by one: is each what the ledger says, and is there any other?"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harvester import dates
from harvester.errors import StorageError
from harvester.lake.layout import DATA
from harvester.lake.verify.problems import Kind

_SHAPE = re.compile(
    rf"{DATA}/endpoint=[^/]+/((?:account|bucket)=[^/]+)/(date|month)=([0-9-]+)/[^/]+\.parquet"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A data file as the ledger has it, and what its path says of its rows."""

    path: str
    rows: int
    bytes: int
    sha256: str
    place: str
    first: int
    last: int
    """Its rows are of these days."""


def at(path: str) -> tuple[str, int, int] | None:
    """What a data file's path says: account or bucket, first and last day.

    None for a path that is not a data file's.
    """
    shape = _SHAPE.fullmatch(path)
    if shape is None:
        return None
    place, unit, text = shape.groups()
    try:
        day = dates.parse(text if unit == "date" else f"{text}-01")
    except ValueError:
        return None
    return place, day, day if unit == "date" else dates.month_end(day)


def check(root: Path, file: File) -> tuple[Kind, str] | None:
    """What is wrong with the file, or nothing; every byte of it is read."""
    try:
        with (root / file.path).open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if size != file.bytes:
            return Kind.BYTES, f"has {size:,} bytes, the ledger says {file.bytes:,}"
        if digest != file.sha256:
            return Kind.SHA256, "has changed since it was written (sha256)"
        rows = pq.read_metadata(root / file.path).num_rows
    except FileNotFoundError:
        return Kind.MISSING, f"is missing; the ledger has {file.rows:,} rows in it"
    except (OSError, pa.ArrowException) as error:
        said = str(error).partition("\n")[0]
        return Kind.UNREADABLE, f"cannot be read ({said})"
    if rows != file.rows:
        return Kind.ROWS, f"has {rows:,} rows, the ledger says {file.rows:,}"
    return None


def lying(root: Path, folder: str) -> Iterator[str]:
    """The path of everything under a folder of the lake that is no folder.

    Raises StorageError for a folder that cannot be listed.
    """
    for above, _, names in os.walk(root / folder, onerror=_raise):
        start = Path(above).relative_to(root).as_posix()
        for name in names:
            yield f"{start}/{name}"


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise StorageError(
            f"{error.filename} cannot be listed ({error.strerror})"
        ) from error
