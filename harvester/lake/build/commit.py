"""One commit in the making: pure, but for the staged files it names."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harvester.lake.build import findings
from harvester.lake.build.builder import Built, Failure
from harvester.lake.build.findings import Finding
from harvester.lake.build.revise import Cell, Change
from harvester.lake.durable import Move
from harvester.lake.ledger.ledger import DataFile, Entry

FILES = 256
"""The most files of a commit: syncing more of them together is no cheaper."""

BYTES = 64 * 1024 * 1024

Place = tuple[Finding, int]
"""A finding, and one of its days."""


@dataclass(slots=True)
class Commit:
    """Staged files, and the cells that are in the ledger once these have landed."""

    moves: list[Move] = field(default_factory=list)
    files: list[DataFile] = field(default_factory=list)
    cells: list[Place] = field(default_factory=list)
    """Cells of answers."""

    refusals: list[Finding] = field(default_factory=list)
    """Refusals, and answers that could not be taken."""

    changes: dict[Cell, Change] = field(default_factory=dict)
    """What was found of cells that had rows before."""

    bytes: int = 0
    """The size of its data files."""

    def add(self, staged: Path, file: DataFile) -> None:
        """Takes a data file."""
        self.moves.append((staged, file.path))
        self.files.append(file)
        self.bytes += file.bytes

    @property
    def full(self) -> bool:
        """Whether it is time to commit."""
        return len(self.moves) >= FILES or self.bytes >= BYTES

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self.cells and not self.refusals

    def entries(self, version: str) -> Iterator[tuple[Finding, Entry]]:
        """What the ledger says. Later records come later: theirs counts."""
        days: dict[int, list[int]] = defaultdict(list)
        found = {finding.position: finding for finding in self.refusals}
        for finding, day in self.cells:
            found[finding.position] = finding
            days[finding.position].append(day)
        for position, finding in sorted(found.items()):
            if position in days:
                its_days = sorted(days[position])
                said = findings.entries(finding, its_days, self.changes, version)
            else:
                said = findings.refusals(finding, version)
            yield from ((finding, entry) for entry in said)

    def built(
        self, endpoint_id: str, entries: Sequence[tuple[Finding, Entry]]
    ) -> Built:
        """What it comes to, once it is done; refusals do not count."""
        rows = sum(findings.rows(finding, day) for finding, day in self.cells)
        return Built(
            rows=rows,
            files=len(self.files),
            bytes=self.bytes,
            cells=_cells(endpoint_id, entries),
            rows_by_endpoint=Counter({endpoint_id: rows}),
            failures=tuple(_failures(self.refusals)),
            shrunk=sum(
                findings.rows(finding, day) < self._before(finding, day)
                for finding, day in self.cells
            ),
        )

    def _before(self, finding: Finding, day: int) -> int:
        change = self.changes.get((finding.record.appid, day))
        return change.before if change else 0


def _cells(
    endpoint_id: str, entries: Sequence[tuple[Finding, Entry]]
) -> Counter[tuple[str, str]]:
    cells: Counter[tuple[str, str]] = Counter()
    for finding, entry in entries:
        if finding.answer:
            cells[endpoint_id, entry.outcome] += entry.last_date - entry.first_date + 1
    return cells


def _failures(refusals: Sequence[Finding]) -> Iterator[Failure]:
    for finding in refusals:
        if finding.answer:
            record = finding.record
            yield Failure(
                code=record.code,
                message=record.message,
                appid=record.appid,
                endpoint=record.endpoint,
                first=record.first,
                last=record.last,
                rid=record.rid,
            )
