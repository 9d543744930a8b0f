"""Passive replies of an account's server: hours first, the day is their sum."""

from typing import Any, NamedTuple

from harvester.sandbox.clock import text
from harvester.sandbox.dice import between, rolls, split
from harvester.sandbox.messages import hours
from harvester.sandbox.people import followers
from harvester.sandbox.profiles import Profile

_LIMIT = 5044
"""Milliseconds: WeChat waits five seconds for a reply."""


class _Hour(NamedTuple):
    hour: int
    calls: int
    failures: int
    total: int
    longest: int


def _hours(who: Profile, day: int) -> list[_Hour]:
    """The hours that had any call."""
    if day < who.born or not who.replies:
        return []
    roll = rolls(who.seed, who.appid, "replies", day)
    calls = (
        followers(who, day) * who.talkers * between(roll[31], 50, 200) + (roll[30] << 7)
    ) // 10_000_000
    by_hour = split(calls, hours(who, day, "replies"))
    failures = split(calls * roll[29] >> 21, by_hour)
    return [
        _hour(hour, count, failures[hour], roll[hour])
        for hour, count in enumerate(by_hour)
        if count
    ]


def _hour(hour: int, calls: int, failures: int, roll: int) -> _Hour:
    """One call is the longest; the others share what is left of the total."""
    mean = between(roll, 60, 800)
    longest = mean if calls == 1 else min(mean * calls, mean + (roll & 4095), _LIMIT)
    return _Hour(hour, calls, failures, mean * calls, longest)


def by_day(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getinterfacesummary`: one row, none where nothing was called."""
    parts = _hours(who, day)
    if not parts:
        return []
    _, calls, failures, total, longest = zip(*parts, strict=True)
    return [
        {
            "ref_date": text(day),
            "callback_count": sum(calls),
            "fail_count": sum(failures),
            "total_time_cost": sum(total),
            "max_time_cost": max(longest),
        }
    ]


def by_hour(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getinterfacesummaryhour`."""
    return [
        {
            "ref_date": text(day),
            "ref_hour": part.hour * 100,
            "callback_count": part.calls,
            "fail_count": part.failures,
            "total_time_cost": part.total,
            "max_time_cost": part.longest,
        }
        for part in _hours(who, day)
    ]
