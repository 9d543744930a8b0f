"""One endpoint's files and rows against the ledger.

Some accounts or buckets at a time, so that memory holds a part of the lake. A run may
write meanwhile: what looks wrong is looked at again when the ledger has moved on.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Granularity
from harvester.errors import StorageError
from harvester.lake import layout
from harvester.lake.layout import Lake
from harvester.lake.verify import inspection
from harvester.lake.verify.comparison import Batch, Comparison
from harvester.lake.verify.inspection import File
from harvester.lake.verify.problems import EXAMPLES, Kind, Problem, Report
from harvester.lake.verify.snapshot import Selection, Snapshot, sequence, snapshot

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FILES, ENTRIES = 2_000, 500_000
"""About so many are compared at once: whole accounts or buckets."""

LOOKS = 3
"""At what looks wrong while a run writes."""

PAUSES, PAUSE = 20, 0.1
"""A commit's files land a moment (so many pauses of so many seconds) before it counts."""


@dataclass(slots=True)
class Tools:
    """What every examination needs."""

    root: Path
    lake: Lake
    connection: "DuckDBPyConnection"
    pool: ThreadPoolExecutor
    pause: Callable[[], None]
    most: int = EXAMPLES
    """Problems of a kind that are kept. Beyond the examples: the affected cells too."""

    patient: bool = True
    """Whether a run may still bring what is missing."""

    def moved(self, since: int) -> bool:
        """Whether the ledger has moved on, or does so in a moment."""
        if sequence(self.root) != since:
            return True
        for _ in range(PAUSES):
            if not (self.patient and self._at_work()):
                return False
            self.pause()
            if sequence(self.root) != since:
                return True
        self.patient = False
        return False

    def _at_work(self) -> bool:
        """Whether a run is at work, or died at it: its answers are in the spool."""
        try:
            return any((self.root / layout.SPOOL).iterdir())
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Examination:
    """One endpoint's."""

    tools: Tools
    endpoint_id: str
    endpoint: Endpoint | None
    selection: Selection

    def report(self) -> Report:
        """What was found of the endpoint."""
        report = Report(self.tools.most)
        now = self._snapshot(self.selection)
        for path in now.odd:
            message = f"{path}: the ledger has it, and it is no data file's path"
            report.add(
                Problem(
                    kind=Kind.MISPLACED,
                    message=message,
                    endpoint=self.endpoint_id,
                    path=path,
                )
            )
        for places in _batches(now):
            report.merge(self._settled(now, places))
        for path in self._strays(now):
            report.add(foreign(path, self.endpoint_id))
        return report

    def _snapshot(self, selection: Selection) -> Snapshot:
        granularity = self.endpoint.granularity if self.endpoint else Granularity.DAY
        return snapshot(
            self.tools.root,
            self.tools.lake.layout,
            self.endpoint_id,
            granularity,
            selection,
        )

    def _settled(self, now: Snapshot, places: frozenset[str]) -> Report:
        """What is wrong with these places even when a run has finished with them."""
        found = self._look(now.of(places))
        for _ in range(LOOKS - 1):
            if not found.damage or not self.tools.moved(now.sequence):
                break
            now = self._snapshot(replace(self.selection, places=places))
            found = self._look(now)
        return found

    def _look(self, now: Snapshot) -> Report:
        """Every file by itself, then the rows of the sound ones together."""
        report = Report(self.tools.most, files=len(now.files))
        sound: list[File] = []
        broken: list[File] = []
        check = partial(inspection.check, self.tools.root)
        for file, wrong in zip(
            now.files, self.tools.pool.map(check, now.files), strict=True
        ):
            (broken if wrong else sound).append(file)
            if wrong:
                report.add(self._of_file(file, *wrong))
        report.rows = sum(file.rows for file in sound)
        report.merge(self._compared(Batch(sound, broken, now.entries)))
        return report

    def _compared(self, batch: Batch) -> Report:
        import duckdb

        report = Report(self.tools.most)
        comparison = self._comparison()
        try:
            for problem in comparison.problems(batch):
                report.add(problem)
            report.cells = comparison.held()
            if self.tools.most > EXAMPLES:
                report.affected += comparison.affected()
        except duckdb.Error as error:
            bad = [file for file in batch.files if not comparison.readable(file)]
            if not bad:
                raise StorageError(
                    str(error).partition("\n")[0], "try again"
                ) from error
            rest = [file for file in batch.files if file not in bad]
            report = self._compared(Batch(rest, [*batch.broken, *bad], batch.entries))
            for file in bad:
                report.add(
                    self._of_file(file, Kind.UNREADABLE, "DuckDB cannot read it")
                )
        return report

    def _comparison(self) -> Comparison:
        return Comparison(
            connection=self.tools.connection,
            root=str(self.tools.root),
            layout=self.tools.lake.layout,
            endpoint_id=self.endpoint_id,
            endpoint=self.endpoint,
            selection=self.selection,
        )

    def _of_file(self, file: File, kind: Kind, message: str) -> Problem:
        return Problem(
            kind=kind,
            message=f"{file.path}: {message}",
            endpoint=self.endpoint_id,
            place=file.place,
            path=file.path,
        )

    def _strays(self, now: Snapshot) -> list[str]:
        """What lies in the endpoint's folder and is not in the ledger."""
        strays = self._unknown(now)
        if strays and self.tools.moved(now.sequence):
            later = self._unknown(self._snapshot(self.selection))
            strays = [path for path in strays if path in later]
        return strays

    def _unknown(self, now: Snapshot) -> list[str]:
        known = {file.path for file in now.files}
        folder = f"{layout.DATA}/endpoint={self.endpoint_id}"
        return sorted(
            path
            for path in inspection.lying(self.tools.root, folder)
            if path not in known and self._selected(path)
        )

    def _selected(self, path: str) -> bool:
        where = inspection.at(path)
        return where is None or self.selection.takes(*where)


def foreign(path: str, endpoint_id: str) -> Problem:
    """A file that nobody knows. It may be anybody's: it is never removed."""
    message = f"{path}: is not in the ledger"
    return Problem(kind=Kind.FOREIGN, message=message, endpoint=endpoint_id, path=path)


def _batches(now: Snapshot) -> Iterator[frozenset[str]]:
    """The accounts or buckets, as many at once as fit."""
    files, entries = now.weights()
    batch: set[str] = set()
    weight = 0.0
    for place in sorted(files.keys() | entries.keys()):
        batch.add(place)
        weight += files[place] / FILES + entries[place] / ENTRIES
        if weight >= 1:
            yield frozenset(batch)
            batch, weight = set(), 0.0
    if batch:
        yield frozenset(batch)
