"""The oracle: what a lake, a ledger, an exit code and a count of calls must be.

Complaints are texts; none means that all promises were kept. Of rows it says, in the
words of Jepsen's checkers: lost, unexpected, duplicated, stale.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from torture_lake import MOVING, Cell, Known, Lake, Rows, key, resolved, truth
from torture_plan import HARMLESS, Plan

from harvester.sandbox.clock import last_ready, period
from harvester.sandbox.endpoints import ENDPOINTS
from harvester.sandbox.tally import Entry
from harvester.sandbox.world import World

GOOD = frozenset({"held", "empty"})
NOT_DUE = frozenset({"denied", "retired", "unavailable"})
BAD = NOT_DUE | {"failed"}
REFUSED = frozenset({"denied", "retired"})

ACCOUNT_WIDE = {
    *("revoked", "frozen", "forbidden", "punished", "rejected-token"),
    *("wrong-secret", "bad-refresh-token", "token-quota", "minute-quota"),
    *("bad-own-ip", "40001", "42001", "61023", "without-refresh-token"),
}
EXPLAINS: dict[str, frozenset[str]] = {
    "denied": frozenset({"denied", "denied-set", *ACCOUNT_WIDE}),
    "retired": frozenset({"retired"}),
    "unavailable": frozenset({"unavailable", "narrow"}),
    "pending": frozenset(
        {"quota", "45009", "not-ready", "delayed", "minute-quota", "token-quota"}
    ),
}
"""By what the ledger says: what the sandbox must have answered, to be believed."""

STOPS = frozenset({"bad-ip", "bad-ticket", "expired-ticket", "skewed-date", "61006"})
"""Answers that only the operator can do something about: exit code 4."""

TOO_WIDE = frozenset({"narrow", "unavailable", "61501"})

NETWORK = frozenset(
    {
        *("busy", "string-code", "http-500", "http-502", "http-503", "http-429"),
        *("reset", "truncated", "hang-up", "junk", "html", "empty-body", "cut"),
        *("array", "deep", "nan", "duplicate-keys", "bad-utf8", "lone-surrogate"),
        *("silent", "dribble", "closing", "late", "slow"),
    }
)
"""Troubles that, when nobody answers, are an outage: exit code 5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run of the program, and what the sandbox saw of it."""

    run_id: str
    now: datetime
    code: int
    """As a shell tells it: 137 for one that was killed."""

    end: str
    """How it was to be ended; nothing: not at all."""

    struck: bool
    """Whether it came to that."""

    log: Sequence[Entry]
    refresh: bool = False
    until: date | None = None

    @property
    def statistics(self) -> list[Entry]:
        """The calls that count."""
        return [entry for entry in self.log if entry.place.name in ENDPOINTS]

    @property
    def killed(self) -> bool:
        """Whether it was left no time to put anything away."""
        return self.struck and self.end in ("kill", "twice", "cramped")


def due(plan: Plan, now: datetime, until: date | None = None) -> list[Cell]:
    """All cells that are wanted and ready."""
    ready = last_ready(now)
    last = min(ready, until.toordinal()) if until else ready
    cells: list[Cell] = []
    for endpoint in plan.endpoints:
        known = ENDPOINTS[endpoint]
        first = max(plan.since.toordinal(), known.earliest)
        for day in range(first, last + 1):
            days = period(known.label, day)
            if days and days[-1] <= ready:
                label = date.fromordinal(day)
                cells += [(endpoint, account, label) for account in plan.accounts]
    return cells


def of_files(lake: Lake) -> Iterator[str]:
    """The data files against the ledger's."""
    known = lake.files()
    for path in sorted(known.keys() - lake.sums.keys()):
        yield f"file lost: {path}"
    for path in sorted(lake.sums.keys() - known.keys()):
        yield f"file unknown to the ledger: {path}"
    for path in sorted(lake.sums.keys() & known.keys()):
        if lake.sums[path] != known[path]["sha256"]:
            yield f"file changed: {path}"
        elif lake.counts.get(path) != known[path]["rows"]:
            yield f"rows of file: {path} has {lake.counts.get(path)}"


def of_leftovers(lake: Lake) -> Iterator[str]:
    """What a clean end leaves behind: nothing."""
    for folder in ("tmp", "spool"):
        for path in sorted(lake.root.glob(f"{folder}/**/*")):
            yield f"left behind: {path.relative_to(lake.root)}"


def of_ledger(lake: Lake) -> Iterator[str]:
    """Held exactly where rows are, and as many as it says."""
    entries = lake.ledger()
    known = resolved(entries)
    ever = {
        cell
        for entry in entries
        if entry["outcome"] in ("held", "pending")
        for cell in resolved([entry])
    }
    for cell, said in known.items():
        rows = lake.rows.get(cell, Counter()).total()
        if said.outcome == "held" and not rows:
            yield f"lie: {_name(cell)} is held and has no rows"
        if said.outcome == "empty" and rows:
            yield f"lie: {_name(cell)} is empty and has {rows} rows"
    for cell in lake.rows.keys() - ever:
        yield f"unexpected: {_name(cell)} has rows that the ledger never held"
    yield from _sums(lake, entries, known)


