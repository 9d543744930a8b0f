"""Days, weeks and months in China. A day is its ordinal (`date.toordinal()`)."""

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from enum import StrEnum

CHINA = timezone(timedelta(hours=8), "China")
READY_AT = time(8)
"""From this time on, yesterday's figures are complete."""


class Label(StrEnum):
    """What one `ref_date` of an endpoint names."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def yesterday(now: datetime) -> int:
    """The day before today in China."""
    return now.astimezone(CHINA).toordinal() - 1


def last_ready(now: datetime) -> int:
    """The newest day whose figures are complete."""
    ready = now.astimezone(CHINA).time() >= READY_AT
    return yesterday(now) if ready else yesterday(now) - 1


def text(day: int) -> str:
    """`2024-12-07`."""
    return date.fromordinal(day).isoformat()


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse(value: object) -> int:
    """The day written `2024-12-07`; ValueError for anything else."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("not a day")
    return date.fromisoformat(value).toordinal()


def month_start(day: int) -> int:
    """The 1st of the month that the day lies in."""
    return day - date.fromordinal(day).day + 1


def period(label: Label, start: int) -> range:
    """The days that the label's figures cover; none when `start` cannot be a label."""
    if label is Label.DAY:
        return range(start, start + 1)
    if label is Label.WEEK:
        return range(start, start + 7 if start % 7 == 1 else start)
    following = month_start(start + 31)
    return range(start, following if month_start(start) == start else start)


def labels(label: Label, first: int, last: int) -> Iterator[int]:
    """The labels that a window asks for.

    Weeks: the Mondays inside. Months: the firsts inside; a window within one month
    names that month, whichever days it has.
    """
    if label is Label.MONTH and month_start(first) == month_start(last):
        yield month_start(first)
        return
    for day in range(first, last + 1):
        if period(label, day):
            yield day
