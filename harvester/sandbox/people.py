"""Followers: how many came and went, and how many there are.

The number of a day is a closed formula, and the movement of a day is its difference to
the day before: any day is computable alone, and the sum always comes out.
"""

from datetime import date
from typing import Any

from harvester.sandbox.clock import text
from harvester.sandbox.dice import below, between, rolls, split
from harvester.sandbox.profiles import Profile

_FOREVER = date.max.toordinal()


def _from(year: int, month: int) -> tuple[int, int]:
    return date(year, month, 1).toordinal(), _FOREVER


def _until(year: int, month: int) -> tuple[int, int]:
    return 0, date(year, month, 1).toordinal() - 1


_CHANNELS = (
    (0, 24, (0, _FOREVER)),
    (1, 30, (0, _FOREVER)),
    (17, 9, (0, _FOREVER)),
    (30, 40, (0, _FOREVER)),
    (35, 4, _until(2016, 1)),
    (43, 6, _until(2019, 1)),
    (51, 8, _until(2023, 6)),
    (57, 12, (0, _FOREVER)),
    (100, 5, _from(2020, 6)),
    (149, 3, _from(2018, 1)),
    (161, 2, _from(2020, 4)),
    (200, 6, _from(2021, 1)),
    (201, 1, _from(2021, 1)),
)
"""How followers arrive: number, usual weight, and the days on which it is reported."""


def followers(who: Profile, day: int) -> int:
    """Followers in all at the end of the day."""
    if day < who.born:
        return 0
    moment = day // 7 if who.quiet else day
    above = rolls(who.seed, who.appid, "waver", moment)[0]
    return (
        who.start + (day - who.born) * who.growth // 100 + below(above, who.waver + 1)
    )


def movement(who: Profile, day: int) -> tuple[int, int]:
    """Followers won and lost on the day."""
    net = followers(who, day) - followers(who, day - 1)
    roll = rolls(who.seed, who.appid, "movement", day)
    churn = below(roll[0], 16) // 15 if who.quiet else between(roll[0], 0, who.waver)
    lost = churn + max(0, -net)
    return net + lost, lost


def summary(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getusersummary`: a row for each channel that moved.

    A day on which nothing moved has a row of zeros, and on a quiet account no row.
    """
    if day < who.born:
        return []
    won, lost = movement(who, day)
    roll = rolls(who.seed, who.appid, "channels", day)
    open_ = [
        (number, weight)
        for number, weight, (first, last) in _CHANNELS
        if first <= day <= last
    ]
    gains = split(
        won, [weight * (2048 + roll[i]) for i, (_, weight) in enumerate(open_)]
    )
    losses = split(
        lost, [weight * (2048 + roll[31 - i]) for i, (_, weight) in enumerate(open_)]
    )
    shown = 0 if who.quiet else 1
    return [
        {
            "ref_date": text(day),
            "user_source": number,
            "new_user": new,
            "cancel_user": gone,
        }
        for (number, _), new, gone in zip(open_, gains, losses, strict=True)
        if new or gone or (shown and number == 0)
    ]


def cumulate(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getusercumulate`: one row a day."""
    if day < who.born:
        return []
    return [
        {"ref_date": text(day), "user_source": 0, "cumulate_user": followers(who, day)}
    ]