def _sums(
    lake: Lake, entries: Sequence[Mapping[str, object]], known: Mapping[Cell, Known]
) -> Iterator[str]:
    for entry in entries:
        cells = resolved([dict(entry)])
        if entry["outcome"] != "held" or any(
            known[cell].fetched_at != said.fetched_at or known[cell].outcome != "held"
            for cell, said in cells.items()
        ):
            continue
        rows = sum(lake.rows.get(cell, Counter()).total() for cell in cells)
        if rows != entry["rows"]:
            yield f"lie: {_name(next(iter(cells)))} has {rows} rows, not {entry['rows']}"


def of_rows(lake: Lake, world: World, runs: Sequence[Ran]) -> Iterator[str]:
    """No row that is not the world's, and none twice."""
    # the last answer with rows: a cell may be asked again in vain, and keeps them
    seen_at = resolved([one for one in lake.ledger() if one["rows"]])
    for cell, rows in lake.rows.items():
        seen = seen_at[cell].fetched_at if cell in seen_at else runs[-1].now
        yield from _compared(cell, rows, truth(world, cell, seen))


def of_completeness(
    lake: Lake, world: World, plan: Plan, runs: Sequence[Ran]
) -> Iterator[str]:
    """Every due cell that may be asked is there, as it is now where it has settled."""
    ran = runs[-1]
    known = resolved(lake.ledger())
    for cell in due(plan, ran.now, ran.until):
        said = known.get(cell)
        refused = _standing(known, cell[:2])
        if refused and (said is None or said.outcome not in GOOD):
            yield from _unexplained(cell, refused, plan, runs)
            continue
        if said is None:
            yield f"lost: {_name(cell)} is not in the ledger"
        elif said.outcome in GOOD:
            seen = said.fetched_at
            settled = cell[0] not in MOVING or (seen.date() - cell[2]).days > 31
            rows = lake.rows.get(cell, Counter())
            expected = truth(world, cell, ran.now if settled else seen)
            yield from _compared(cell, rows, expected)
        elif said.outcome == "unavailable" or (
            said.next_try_at and said.next_try_at > ran.now
        ):
            yield from _unexplained(cell, said, plan, runs)
        else:
            yield f"lost: {_name(cell)} is {said.outcome} ({said.code}) after the faults"


def _unexplained(
    cell: Cell, said: Known, plan: Plan, runs: Sequence[Ran]
) -> Iterator[str]:
    """Whether WeChat has really refused what the ledger says it refused."""
    if said.outcome == "pending" and "daily_quota" in dict(plan.sandbox):
        return  # its quota was asked for, and was used up
    wanted = EXPLAINS.get(said.outcome, frozenset())
    asked = ENDPOINTS[cell[0]].permission_set
    for ran in runs:
        for entry in ran.log:
            if entry.outcome not in wanted:
                continue
            place = entry.place
            alike = (
                entry.outcome in ACCOUNT_WIDE
                or place.name == cell[0]
                or (
                    entry.outcome == "denied-set"
                    and ENDPOINTS[place.name].permission_set == asked
                )
            )
            if alike and (place.appid == cell[1] or entry.outcome == "retired"):
                return
    yield f"lost: {_name(cell)} is {said.outcome} ({said.code}), and nobody said so"


def _compared(cell: Cell, rows: Rows, expected: Rows) -> Iterator[str]:
    if rows == expected:
        return
    name = _name(cell)
    lost, extra = expected - rows, rows - expected
    keys = Counter(key(row) for row in rows.elements())
    twice = sum(count - 1 for count in keys.values())
    stale = {key(row) for row in lost} & {key(row) for row in extra}
    if twice:
        yield f"duplicated: {name}: {twice} rows"
    if stale:
        yield f"stale: {name}: {len(stale)} rows"
    if any(key(row) not in stale for row in lost):
        yield f"lost: {name}: {lost.total() - len(stale)} rows"
    if any(row not in expected and key(row) not in stale for row in extra):
        yield f"unexpected: {name}: {extra.total() - len(stale)} rows"


def _name(cell: Cell) -> str:
    return f"{cell[0]} {cell[1]} {cell[2]}"


def _standing(known: Mapping[Cell, Known], which: tuple[str, ...]) -> Known | None:
    """The refusal of the endpoint as a whole that no answer has overtaken."""
    endpoint, account = which
    refusals = [
        said
        for cell, said in known.items()
        if cell[0] == endpoint and cell[1] in (account, "*") and said.outcome in REFUSED
    ]
    if not refusals:
        return None
    latest = max(refusals, key=lambda said: said.fetched_at)
    answered = any(
        said.fetched_at > latest.fetched_at
        for cell, said in known.items()
        if cell[:2] == which and said.outcome in GOOD
    )
    return None if answered else latest


