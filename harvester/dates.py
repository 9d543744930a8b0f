"""China's calendar, and sets of its days.

A day is its proleptic ordinal (`date.toordinal()`): integers compare, add and
range a hundred times faster than dates, and a plan walks through millions.
A set of days (`Days`) is a sorted tuple of closed ranges that neither overlap
nor touch: ten years of history are one pair.
"""

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import StrEnum
from functools import lru_cache

CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")
"""The zone itself: the tz database may be absent, and has summer time until 1991."""

Range = tuple[int, int]
"""First and last day, both included."""

Days = tuple[Range, ...]

EPOCH = date(1970, 1, 1).toordinal()
"""The day that Arrow's date32 counts from."""

LAST_DAY = date.max.toordinal()
"""The end of the calendar: 9999-12-31."""


class Granularity(StrEnum):
    """What one label of an endpoint stands for."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    PUBLISH_DAY = "publish_day"


def of(ranges: Iterable[Range]) -> Days:
    """The set that holds the days of all these ranges, in any order."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        elif first <= last:
            joined.append((first, last))
    return tuple(joined)


def singles(days: Iterable[int]) -> Days:
    """The set of these days."""
    return of((day, day) for day in days)


def union(left: Days, right: Days) -> Days:
    """The days in either."""
    return of((*left, *right))


def subtract(left: Days, right: Days) -> Days:
    """The days in `left` and not in `right`."""
    kept: list[Range] = []
    holes = iter(right)
    hole = next(holes, None)
    for first, last in left:
        start = first
        while hole is not None and hole[1] < start:
            hole = next(holes, None)
        while hole is not None and hole[0] <= last:
            if start < hole[0]:
                kept.append((start, hole[0] - 1))
            start = hole[1] + 1
            if start > last:
                break
            hole = next(holes, None)
        if start <= last:
            kept.append((start, last))
    return tuple(kept)


def intersect(left: Days, right: Days) -> Days:
    """The days in both."""
    kept: list[Range] = []
    here = there = 0
    while here < len(left) and there < len(right):
        first = max(left[here][0], right[there][0])
        last = min(left[here][1], right[there][1])
        if first <= last:
            kept.append((first, last))
        if left[here][1] < right[there][1]:
            here += 1
        else:
            there += 1
    return tuple(kept)


def size(days: Days) -> int:
    """How many days the set holds."""
    return sum(last - first + 1 for first, last in days)


def each(days: Days) -> Iterator[int]:
    """The days, ascending."""
    for first, last in days:
        yield from range(first, last + 1)


def contains(days: Days, day: int) -> bool:
    """Whether the set holds this day."""
    after = bisect_left(days, (day + 1, 0))
    return after > 0 and day <= days[after - 1][1]


def cover(wanted: Days, span: int) -> Iterator[Range]:
    """The fewest windows of at most `span` days that hold every wanted day, ascending.

    From the first day not yet covered take up to `span` days and end at the last
    wanted one inside. No other choice can reach further, so none needs fewer.
    """
    for first, last, step in _blocks(wanted, span):
        if last - first < step:  # making ranges for one window costs more than it
            yield first, last
        else:
            firsts = range(first, last + 1, step)
            lasts = range(first + step - 1, last + 1, step)
            yield from zip(firsts, lasts, strict=True)


def newest_first(wanted: Days, span: int) -> Iterator[Range]:
    """The windows of `cover`, newest first; only their blocks are ever in memory."""
    for first, last, step in reversed(list(_blocks(wanted, span))):
        if last - first < step:
            yield first, last
        else:
            firsts = range(last - step + 1, first - 1, -step)
            lasts = range(last, first - 1, -step)
            yield from zip(firsts, lasts, strict=True)


def count_windows(wanted: Days, span: int) -> int:
    """How many windows `cover` makes, without making them."""
    if span == 1:
        return size(wanted)
    return sum(
        (last - first + 1) // step for first, last, step in _blocks(wanted, span)
    )


def _blocks(wanted: Days, span: int) -> Iterator[tuple[int, int, int]]:
    """The windows of `cover`, those that stand back to back and are as long as one.

    Each is (first day, last day, days a window): ten years without a hole are two.
    """
    start = reach = limit = 0  # the window still open; none: all are 0
    for first, last in wanted:
        if last <= limit:
            reach = last
            continue
        if start:
            reach = limit if first <= limit else reach
            yield start, reach, reach - start + 1
            first = max(first, reach + 1)
        start = last + 1 - (last + 1 - first) % span
        if first < start:
            yield first, start - 1, span
        if start <= last:
            reach, limit = last, start + span - 1
        else:
            start = limit = 0
    if start:
        yield start, reach, reach - start + 1


