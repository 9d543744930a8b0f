"""What the ledger's knowledge means for a plan: which cells are asked again.

The age of a cell counts mornings: 1 once the last day of its period is ready (the
next day from `ready_at` on), 2 a day later. At age n the figures of the n days from
its date on are complete. A fetch has the age that the cell had at its moment.

1. Held: settled when fetched at age `settle_days` (at least 1) or later. Until then
   asked again when the cell, since it was fetched, has come to an age in
   `refresh_days` or to `settle_days`: the last look always is the settled one.
2. Empty: the same; and while fetched at an age below `recheck_empty_days` asked by
   every run, because the first morning's empty answer may only be an early one.
3. Pending: asked from `next_try_at` on, or at once where there is none.
4. Denied, retired: the word is about the endpoint as a whole. While it stands (the
   endpoint has not answered since), no day is asked before its `next_try_at`, and
   none ever where there is none. Once it has fallen, its cells are like pending ones.
5. Unavailable: never asked again. Failed: always.
"""

from collections.abc import Collection, Sequence

from harvester import dates
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days, Granularity, Range
from harvester.plan import Known, Outcome, Policy

ANSWERED = frozenset({Outcome.HELD, Outcome.EMPTY})
REFUSED = frozenset({Outcome.DENIED, Outcome.RETIRED})
NOT_DUE = REFUSED | {Outcome.UNAVAILABLE}


def missing(
    endpoint: Endpoint, known: Sequence[Known], wanted: Days, policy: Policy
) -> Days:
    """The wanted days that a run at `policy.now` asks."""
    if not known or not wanted:
        return wanted
    refusal = standing_refusal(known)
    if refusal is not None and not _may_try(refusal, policy):
        return ()
    ages = _ages(endpoint, policy)
    kept: list[Range] = []
    for entry in known:
        kept.extend(_kept(entry, endpoint.granularity, ages, policy))
    return dates.subtract(wanted, dates.of(kept))


def due(known: Sequence[Known], wanted: Days) -> Days:
    """The wanted, ready days that count for the exit code.

    `known` is the ledger's word from before the run: what it knows to be denied,
    retired or unavailable is not due. While the endpoint as a whole is refused,
    neither is a day that it never answered.
    """
    if standing_refusal(known) is None:
        return dates.subtract(wanted, _days(known, NOT_DUE))
    return dates.intersect(wanted, _days(known, ANSWERED))


def settled(endpoint: Endpoint, entry: Known, policy: Policy) -> bool:
    """Whether no run will ask the entry's days again: by rules 1, 2 and 5."""
    if entry.outcome is Outcome.UNAVAILABLE:
        return True
    if entry.outcome not in ANSWERED:
        return False
    age = dates.last_ready_day(entry.fetched_at, policy.ready_at) + 1
    age -= dates.period_end(endpoint.granularity, entry.last)
    empty = policy.recheck_empty_days if entry.outcome is Outcome.EMPTY else 0
    return age >= max(endpoint.settle_days, empty, 1)


def standing_refusal(known: Sequence[Known]) -> Known | None:
    """The latest denial or retirement, unless the endpoint has answered since."""
    refusals = [entry for entry in known if entry.outcome in REFUSED]
    if not refusals:
        return None
    latest = max(refusals, key=lambda entry: entry.fetched_at)
    answers = (entry.fetched_at for entry in known if entry.outcome in ANSWERED)
    return None if any(at > latest.fetched_at for at in answers) else latest


def _may_try(refusal: Known, policy: Policy) -> bool:
    return refusal.next_try_at is not None and refusal.next_try_at <= policy.now


def _ages(endpoint: Endpoint, policy: Policy) -> tuple[int, ...]:
    """The ages at which an unsettled cell is asked again; the last one settles it."""
    settle = max(endpoint.settle_days, 1)
    return (*(age for age in policy.refresh_days if age < settle), settle)


def _kept(
    entry: Known, granularity: Granularity, ages: Sequence[int], policy: Policy
) -> Days:
    """The entry's days that are not asked again."""
    whole = ((entry.first, entry.last),)
    if entry.outcome in ANSWERED:
        return () if policy.refresh else _rested(entry, granularity, ages, policy)
    if entry.outcome is Outcome.UNAVAILABLE:
        return whole
    if entry.outcome is Outcome.FAILED:
        return ()
    waits = entry.next_try_at is not None and entry.next_try_at > policy.now
    return whole if waits else ()


def _rested(
    entry: Known, granularity: Granularity, ages: Sequence[int], policy: Policy
) -> Days:
    """The entry's days that rules 1 and 2 do not ask again."""
    whole = ((entry.first, entry.last),)
    fetched = dates.last_ready_day(entry.fetched_at, policy.ready_at) + 1
    recheck = policy.recheck_empty_days if entry.outcome is Outcome.EMPTY else 0
    settled = fetched - max(ages[-1], recheck)
    if entry.last <= dates.last_complete_label(granularity, settled):
        return whole  # nearly every entry of an old ledger
    today = policy.last_ready + 1
    ends = [(fetched - age + 1, today - age) for age in ages]
    if recheck:
        ends.append((fetched - recheck + 1, today - 1))
    again = dates.of(_labels_ending(granularity, *days) for days in ends)
    return dates.subtract(whole, again)


def _labels_ending(granularity: Granularity, first: int, last: int) -> Range:
    """The range of labels whose periods end on one of these days."""
    start = dates.label_of(granularity, first)
    return start, dates.last_complete_label(granularity, last)


def _days(known: Sequence[Known], outcomes: Collection[Outcome]) -> Days:
    return dates.of(
        (entry.first, entry.last) for entry in known if entry.outcome in outcomes
    )
