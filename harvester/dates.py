"""China's calendar, and sets of its days.

A day is its proleptic ordinal (`date.toordinal()`): integers compare, add and
range a hundred times faster than dates, and a plan walks through millions.
A set of days (`Days`) is a sorted tuple of closed ranges that neither overlap
nor touch: ten years of history are one pair.
"""

import re
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
    return subtract(left, subtract(left, right))


def size(days: Days) -> int:
    """How many days the set holds."""
    return sum(last - first + 1 for first, last in days)


def each(days: Days) -> Iterator[int]:
    """The days, ascending."""
    for first, last in days:
        yield from range(first, last + 1)


def contains(days: Days, day: int) -> bool:
    """Whether the set holds this day."""
    return any(first <= day <= last for first, last in days)


def cover(wanted: Days, span: int) -> Iterator[Range]:
    """The fewest windows of at most `span` days that hold every wanted day.

    From the first day not yet covered take up to `span` days and end at the last
    wanted one inside. No other choice can reach further, so none needs fewer.
    """
    covered = 0
    for position, (first, last) in enumerate(wanted):
        start = max(first, covered + 1)
        whole = (last - start + 1) // span
        if whole > 0:
            end = start + whole * span
            yield from zip(
                range(start, end, span),
                range(start + span - 1, end, span),
                strict=True,
            )
            covered = end - 1
            start = end
        if start <= last:
            covered = _last_within(wanted, position, start + span - 1)
            yield start, covered


def _last_within(wanted: Days, position: int, limit: int) -> int:
    """The last wanted day up to `limit`, from the range at `position` on."""
    reached = wanted[position][1]
    for first, last in wanted[position:]:
        if first > limit:
            break
        reached = min(last, limit)
    return reached


def labels(granularity: Granularity, first: int, last: int) -> Days:
    """The labels from `first` to `last`: days, Mondays, or firsts of months."""
    if granularity is Granularity.WEEK:
        monday = first + (1 - first) % 7
        return tuple((day, day) for day in range(monday, last + 1, 7))
    if granularity is Granularity.MONTH:
        return tuple((day, day) for day in _month_starts(first, last))
    return ((first, last),) if first <= last else ()


def _month_starts(first: int, last: int) -> Iterator[int]:
    start = first if date.fromordinal(first).day == 1 else month_end(first) + 1
    while start <= last:
        yield start
        start = month_end(start) + 1


def month_end(day: int) -> int:
    """The last day of the month that `day` lies in."""
    inside = date.fromordinal(day)
    return (inside.replace(day=1) + timedelta(days=32)).replace(day=1).toordinal() - 1


def period_end(granularity: Granularity, label: int) -> int:
    """The last day that the label's figures cover."""
    if granularity is Granularity.WEEK:
        return label + 6
    return month_end(label) if granularity is Granularity.MONTH else label


def china_day(moment: datetime) -> int:
    """The day in China at this moment."""
    return moment.astimezone(CHINA).toordinal()


def last_ready_day(moment: datetime, ready_at: time) -> int:
    """The newest day whose figures are complete: yesterday, from `ready_at` on."""
    there = moment.astimezone(CHINA)
    return there.toordinal() - (1 if there.time() >= ready_at else 2)


def ready_labels(granularity: Granularity, first: int, last_ready: int) -> Days:
    """The labels from `first` on whose whole period is complete on `last_ready`."""
    every = labels(granularity, first, last_ready)
    while every and period_end(granularity, every[-1][1]) > last_ready:
        every = every[:-1]
    return every


def midnight_after(moment: datetime) -> datetime:
    """China's next midnight, in UTC."""
    tomorrow = moment.astimezone(CHINA).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), CHINA).astimezone(UTC)


def text(day: int) -> str:
    """`2024-12-07`."""
    return date.fromordinal(day).isoformat()


_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_COMPACT_MONTH = re.compile(r"(\d{4})(\d{2})")


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
    return date(*map(int, match.groups())).toordinal()


def _compact_week(value: str) -> int:
    first, _, last = value.partition("-")
    monday = _matched(_COMPACT, first)
    if last and _matched(_COMPACT, last) < monday:
        raise ValueError(f"a range that ends before it begins: {value[:40]!r}")
    return monday


def _compact_month(value: str) -> int:
    match = _COMPACT_MONTH.fullmatch(value)
    if match is None:
        raise ValueError(f"not a month: {value[:40]!r}")
    return date(int(match[1]), int(match[2]), 1).toordinal()


PARSERS: dict[str, Callable[[str], int]] = {
    "YYYY-MM-DD": parse,
    "YYYYMMDD": lambda value: _matched(_COMPACT, value),
    "YYYYMMDD-YYYYMMDD": _compact_week,
    "YYYYMM": _compact_month,
}
"""How an endpoint may write a label, and the day (the period's first) it names."""

FORMATS: dict[str, Callable[[int], str]] = {
    "YYYY-MM-DD": text,
    "YYYYMMDD": lambda day: date.fromordinal(day).strftime("%Y%m%d"),
}
"""How an endpoint may want the days of a window written."""
