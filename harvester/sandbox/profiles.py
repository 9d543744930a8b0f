"""What kind of account an appid is: large or small, busy or quiet, how it publishes."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from harvester.sandbox.dice import below, between, rolls
from harvester.sandbox.endpoints import CLASSIC

_NEWEST = date(2024, 1, 1).toordinal()
_RHYTHMS = (0b1111111, 0b0011111, 0b0010101, 0b0001010, 0b0000100, 0b1000000)
"""Weekdays on which an account sends; the lowest bit is Monday."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """An account's nature. Compared by identity: `profile` gives one object for one appid."""

    seed: int
    appid: str
    quiet: bool
    """Few followers, rarely an article, whole weeks without a message."""

    born: int
    """Before this day there is no row at all."""

    start: int
    """Followers on the day it was born."""

    growth: int
    """Followers won in 100 days."""

    waver: int
    """How far the followers of a day may lie above the trend."""

    weekdays: int
    articles: int
    """The most articles in one sending."""

    readers: int
    """Of 1,000 followers, how many read an article."""

    talkers: int
    """Of 100,000 followers, how many write on one day."""

    replies: bool
    """Whether it runs a server that answers messages."""

    biz: str
    """The `__biz` of its article links."""


@lru_cache(maxsize=16384)
def profile(seed: int, appid: str) -> Profile:
    """The nature of one account."""
    roll = rolls(seed, appid, "profile")
    quiet = below(roll[0], 8) == 0
    old = quiet or below(roll[1], 10) < 6
    start = (
        between(roll[2], 20, 300)
        if quiet
        else between(roll[2], 50, 99) << below(roll[3], 13)
    )
    growth = (
        between(roll[4], 0, 4) if quiet else between(roll[4], 10, 2000) + start // 50
    )
    return Profile(
        seed=seed,
        appid=appid,
        quiet=quiet,
        born=CLASSIC - between(roll[5], 30, 700)
        if old
        else between(roll[5], CLASSIC, _NEWEST),
        start=start if old else 0,
        growth=growth,
        waver=2 + growth // 100,
        weekdays=0b1111111 if quiet else _RHYTHMS[below(roll[6], len(_RHYTHMS))],
        articles=1 if quiet else (1, 1, 2, 3, 4, 8)[below(roll[7], 6)],
        readers=between(roll[8], 8, 60),
        talkers=between(roll[9], 1, 40) if quiet else between(roll[9], 50, 2000),
        replies=below(roll[10], 5) > 0,
        biz=b64encode(b"%d" % (3_000_000_000 + (roll[11] << 12))).decode(),
    )
