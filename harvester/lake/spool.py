"""The write-ahead spool: what a call brought is safe here before files are built.

A segment is one file of one group of accounts, made of frames (`lake.frames`). What
one `append` brings is one frame, and durable on return: a torn frame at the end of a
segment was never promised to anybody.
"""

import mmap
import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harvester.dates import Days
from harvester.errors import StorageError
from harvester.lake import frames
from harvester.lake.durable import Disk
from harvester.lake.frames import Chunk
from harvester.lake.layout import SPOOL

ANSWERED = "answered"
"""The outcome of a record whose pages have yet to be read."""

EVER = 10**7
"""Later than every day."""

_GROUP = r"[a-z0-9][a-z0-9_.-]{0,99}"
_NAME = re.compile(rf"(\d{{12}})-({_GROUP})\.spool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The result of one call: an answer's bytes, or what the ledger says instead."""

    appid: str
    endpoint: str
    first: int
    last: int
    owned: Days
    """The wanted days of the window: the record speaks of these alone."""

    outcome: str
    """`answered`, or one of the ledger's outcomes."""

    fetched_at: int
    """Microseconds since the epoch, UTC."""

    run_id: str
    attempts: int = 1
    code: str = ""
    rid: str = ""
    message: str = ""
    next_try_at: int | None = None
    pages: tuple[bytes, ...] = ()


@dataclass(slots=True, eq=False)
class Segment:
    """One file, and where in it the chunks of records lie."""

    path: Path
    group: str
    fd: int = -1
    size: int = 0
    chunks: list[Chunk] = field(default_factory=list)


class Spool:
    """The segments of a lake. Two threads may use it: one appends, one builds."""

    def __init__(self, disk: Disk) -> None:
        """Finds what a dead run left. Raises StorageError for a damaged segment."""
        self._disk = disk
        self._folder = disk.root / SPOOL
        self._lock = threading.Lock()
        self._open: dict[str, Segment] = {}
        self._sealed = [scan(path) for path in _paths(self._folder)]
        numbers = [int(segment.path.name[:12]) for segment in self._sealed]
        self._next = max(numbers, default=0) + 1

    def groups(self) -> list[str]:
        """The groups with sealed segments, those first that began first."""
        with self._lock:
            return list(dict.fromkeys(segment.group for segment in self._sealed))

    def append(self, group: str, records: Sequence[Record]) -> None:
        """Makes the records durable. Raises StorageError; then none is promised."""
        if not re.fullmatch(_GROUP, group):
            raise ValueError(f"not a group's name: {group[:40]!r}")
        packed = frames.frame(_packed(records))
        with self._lock:
            segment = self._open.get(group) or self._create(group)
            try:
                self._write(segment, packed)
            except StorageError:
                self._shut(group)
                raise

    def seal(self, group: str) -> tuple[Segment, ...]:
        """The group's segments, to build from; a later append opens a new one."""
        with self._lock:
            self._shut(group)
            return tuple(one for one in self._sealed if one.group == group)

    def retire(self, segments: Sequence[Segment]) -> None:
        """Removes segments whose records all are in data and ledger."""
        self._disk.remove(segment.path for segment in segments)
        with self._lock:
            self._sealed = [one for one in self._sealed if one not in segments]

    def close(self) -> None:
        """Closes the files; what is in them is built by the next run."""
        with self._lock:
            for group in list(self._open):
                self._shut(group)

    def _create(self, group: str) -> Segment:
        path = self._folder / f"{self._next:012d}-{group}.spool"
        self._next += 1
        segment = Segment(path, group, self._disk.create(path, 0o600))
        self._open[group] = segment
        return segment

    def _write(self, segment: Segment, frame: bytes) -> None:
        if segment.size:
            self._disk.append(segment.fd, frame)
        else:
            self._disk.append(segment.fd, frames.MAGIC + frame, self._folder)
            segment.size = len(frames.MAGIC)
        segment.chunks += frames.chunks(frame, segment.size)
        segment.size += len(frame)

    def _shut(self, group: str) -> None:
        segment = self._open.pop(group, None)
        if segment is not None:
            os.close(segment.fd)
            self._sealed.append(segment)


def read_chunk(path: Path, chunk: Chunk) -> Iterator[Record]:
    """The chunk's records, in the order in which they were put away.

    Raises StorageError when the bytes are not the ones that were written.
    """
    with _reading(path), path.open("rb") as file:
        file.seek(chunk.offset)
        stored = file.read(chunk.stored)
    try:
        for values, pages in frames.unpack(chunk, stored):
            yield _record(chunk.endpoint, values, pages)
    except ValueError as error:
        raise _damaged(path, chunk.offset) from error


def read_segment(path: Path) -> Iterator[Record]:
    """All records of a segment: endpoint after endpoint within each frame."""
    for chunk in scan(path).chunks:
        yield from read_chunk(path, chunk)


def scan(path: Path) -> Segment:
    """What is in a segment, checked byte by byte.

    A damaged frame with no sound one behind it is the torn end of a write that was
    never acknowledged: it is left out. Elsewhere it is a StorageError.
    """
    name = _NAME.fullmatch(path.name)
    segment = Segment(path, name[2] if name else path.stem, size=len(frames.MAGIC))
    with _content(path) as content:
        if content[: len(frames.MAGIC)] != frames.MAGIC:
            segment.size = 0
        for start, end in frames.frames(content) if segment.size else ():
            segment.chunks += frames.chunks(content[start:end], start)
            segment.size = end
        if frames.sound_frame_behind(content, segment.size):
            raise _damaged(path, segment.size)
    return segment


def _packed(records: Sequence[Record]) -> list[bytes]:
    by_endpoint: dict[str, list[frames.Packed]] = defaultdict(list)
    for record in records:
        by_endpoint[record.endpoint].append(
            (record.first, _values(record), record.pages)
        )
    return [frames.chunk(endpoint, its) for endpoint, its in by_endpoint.items()]


def _values(record: Record) -> tuple[object, ...]:
    return (
        record.appid,
        record.first,
        record.last,
        record.owned,
        record.outcome,
        record.fetched_at,
        record.run_id,
        record.attempts,
        record.code,
        record.rid,
        record.message,
        record.next_try_at,
    )


def _record(endpoint: str, values: list[Any], pages: tuple[bytes, ...]) -> Record:
    appid, first, last, owned, outcome, fetched_at, run_id, *rest = values
    attempts, code, rid, message, next_try_at = rest
    return Record(
        appid=appid,
        endpoint=endpoint,
        first=first,
        last=last,
        owned=tuple((start, end) for start, end in owned),
        outcome=outcome,
        fetched_at=fetched_at,
        run_id=run_id,
        attempts=attempts,
        code=code,
        rid=rid,
        message=message,
        next_try_at=next_try_at,
        pages=pages,
    )


def _paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


@contextmanager
def _content(path: Path) -> Iterator[frames.Segment]:
    """The file's bytes, mapped: a segment may be larger than the memory allowed."""
    with _reading(path), path.open("rb") as file:
        if path.stat().st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read ({error.strerror})", "check the disk"
        ) from error


def _damaged(path: Path, offset: int) -> StorageError:
    return StorageError(
        f"{path} is damaged at byte {offset}",
        "restore it from a backup, or move it away: its calls will then be made again",
    )
