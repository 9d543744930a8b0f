"""How far the lake is: what is held, what is missing, and who is behind."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from harvester import dates, plan, settling
from harvester.accounts import Account
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days
from harvester.plan import Known, Outcome
from harvester.survey import Survey

WORST = 10

ANSWERED = frozenset({Outcome.HELD, Outcome.EMPTY})


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is known of one account's endpoint, over the wanted days."""

    account: Account
    endpoint: Endpoint
    wanted: Days
    due: Days
    days: dict[str, Days]
    """Outcome, or `missing`, and its days."""

    @property
    def behind(self) -> Days:
        """The due days that are neither held nor known to be empty."""
        return dates.subtract(self.due, self.answered)

    @property
    def answered(self) -> Days:
        """The days that are held or known to be empty."""
        return dates.of(
            day for outcome in ANSWERED for day in self.days.get(outcome, ())
        )

    @property
    def complete_until(self) -> int | None:
        """The last wanted day before the first one that is behind."""
        behind = self.behind
        if not self.wanted or (behind and behind[0][0] == self.wanted[0][0]):
            return None
        return behind[0][0] - 1 if behind else self.wanted[-1][1]


@dataclass(slots=True)
class Line:
    """One endpoint over all accounts."""

    cells: Counter[str] = field(default_factory=Counter)
    complete_until: int | None = None
    accounts: int = 0
    behind: int = 0
    _never: bool = False

    def add(self, stretch: Stretch) -> None:
        """Counts one account's stretch."""
        if not stretch.wanted:
            return
        self.accounts += 1
        self.behind += bool(stretch.behind)
        for outcome, days in stretch.days.items():
            self.cells[outcome] += dates.size(days)
        if not stretch.due:
            return
        until = stretch.complete_until
        if until is None or self._never:
            self._never, self.complete_until = True, None
        elif self.complete_until is None or until < self.complete_until:
            self.complete_until = until


@dataclass(slots=True)
class Coverage:
    """The whole lake against what is wanted."""

    lines: dict[str, Line] = field(default_factory=dict)
    worst: list[tuple[int, str]] = field(default_factory=list)
    """Cells behind and appid, of the accounts with the most."""

    accounts: int = 0
    accounts_behind: int = 0
    pending: int = 0
    """Cells that wait for WeChat, of the phase that the survey wants."""

    def add(self, survey: Survey, account: Account, stretches: list[Stretch]) -> None:
        """Counts one account."""
        self.accounts += 1
        for stretch in stretches:
            waiting = dates.intersect(
                stretch.days.get(Outcome.PENDING, ()), stretch.due
            )
            self.pending += dates.size(plan.chosen_days(waiting, survey.policy))
        cells = sum(dates.size(stretch.behind) for stretch in stretches)
        for stretch in stretches:
            self.lines.setdefault(stretch.endpoint.id, Line()).add(stretch)
        if not cells:
            return
        self.accounts_behind += 1
        heapq.heappush(self.worst, (cells, account.appid))
        if len(self.worst) > WORST:
            heapq.heappop(self.worst)


def coverage(survey: Survey) -> Coverage:
    """Adds up every account of the survey."""
    total = Coverage()
    for account in survey.accounts:
        total.add(survey, account, list(stretches(survey, account)))
    total.worst.sort(reverse=True)
    return total


def stretches(survey: Survey, account: Account) -> Iterator[Stretch]:
    """What is known of each endpoint of one account."""
    known = survey.known(account)
    for endpoint in survey.endpoints_of(account):
        entries = known.get(endpoint.id, [])
        wanted = survey.wanted(account, endpoint)
        due = settling.due(entries, wanted)
        yield Stretch(account, endpoint, wanted, due, _by_outcome(entries, wanted))


def _by_outcome(known: list[Known], wanted: Days) -> dict[str, Days]:
    ranges: dict[str, list[tuple[int, int]]] = {}
    for entry in known:
        ranges.setdefault(entry.outcome, []).append((entry.first, entry.last))
    days = {
        outcome: dates.intersect(dates.of(found), wanted)
        for outcome, found in ranges.items()
    }
    every = dates.of(day for found in days.values() for day in found)
    return {**days, "missing": dates.subtract(wanted, every)}


def listed(survey: Survey, by: str, *, missing: bool) -> Iterator[dict[str, str | int]]:
    """One line an account, or one line a stretch of cells with one outcome."""
    for account in survey.accounts:
        found = list(stretches(survey, account))
        yield from (
            _account_lines(account, found, missing=missing)
            if by == "account"
            else _cell_lines(found, missing=missing)
        )


def _account_lines(
    account: Account, found: list[Stretch], *, missing: bool
) -> Iterator[dict[str, str | int]]:
    cells: Counter[str] = Counter()
    for stretch in found:
        for outcome, days in stretch.days.items():
            cells[outcome] += dates.size(days)
    behind = sum(dates.size(stretch.behind) for stretch in found)
    if behind or not missing:
        counts = {str(outcome): cells[outcome] for outcome in (*Outcome, "missing")}
        yield {
            "account": account.appid,
            "name": account.name,
            **counts,
            "behind": behind,
        }


def _cell_lines(
    found: list[Stretch], *, missing: bool
) -> Iterator[dict[str, str | int]]:
    for stretch in found:
        for outcome, days in stretch.days.items():
            if missing and outcome in ANSWERED:
                continue
            for first, last in days:
                yield {
                    "account": stretch.account.appid,
                    "endpoint": stretch.endpoint.id,
                    "outcome": str(outcome),
                    "first_date": dates.text(first),
                    "last_date": dates.text(last),
                }
