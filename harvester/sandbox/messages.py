"""Messages that followers send: by type, by hour, by week and month, and per user.

In this world a user writes on one day within one hour and with one type of message, so
hours and types add up to the day for people as well as for messages. Over a week or a
month a quarter of the days' users came back: `msg_count` adds up exactly, `msg_user`
is three quarters of the days' sum (rounded up), and never below the busiest day.
"""

from functools import lru_cache
from typing import Any

from harvester.sandbox.clock import Label, period, text
from harvester.sandbox.dice import between, rolls, spread
from harvester.sandbox.people import followers
from harvester.sandbox.profiles import Profile

_TYPES = (1, 2, 3, 4, 6)
"""Text, image, voice, video, link."""

_USUAL = (70, 14, 9, 3, 4)
HOURS = (
    4,
    2,
    1,
    1,
    1,
    2,
    6,
    12,
    18,
    20,
    19,
    20,
    26,
    22,
    17,
    17,
    18,
    20,
    22,
    26,
    30,
    31,
    22,
    11,
)
"""How a day's activity lies over its hours."""

Deeds = tuple[tuple[int, int], ...]
"""Users and messages, for each type of `_TYPES`."""


@lru_cache(maxsize=8192)
def _day(who: Profile, day: int) -> Deeds:
    if day < who.born:
        return ((0, 0),) * len(_TYPES)
    roll = rolls(who.seed, who.appid, "messages", day)
    usual = followers(who, day) * who.talkers * between(roll[0], 40, 160)
    users = (usual + (roll[1] << 7)) // 10_000_000
    weights = [usual * (16384 + roll[2 + i]) for i, usual in enumerate(_USUAL)]
    count = users + users * between(roll[10], 0, 30) // 10
    return tuple(spread(users, count, weights))


def _period(who: Profile, days: range) -> Deeds:
    if len(days) == 1:
        return _day(who, days[0])
    by_type = zip(*(_day(who, day) for day in days), strict=True)
    return tuple(_together(of_one_type) for of_one_type in by_type)


def _together(days: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    users = [user for user, _ in days]
    total = sum(users)
    return max(total - total // 4, *users), sum(count for _, count in days)


def _intervals(users: int, count: int) -> tuple[int, int, int]:
    """Users with 1 to 5 messages, with 6 to 10, with more: possible for this count."""
    extra = count - users
    many = min(users, extra // 30)
    some = (extra - 10 * many) // 10
    if not many:
        some = max(some, -((4 * users - extra) // 5))
    some = min(some, users - many)
    return users - many - some, some, many


def by_type(label: Label, who: Profile, start: int) -> list[dict[str, Any]]:
    """`getupstreammsg`, `getupstreammsgweek`, `getupstreammsgmonth`."""
    deeds = _period(who, period(label, start))
    return [
        {
            "ref_date": text(start),
            "msg_type": type_,
            "msg_user": users,
            "msg_count": count,
        }
        for type_, (users, count) in zip(_TYPES, deeds, strict=True)
        if count
    ]


def distribution(label: Label, who: Profile, start: int) -> list[dict[str, Any]]:
    """`getupstreammsgdist` and its week and month: adds up to the users of all types."""
    deeds = _period(who, period(label, start))
    intervals = _intervals(
        sum(users for users, _ in deeds), sum(count for _, count in deeds)
    )
    return [
        {"ref_date": text(start), "count_interval": interval, "msg_user": users}
        for interval, users in enumerate(intervals, 1)
        if users
    ]


def by_hour(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getupstreammsghour`: rows by hour, then by type."""
    weights = hours(who, day, "messages")
    columns = [spread(users, count, weights) for users, count in _day(who, day)]
    return [
        {
            "ref_date": text(day),
            "ref_hour": hour * 100,
            "msg_type": type_,
            "msg_user": users,
            "msg_count": count,
        }
        for hour, row in enumerate(zip(*columns, strict=True))
        for type_, (users, count) in zip(_TYPES, row, strict=True)
        if count
    ]


def hours(who: Profile, day: int, subject: str) -> list[int]:
    """How one account's day lies over its 24 hours."""
    roll = rolls(who.seed, who.appid, "hours", subject, day)
    return [usual * (8192 + roll[hour]) for hour, usual in enumerate(HOURS)]
