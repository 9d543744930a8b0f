"""A lost ledger, made again from the data files; or the files added that it lacks.

What they hold is held; what was empty or refused is not known any more, so that it is
asked again. When a cell was fetched is not known either: the first day after its period
is assumed, so that cells that moved on after it are asked again.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harvester import dates
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import EPOCH, Granularity
from harvester.errors import StorageError, UsageError
from harvester.lake import layout
from harvester.lake.durable import Disk
from harvester.lake.ledger import segments
from harvester.lake.ledger.ledger import (
    CELLS,
    FILES,
    DataFile,
    Entry,
    Ledger,
    first_segments,
)
from harvester.lake.lock import Lock
from harvester.lake.verify import inspection
from harvester.plan import Outcome

RECORDS = 50_000
"""About so many are committed at once."""

TABLES = ((layout.CELLS, CELLS), (layout.FILES, FILES))

Show = Callable[[str, int, int], None]
Cells = Counter[tuple[str, int]]
"""Rows by account and day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Who makes entries, and by which catalogue."""

    run_id: str
    endpoints: Mapping[str, Endpoint]
    version: str


@dataclass(slots=True)
class Rebuilt:
    """What the new ledger knows."""

    files: int = 0
    rows: int = 0
    cells: int = 0
    set_aside: list[str] = field(default_factory=list)
    """Where files went that could not be read."""


def rebuild(root: Path, maker: Maker, *, show: Show = lambda *_: None) -> Rebuilt:
    """Makes the ledger of the lake at this path know every data file.

    Raises UsageError where there is no lake, or nothing that the ledger lacks,
    LockedError, and StorageError; what was begun then is finished by the next call.
    """
    if layout.read(root) is None:
        raise UsageError(f"{root} is no lake", f"restore its {layout.LAKE_JSON} first")
    lock = Lock.take(root, maker.run_id)
    try:
        done = _Rebuilding(Disk(root), maker, show).run()
    finally:
        lock.release()
    if not done.files and not done.set_aside:
        raise UsageError(
            "the ledger knows every data file", "there is nothing to rebuild"
        )
    return done


class _Rebuilding:
    """One rebuild, under the lake's lock."""

    def __init__(self, disk: Disk, maker: Maker, show: Show) -> None:
        self._disk = disk
        self._root = disk.root
        self._maker = maker
        self._show = show
        self._done = Rebuilt()
        self._entries: list[Entry] = []
        self._files: list[DataFile] = []

    def run(self) -> Rebuilt:
        self._disk.make_folder(f"{layout.REJECTED}/{self._maker.run_id}", 0o700)
        for place, _ in TABLES:
            self._disk.make_folder(place)
        self._disk.make_folder(layout.TMP, 0o700)
        if _is_lost(self._root):
            self._set_aside(_segments(self._root))
        first_segments(self._disk)
        ledger = Ledger.load(self._root)
        groups = _unknown(ledger)
        for number, (endpoint_id, paths) in enumerate(groups):
            self._show(endpoint_id, number, len(groups))
            self._take(endpoint_id, paths)
            if len(self._entries) + len(self._files) >= RECORDS:
                self._commit(ledger)
        self._commit(ledger)
        return self._done

    def _take(self, endpoint_id: str, paths: Iterable[str]) -> None:
        """The files of one endpoint's account or bucket."""
        cells: Cells = Counter()
        for path in paths:
            data = (self._root / path).read_bytes()
            try:
                found = _cells(data, path)
            except (OSError, pa.ArrowException, KeyError, TypeError):
                self._refuse(path)
                continue
            cells.update(found)
            self._files.append(
                DataFile(
                    path=path,
                    endpoint=endpoint_id,
                    rows=found.total(),
                    bytes=len(data),
                    sha256=hashlib.sha256(data).hexdigest(),
                    run_id=self._maker.run_id,
                )
            )
        self._entries += self._held(endpoint_id, cells)

    def _held(self, endpoint_id: str, cells: Cells) -> Iterator[Entry]:
        endpoint = self._maker.endpoints.get(endpoint_id)
        granularity = endpoint.granularity if endpoint else Granularity.DAY
        moves = endpoint is not None and endpoint.settle_days > 1
        for account, days in _runs(cells, granularity, alone=moves):
            self._done.cells += len(days)
            yield Entry(
                endpoint=endpoint_id,
                account=account,
                first_date=days[0],
                last_date=days[-1],
                outcome=Outcome.HELD.value,
                rows=sum(cells[account, day] for day in days),
                fetched_at=_end_of(dates.period_end(granularity, days[-1]) + 1),
                run_id=self._maker.run_id,
                message="made again from the data",
                catalogue_version=self._maker.version,
            )

    def _commit(self, ledger: Ledger) -> None:
        if self._files:
            ledger.commit(self._disk, self._entries, self._files)
        self._done.files += len(self._files)
        self._done.rows += sum(file.rows for file in self._files)
        self._entries, self._files = [], []

    def _refuse(self, path: str) -> None:
        """Nobody can read the file: its cells are asked again."""
        self._done.set_aside += self._set_aside([path])

    def _set_aside(self, places: Iterable[str]) -> list[str]:
        """Moves files to where no reader looks; returns their new places."""
        folder = f"{layout.REJECTED}/{self._maker.run_id}"
        moves = [
            (self._root / place, f"{folder}/{place.replace('/', '~')}")
            for place in places
        ]
        self._disk.move(moves)
        return [place for _, place in moves]


