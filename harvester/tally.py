"""What a run did, added up as it happens; nothing here grows with the plan's length."""

from collections import Counter
from dataclasses import dataclass, field

from harvester import dates
from harvester.api.codes import Decision, Refusal, Scope
from harvester.dates import Days
from harvester.lake.build.builder import Built
from harvester.lake.build.builder import Failure as Rejected
from harvester.plan import Call, Outcome

EXAMPLES = 20

LOOK = (
    "look at its bytes in the lake's rejected/ folder; the catalogue may be out of date"
)

OUT_OF_REACH = frozenset({"dns", "unreachable", "tls", "timeout", "reset"})
"""Codes of calls that no answer came to: the network's, or WeChat's as a whole."""

GOOD = frozenset({Outcome.HELD, Outcome.EMPTY})
"""What every due cell is after a run that went well."""

BAD = frozenset({Outcome.FAILED, Outcome.DENIED, Outcome.RETIRED, Outcome.UNAVAILABLE})


@dataclass(slots=True)
class Failure:
    """One reason, with all the cells that it kept away, and the first who met it."""

    code: str
    decision: str
    message: str
    what_to_do: str
    count: int = 0
    examples: list[dict[str, str]] = field(default_factory=list)

    def meet(self, cells: int, example: dict[str, str]) -> None:
        """Counts cells, and keeps the first examples."""
        self.count += cells
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


def example(
    appid: str, endpoint: str, days: tuple[int, int], rid: str
) -> dict[str, str]:
    """Who met a failure, in the words of the summary."""
    return {
        "account": appid,
        "endpoint": endpoint,
        "first_date": dates.text(days[0]),
        "last_date": dates.text(days[1]),
        "rid": rid,
    }


@dataclass(slots=True)
class Tally:
    """The figures of one run. Only the run itself adds to them."""

    cells: Counter[str] = field(default_factory=Counter)
    due: Counter[str] = field(default_factory=Counter)
    """The same, without cells known before the run to be out of reach."""

    calls_by_endpoint: Counter[str] = field(default_factory=Counter)
    rows_by_endpoint: Counter[str] = field(default_factory=Counter)
    cells_by_endpoint: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: int = 0
    files: int = 0
    bytes: int = 0
    dropped: int = 0
    collapsed: int = 0
    shrunk: int = 0
    unknown_fields: set[str] = field(default_factory=set)
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    """Accounts that answered at least one call."""

    troubled: set[str] = field(default_factory=set)
    """Accounts with a due cell that is neither held nor empty."""

    refused_accounts: set[str] = field(default_factory=set)
    """Accounts of which nothing can be had at all."""

    unreached: int = 0
    """Due cells lost to the network since the last answer of anybody."""

    def answer(self, call: Call, attempts: int) -> None:
        """Counts an answer; its cells are counted when they are built."""
        self.calls_by_endpoint[call.endpoint.id] += attempts
        self.answered.add(call.appid)
        self.unreached = 0

    def refuse(
        self, call: Call, refusal: Refusal, outcome: Outcome | None, excused: Days
    ) -> None:
        """Counts a refusal; `excused` days were known to be out of reach before."""
        away = refusal.code in OUT_OF_REACH
        cells = dates.size(call.owned)
        key = (refusal.code, str(refusal.decision))
        failure = self.failures.get(key)
        if failure is None:
            failure = self.failures[key] = Failure(*key, refusal.message, refusal.todo)
        days = (call.first, call.last)
        failure.meet(cells, example(call.appid, call.endpoint.id, days, refusal.rid))
        self.calls_by_endpoint[call.endpoint.id] += refusal.attempts
        due = dates.size(dates.subtract(call.owned, excused))
        self._count(call.endpoint.id, outcome or Outcome.PENDING, cells, due)
        if due and outcome not in GOOD:
            self.troubled.add(call.appid)
        if refusal.scope is Scope.ACCOUNT and outcome in BAD and not away:
            self.refused_accounts.add(call.appid)
        if away:
            self.unreached += due
        else:
            self.unreached = 0

    def take_over(self, built: Built) -> None:
        """Counts what a dead run had fetched; how its cells fared, the ledger says."""
        self.rows += built.rows
        self.files += built.files
        self.bytes += built.bytes
        self.rows_by_endpoint.update(built.rows_by_endpoint)

    def build(self, built: Built) -> None:
        """Counts what has become of answers."""
        self.take_over(built)
        self.dropped += built.dropped
        self.collapsed += built.collapsed
        self.shrunk += built.shrunk
        self.unknown_fields |= set(built.extra)
        for (endpoint, outcome), cells in built.cells.items():
            self._count(endpoint, outcome, cells, cells)
        for failure in built.failures:
            self._reject(failure)

    def _reject(self, rejected: Rejected) -> None:
        """Notes an answer whose bytes were kept because they could not be taken."""
        key = (rejected.code, str(Decision.FAIL))
        failure = self.failures.get(key)
        if failure is None:
            failure = self.failures[key] = Failure(*key, rejected.message, LOOK)
        days = (rejected.first, rejected.last)
        met = example(rejected.appid, rejected.endpoint, days, rejected.rid)
        failure.meet(days[1] - days[0] + 1, met)
        self.troubled.add(rejected.appid)

    def _count(self, endpoint: str, outcome: str, cells: int, due: int) -> None:
        self.cells[outcome] += cells
        self.due[outcome] += due
        self.cells_by_endpoint[endpoint, outcome] += cells
