"""What a verification found: pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from harvester import dates

EXAMPLES = 20
"""So many problems of a kind are told."""


class Kind(StrEnum):
    """What can be wrong; all but the last are damage."""

    MISSING = "missing"
    BYTES = "bytes"
    SHA256 = "sha256"
    UNREADABLE = "unreadable"
    ROWS = "rows"
    FOREIGN = "foreign"
    MISPLACED = "misplaced"
    DOUBLED = "doubled"
    LOST = "lost"
    UNKNOWN = "unknown"
    COUNT = "count"
    AMBIGUOUS = "ambiguous"

    @property
    def is_damage(self) -> bool:
        """Whether ledger and files disagree."""
        return self is not Kind.AMBIGUOUS


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    kind: Kind
    message: str
    """One line: where, and what was found instead of what."""

    endpoint: str
    place: str = ""
    """`account=wx…` or `bucket=b017`."""

    path: str = ""
    account: str = ""
    first: int = 0
    last: int = 0
    """The days, where they are known."""


@dataclass(slots=True)
class Report:
    """What was found."""

    most: int = EXAMPLES
    """Problems of a kind that are kept; the others are counted."""

    problems: dict[Kind, list[Problem]] = field(default_factory=dict)
    """The first of each kind."""

    affected: list[Problem] = field(default_factory=list)
    """Cells whose rows were in files that are damaged, where somebody asks for them."""

    counts: Counter[Kind] = field(default_factory=Counter)
    files: int = 0
    rows: int = 0
    cells: int = 0
    """Held ones."""

    def add(self, problem: Problem) -> None:
        """Counts it, and keeps it if it is one of the first of its kind."""
        self.counts[problem.kind] += 1
        kept = self.problems.setdefault(problem.kind, [])
        if len(kept) < self.most:
            kept.append(problem)

    def merge(self, other: "Report") -> None:
        """Takes what another part of the lake gave."""
        for kind, problems in other.problems.items():
            kept = self.problems.setdefault(kind, [])
            kept += problems[: self.most - len(kept)]
        self.affected += other.affected
        self.counts += other.counts
        self.files += other.files
        self.rows += other.rows
        self.cells += other.cells

    @property
    def damage_count(self) -> int:
        """How much damage there is, told or not."""
        return sum(self.counts[kind] for kind in Kind if kind.is_damage)

    @property
    def findings_count(self) -> int:
        """How many findings there are, told or not."""
        return self.counts.total() - self.damage_count

    @property
    def damage(self) -> list[Problem]:
        """The first of each kind, where ledger and files disagree."""
        return [one for kind, told, _ in self.told() if kind.is_damage for one in told]

    @property
    def findings(self) -> list[Problem]:
        """What a reader should know though ledger and files agree."""
        return [
            one for kind, told, _ in self.told() if not kind.is_damage for one in told
        ]

    def told(self) -> Iterator[tuple[Kind, list[Problem], int]]:
        """By kind: the examples, and how many more there are."""
        for kind in Kind:
            examples = self.problems.get(kind, [])[:EXAMPLES]
            if examples:
                yield kind, examples, self.counts[kind] - len(examples)


def shown(first: int, last: int) -> str:
    """`2024-12-07`, or `2024-12-07..2024-12-09`."""
    start = dates.text(first)
    return start if first == last else f"{start}..{dates.text(last)}"
