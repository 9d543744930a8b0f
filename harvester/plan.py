"""Which calls a run makes: the fewest windows, newest first, streamed.

Wanted days − what the ledger knows (`settling.missing`) → windows → calls. Nothing
here grows with a plan's length: an account has ten thousands of windows, and at
most one call of each of its endpoints is in memory.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from itertools import dropwhile, takewhile

from harvester import dates
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days, Granularity, Range


class Outcome(StrEnum):
    """What the ledger can say of a cell."""

    HELD = "held"
    EMPTY = "empty"
    PENDING = "pending"
    DENIED = "denied"
    RETIRED = "retired"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


class Phase(StrEnum):
    """The fresh days of all accounts come before anyone's backfill."""

    FRESH = "fresh"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger says of the cells `first` to `last` of one account's endpoint."""

    first: int
    last: int
    outcome: Outcome
    fetched_at: datetime
    next_try_at: datetime | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: account, endpoint, window, and the wanted dates it owns."""

    appid: str
    endpoint: Endpoint
    first: int
    last: int
    owned: Days


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a run wants, and when it looks again at what is held."""

    since: int
    until: int
    """First and last label wanted (ordinals); a later `until` is cut to what is ready."""

    now: datetime
    """The run's clock at its start (aware): one moment for the whole plan."""

    ready_at: time = time(8)
    """China time from which yesterday counts as complete."""

    recheck_empty_days: int = 3
    refresh_days: tuple[int, ...] = (1, 2, 3, 7, 14, 30)
    wide_windows: bool = False
    """Weeks and months by the endpoint's span instead of one label a call."""

    refresh: bool = False
    """Held and empty cells are asked again, settled or not."""

    only: Phase | None = None
    fresh_days: int = 35
    narrowed: Mapping[str, int] = field(default_factory=dict)
    """Endpoint id → the span believed for now, narrower than the documented one."""

    oldest_first: bool = False
    """The other way round inside a phase; fresh days come before backfill all the same."""

    @property
    def last_ready(self) -> int:
        """The newest day whose figures are complete."""
        return dates.last_ready_day(self.now, self.ready_at)

    @property
    def fresh_from(self) -> int:
        """The first of the fresh days: the last `fresh_days` before China's today."""
        return dates.china_day(self.now) - self.fresh_days


def wanted(endpoint: Endpoint, since: int, until: int, last_ready: int) -> Days:
    """The labels from `since` to `until` that WeChat holds and that are ready.

    The label decides: a week belongs to its Monday, a month to its 1st. It is ready
    when its whole period is, on `last_ready`.
    """
    ready = dates.last_complete_label(endpoint.granularity, last_ready)
    return dates.labels(
        endpoint.granularity, max(since, endpoint.earliest), min(until, ready)
    )


def longest(endpoint: Endpoint, *, wide: bool, narrowed: int | None = None) -> int:
    """The longest window in days: a week or month alone, unless `wide`."""
    single = endpoint.granularity in (Granularity.WEEK, Granularity.MONTH)
    if single and not wide:
        return 1
    return endpoint.span if narrowed is None else min(endpoint.span, narrowed)


def calls(
    appid: str,
    endpoint: Endpoint,
    days: Days,
    policy: Policy,
    phase: Phase | None = None,
) -> Iterator[Call]:
    """One endpoint's calls for these missing days, newest first; of one phase only.

    With `policy.only` the days are cut to that phase first. Without, the windows
    are the fewest for the whole set, and belong to the phase of their last day.
    """
    chosen = chosen_days(days, policy)
    order = dates.cover if policy.oldest_first else dates.newest_first
    every = order(chosen, _span(endpoint, policy))
    for first, last in _of_phase(every, policy, phase):
        yield Call(appid, endpoint, first, last, _owned(chosen, first, last))


def count_calls(endpoint: Endpoint, days: Days, policy: Policy) -> int:
    """How many calls these missing days take: `calls`, without making them."""
    return dates.count_windows(chosen_days(days, policy), _span(endpoint, policy))


def chosen_days(days: Days, policy: Policy) -> Days:
    """The days of the phase that `policy.only` names; all of them without."""
    if policy.only is None:
        return days
    boundary = policy.fresh_from
    fresh = (boundary, dates.LAST_DAY)
    backfill = (1, boundary - 1)
    return dates.intersect(days, (fresh if policy.only is Phase.FRESH else backfill,))


def _span(endpoint: Endpoint, policy: Policy) -> int:
    narrowed = policy.narrowed.get(endpoint.id)
    return longest(endpoint, wide=policy.wide_windows, narrowed=narrowed)


def _of_phase(
    every: Iterator[Range], policy: Policy, phase: Phase | None
) -> Iterator[Range]:
    """The windows of this phase, which stand together at one end of all."""
    if phase is None:
        return every
    boundary, fresh = policy.fresh_from, phase is Phase.FRESH
    if fresh is policy.oldest_first:
        return dropwhile(lambda window: (window[1] >= boundary) is not fresh, every)
    return takewhile(lambda window: (window[1] >= boundary) is fresh, every)


def _owned(days: Days, first: int, last: int) -> Days:
    """The days inside a window whose ends are two of them."""
    lower = bisect_left(days, (first + 1, 0)) - 1
    upper = bisect_left(days, (last + 1, 0), lower) - 1
    if lower == upper:
        return ((first, last),)
    inner = days[lower + 1 : upper]
    return ((first, days[lower][1]), *inner, (days[upper][0], last))
