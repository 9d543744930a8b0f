"""Broken cells, marked so that the next run asks them again.

A damaged file is moved to `rejected/` once all of its cells can be asked again: until
then the rows in it may be all that is left of them, and it stays where it is.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harvester.catalogue.endpoint import Endpoint
from harvester.errors import UsageError
from harvester.lake import layout
from harvester.lake.durable import Disk
from harvester.lake.ledger.ledger import EVERYONE, DataFile, Entry, Ledger
from harvester.lake.lock import Lock
from harvester.lake.verify import inspection
from harvester.lake.verify.problems import Kind, Problem, Report
from harvester.lake.verify.snapshot import Selection
from harvester.lake.verify.verification import Show, verify
from harvester.plan import Outcome
from harvester.settling import standing_refusal

MOST = 10_000_000
"""Problems of a kind: all of them."""

FILES = (Kind.MISSING, Kind.BYTES, Kind.SHA256, Kind.UNREADABLE, Kind.ROWS)
CELLS = (Kind.DOUBLED, Kind.LOST, Kind.UNKNOWN, Kind.COUNT)

DAMAGED = "damaged"
"""The code of the entries."""


@dataclass(slots=True)
class Refetched:
    """What was done about it."""

    cells: int = 0
    """Days of an account's endpoint that the next run asks again."""

    kept: int = 0
    """Those that WeChat no longer serves: nothing was done to them."""

    set_aside: list[str] = field(default_factory=list)
    """Where the damaged files went."""


def refetch(
    root: Path,
    known: Mapping[str, Endpoint],
    selection: Selection,
    run_id: str,
    *,
    show: Show = lambda *_: None,
) -> tuple[Report, Refetched]:
    """Verifies what is selected, and marks what is broken.

    Raises UsageError where there is no lake or part of its files' rows is selected,
    LockedError, and StorageError.
    """
    if selection != Selection(endpoints=selection.endpoints):
        raise UsageError(
            "a repair is of whole files", "leave out --account, --since and --until"
        )
    if layout.read(root) is None:
        raise UsageError(f"{root} is no lake", "`harvester run` makes one")
    lock = Lock.take(root, run_id)
    try:
        report = verify(
            root, known, selection, show=show, pause=lambda: None, most=MOST
        )
        return report, _Marking(root, known, run_id).run(report)
    finally:
        lock.release()


class _Marking:
    """Marks what a report found, under the lake's lock."""

    def __init__(self, root: Path, known: Mapping[str, Endpoint], run_id: str) -> None:
        self._disk = Disk(root)
        self._known = known
        self._ledger = Ledger.load(root)
        self._run_id = run_id
        self._now = time.time_ns() // 1000
        self._done = Refetched()
        self._entries: list[Entry] = []
        self._removed: list[DataFile] = []

    def run(self, report: Report) -> Refetched:
        for problem in _of(report, CELLS):
            self._mark([problem])
        affected: dict[tuple[str, str], list[Problem]] = defaultdict(list)
        for one in report.affected:
            affected[one.endpoint, one.place].append(one)
        for problem in _of(report, FILES):
            there = affected[problem.endpoint, problem.place]
            self._give_up(problem, list(_inside(problem.path, there)))
        if self._entries or self._removed:
            self._disk.make_folder(layout.TMP, 0o700)
            self._ledger.commit(self._disk, self._entries, self._removed)
        return self._done

    def _mark(self, cells: Iterable[Problem]) -> bool:
        """Marks the cells; says no, and marks none, when one is not served any more."""
        chosen = list(cells)
        if not all(self._served(one) for one in chosen):
            self._done.kept += sum(map(_size, chosen))
            return False
        self._done.cells += sum(map(_size, chosen))
        self._entries += map(self._entry, chosen)
        return True

    def _give_up(self, problem: Problem, cells: list[Problem]) -> None:
        """Takes the file out of the lake and marks its cells, or does neither."""
        if not self._mark(cells):
            return
        if problem.kind is not Kind.MISSING:
            folder = f"{layout.REJECTED}/{self._run_id}"
            self._disk.make_folder(folder, 0o700)
            place = f"{folder}/{problem.path.replace('/', '~')}"
            self._disk.move([(self._disk.root / problem.path, place)])
            self._done.set_aside.append(place)
        self._removed.append(
            DataFile(
                path=problem.path,
                endpoint=problem.endpoint,
                rows=0,
                bytes=0,
                sha256="",
                run_id=self._run_id,
                removed=True,
            )
        )

    def _served(self, cells: Problem) -> bool:
        """Whether a run would ask, and WeChat has not said that it no longer answers."""
        if cells.endpoint not in self._known:
            return False
        own = self._ledger.known(cells.account).get(cells.endpoint, [])
        everyone = self._ledger.known(EVERYONE).get(cells.endpoint, [])
        return standing_refusal([*own, *everyone]) is None

    def _entry(self, cells: Problem) -> Entry:
        return Entry(
            endpoint=cells.endpoint,
            account=cells.account,
            first_date=cells.first,
            last_date=cells.last,
            outcome=Outcome.FAILED.value,
            fetched_at=self._now,
            run_id=self._run_id,
            attempts=0,
            code=DAMAGED,
            message=cells.message,
        )


def _of(report: Report, kinds: Iterable[Kind]) -> Iterator[Problem]:
    for kind in kinds:
        yield from report.problems.get(kind, ())


def _inside(path: str, affected: Iterable[Problem]) -> Iterator[Problem]:
    """The cells of its account or bucket that were in this file, cut to its days."""
    where = inspection.at(path)
    assert where is not None  # noqa: S101 -- problems of files have a file's path
    _, first, last = where
    for one in affected:
        if one.first <= last and one.last >= first:
            yield replace(one, first=max(first, one.first), last=min(last, one.last))


def _size(cells: Problem) -> int:
    return cells.last - cells.first + 1