def _is_lost(root: Path) -> bool:
    """Whether a table of the ledger is empty or cannot be read."""
    try:
        layout.check_ledger(root)
        for place, schema in TABLES:
            segments.read(
                root / place, schema, schema.names, lambda table: table.slice(0, 0)
            )
    except (UsageError, StorageError):
        return True
    return False


def _segments(root: Path) -> list[str]:
    return [
        f"{place}/{segments.name(number)}"
        for place, _ in TABLES
        for number in segments.numbers(root / place)
    ]


def _unknown(ledger: Ledger) -> list[tuple[str, list[str]]]:
    """The data files that the ledger lacks: by endpoint, and account or bucket."""
    known = set(ledger.files().column("path").to_pylist())
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sorted(inspection.lying(ledger.root, layout.DATA)):
        where = inspection.at(path)
        if where and path not in known:
            endpoint_id = path.split("/")[1].removeprefix("endpoint=")
            groups[endpoint_id, where[0]].append(path)
    return [(endpoint_id, paths) for (endpoint_id, _), paths in groups.items()]


def _cells(data: bytes, path: str) -> Cells:
    """How many rows each cell has. Raises ArrowException, KeyError, OSError."""
    with pa.BufferReader(data) as reader:
        parquet = pq.ParquetFile(reader, page_checksum_verification=True)
        names = {"account", "ref_date"}.intersection(parquet.schema_arrow.names)
        table = parquet.read(sorted(names))
    days = table.column("ref_date").cast(pa.int32()).to_pylist()
    if "account" in names:
        accounts = table.column("account").to_pylist()
    else:
        accounts = [path.split("/")[2].removeprefix("account=")] * len(days)
    return Counter(
        (account, day + EPOCH) for account, day in zip(accounts, days, strict=True)
    )


def _runs(
    cells: Cells, granularity: Granularity, *, alone: bool
) -> Iterator[tuple[str, list[int]]]:
    """Each account's days, those together that follow one another; or each `alone`."""
    run: list[int] = []
    who = ""
    for account, day in sorted(cells):
        if run and (alone or account != who or not _follows(granularity, run[-1], day)):
            yield who, run
            run = []
        who = account
        run.append(day)
    if run:
        yield who, run


def _follows(granularity: Granularity, label: int, later: int) -> bool:
    return dates.labels(granularity, label + 1, later) == ((later, later),)


def _end_of(day: int) -> int:
    """The last microsecond of the day in China, since the epoch."""
    midnight = datetime.combine(date.fromordinal(day + 1), time(), dates.CHINA)
    return int(midnight.timestamp()) * 1_000_000 - 1