@lru_cache(maxsize=64)
def labels(granularity: Granularity, first: int, last: int) -> Days:
    """The labels from `first` to `last`: days, Mondays, or firsts of months."""
    if first > last:
        return ()
    if granularity is Granularity.WEEK:
        monday = first + (1 - first) % 7
        return tuple((day, day) for day in range(monday, last + 1, 7))
    if granularity is Granularity.MONTH:
        return tuple((day, day) for day in _month_starts(first, last))
    return ((first, last),)


def _month_starts(first: int, last: int) -> Iterator[int]:
    start = label_of(Granularity.MONTH, first)
    while start <= last:
        if start >= first:
            yield start
        start = month_end(start) + 1


def month_end(day: int) -> int:
    """The last day of the month that `day` lies in."""
    inside = date.fromordinal(day)
    return day - inside.day + monthrange(inside.year, inside.month)[1]


def label_of(granularity: Granularity, day: int) -> int:
    """The label of the period that `day` lies in."""
    if granularity is Granularity.WEEK:
        return day - (day - 1) % 7
    if granularity is Granularity.MONTH:
        return day - date.fromordinal(day).day + 1
    return day


def period_end(granularity: Granularity, label: int) -> int:
    """The last day that the label's figures cover."""
    if granularity is Granularity.WEEK:
        return label + 6
    return month_end(label) if granularity is Granularity.MONTH else label


def last_complete_label(granularity: Granularity, day: int) -> int:
    """The last day that can label a period which is over at the end of `day`."""
    return label_of(granularity, day + 1) - 1


def ready_labels(granularity: Granularity, first: int, last_ready: int) -> Days:
    """The labels from `first` on whose whole period is complete on `last_ready`."""
    return labels(granularity, first, last_complete_label(granularity, last_ready))


def in_china(moment: datetime) -> datetime:
    """The same moment on China's clocks.

    Raises ValueError without a zone: the machine's own would decide the day.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a moment without a zone: {moment.isoformat()}")
    return moment.astimezone(CHINA)


def china_day(moment: datetime) -> int:
    """The day in China at this moment."""
    return in_china(moment).toordinal()


def last_ready_day(moment: datetime, ready_at: time) -> int:
    """The newest day whose figures are complete: yesterday, from `ready_at` on."""
    there = in_china(moment)
    return there.toordinal() - (1 if there.time() >= ready_at else 2)


def midnight_after(moment: datetime) -> datetime:
    """China's next midnight, in UTC."""
    tomorrow = in_china(moment).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), CHINA).astimezone(UTC)


def text(day: int) -> str:
    """`2024-12-07`."""
    return date.fromordinal(day).isoformat()


_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_COMPACT_MONTH = re.compile(r"([0-9]{4})([0-9]{2})")


@lru_cache(maxsize=65536)
def parse(value: str) -> int:
    """The day written `2024-12-07`.

    Raises ValueError for every other spelling: `date.fromisoformat` would take
    `20241207` and `2024-W49-6` as well.
    """
    return _matched(_DAY, value)


def _matched(pattern: re.Pattern[str], value: str) -> int:
    match = pattern.fullmatch(value)
    if match is None:
        raise ValueError(f"not a day: {value[:40]!r}")
    year, month, day = (*map(int, match.groups()), 1)[:3]  # a month is its 1st
    try:
        return date(year, month, day).toordinal()
    except ValueError:
        raise ValueError(f"no such day: {value!r}") from None


def _compact_week(value: str) -> int:
    first, dash, last = value.partition("-")
    monday = _matched(_COMPACT, first)
    if dash and _matched(_COMPACT, last) < monday:
        raise ValueError(f"a range that ends before it begins: {value!r}")
    return monday


PARSERS: dict[str, Callable[[str], int]] = {
    "YYYY-MM-DD": parse,
    "YYYYMMDD": lambda value: _matched(_COMPACT, value),
    "YYYYMMDD-YYYYMMDD": _compact_week,
    "YYYYMM": lambda value: _matched(_COMPACT_MONTH, value),
}
"""How an endpoint may write a label, and the day (the period's first) it names."""

FORMATS: dict[str, Callable[[int], str]] = {
    "YYYY-MM-DD": text,
    "YYYYMMDD": lambda day: text(day).replace("-", ""),
}
"""How an endpoint may want the days of a window written."""