def of_exit_code(lake: Lake, plan: Plan, ran: Ran) -> Iterator[str]:
    """The code that the ledger stands for, in the order of precedence."""
    allowed = expected_codes(lake, plan, ran)
    if ran.code not in allowed:
        yield (
            f"exit code: {ran.run_id} ({ran.end or 'left alone'}"
            f"{', struck' if ran.struck else ''}) ended with {ran.code}, "
            f"not {sorted(allowed)}"
        )


def expected_codes(lake: Lake, plan: Plan, ran: Ran) -> Collection[int]:
    """All codes that may be right; mostly one."""
    if ran.struck and ran.end == "kill":
        return {137, *_by_ledger(lake, plan, ran)}  # it may just have ended
    signals = {"SIGINT": 130, "SIGTERM": 143, "twice": 130}
    if ran.struck and ran.end in signals:
        return {signals[ran.end]}
    if ran.end == "cramped":
        return {6, *_by_ledger(lake, plan, ran)}
    return _by_ledger(lake, plan, ran)


def _by_ledger(lake: Lake, plan: Plan, ran: Ran) -> set[int]:
    entries = lake.ledger()
    before = resolved([one for one in entries if one["run_id"] != ran.run_id])
    after = resolved(entries)
    outcomes: Counter[str] = Counter()
    standing: dict[tuple[str, ...], Known | None] = {}
    for cell in due(plan, ran.now, ran.until):
        which = cell[:2]
        if which not in standing:
            standing[which] = _standing(before, which)
        was = before[cell].outcome if cell in before else ""
        out = was not in GOOD if standing[which] else was in NOT_DUE
        if not out:
            said = after.get(cell)
            outcomes[said.outcome if said else "missing"] += 1
    answers = {entry.outcome for entry in ran.log}
    if answers & STOPS:
        return {4}
    codes = {0}
    if any(outcomes[one] for one in BAD):
        codes = {3}
        if answers & NETWORK:
            codes |= {5}
        if _nobody(ran):
            codes |= {4}
    elif outcomes["pending"] or outcomes["missing"]:
        codes = {5}
    elif _nobody(ran) and ran.log:
        codes |= {4}
    return codes


def _nobody(ran: Ran) -> bool:
    """Nobody had an answer in this run."""
    good = {"ok", *HARMLESS}
    return not any(entry.outcome in good for entry in ran.statistics)


def of_calls(plan: Plan, runs: Sequence[Ran], total_in_flight: int) -> Iterator[str]:
    """Calls made ≤ minimum + failed attempts + what kills and stops may cost."""
    made = sum(len(ran.statistics) for ran in runs)
    allowed = needed(plan, runs)
    for ran in runs:
        if ran.killed:
            allowed += 256 + total_in_flight
        elif ran.end:  # what was under way is lost, or timed out while it stood still
            allowed += total_in_flight
    if made > allowed:
        yield f"calls: {made} were made, and {allowed} would have been enough"


def needed(plan: Plan, runs: Sequence[Ran]) -> int:
    """The minimum, and the failed attempts."""
    return minimum(plan, runs) + sum(_failed(ran) for ran in runs)


def _failed(ran: Ran) -> int:
    """Attempts that brought nothing, and what a window refused as too wide costs."""
    cost = 0
    for entry in ran.statistics:
        if entry.outcome in TOO_WIDE:
            first, last = entry.place.first, entry.place.last
            days = date.fromisoformat(last) - date.fromisoformat(first)
            cost += days.days + 2
        elif entry.outcome != "ok" and entry.outcome not in HARMLESS:
            cost += 1
    return cost


def minimum(plan: Plan, runs: Sequence[Ran]) -> int:
    """The calls that would do: each window once, growing totals once a day."""
    got: dict[Cell, datetime] = {}
    narrowed: set[str] = set()
    calls = 0
    for ran in runs:
        narrowed |= {
            entry.place.name for entry in ran.statistics if entry.outcome in TOO_WIDE
        }
        missing = [
            cell
            for cell in due(plan, ran.now, ran.until)
            if ran.refresh
            or cell not in got
            or (cell[0] in MOVING and got[cell].date() < ran.now.date())
        ]
        calls += _windows(missing, narrowed)
        for entry in ran.statistics:
            if entry.outcome == "ok" or entry.outcome in HARMLESS:
                got |= dict.fromkeys(_covered(entry), ran.now)
    return calls


def _covered(entry: Entry) -> Iterator[Cell]:
    first, last = map(date.fromisoformat, (entry.place.first, entry.place.last))
    for day in range(first.toordinal(), last.toordinal() + 1):
        yield entry.place.name, entry.place.appid, date.fromordinal(day)


def _windows(cells: Iterable[Cell], narrowed: Collection[str]) -> int:
    """Greedily: from the first missing day on, as far as a window may reach.

    Where a window was too wide, single days: a narrower span is believed for a month.
    """
    calls = 0
    reach: dict[tuple[str, ...], int] = {}
    for endpoint, account, label in sorted(cells):
        day = label.toordinal()
        if day > reach.get((endpoint, account), 0):
            known = ENDPOINTS[endpoint]
            single = known.label != "day" or endpoint in narrowed
            span = 1 if single else known.span
            reach[endpoint, account] = day + span - 1
            calls += 1
    return calls
