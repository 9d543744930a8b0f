"""Articles: what an account publishes, and how each article's figures grow.

Every figure of an article follows one curve over 30 days, so a day's own figure is the
difference of two totals: days add up to totals, sources to readers, articles to the
account. In this world nobody reads, shares or saves one article on two days, and nobody
reads two articles.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from operator import add, sub

from harvester.sandbox.dice import below, between, rolls, split
from harvester.sandbox.endpoints import CLASSIC
from harvester.sandbox.people import followers
from harvester.sandbox.profiles import Profile

_GROWN = (
    480,
    690,
    780,
    830,
    865,
    890,
    910,
    *(925,) * 3,
    *(940,) * 4,
    *(960,) * 7,
    *(985,) * 8,
    1000,
)
"""Thousandths of the final figure at the end of each day since publication."""

LIFE = len(_GROWN)
WEEK = 7
"""The retired endpoints show an article for seven days."""

_MOVING = tuple(age for age in range(LIFE) if not age or _GROWN[age] > _GROWN[age - 1])

Figures = tuple[int, ...]
"""People, then deeds (both in the order of the slices below), then the single figures."""

READ = slice(0, 7)
"""Readers by source: conversation, friends, Moments, home page, other, stories, search."""

SHARE = slice(7, 13)
"""Sharers: to friends; to Moments from the conversation, Moments, elsewhere; 5; other."""

MOMENTS = slice(8, 11)
ORIGINAL, FAVOURITE = 13, 14
DEEDS = 15
"""How much further right the deeds (reads, shares, saves) of the same people stand."""

ZAIKAN, LIKE, COMMENT, PRAISE, SUBSCRIBE = range(30, 35)
NOTHING: Figures = (0,) * 35

_SOURCES = (52, 16, 14, 4, 6, 5, 3)
_SHARES = (60, 8, 6, 4, 1, 6)
_POSITIONS = (6, 3, 3, 4, 8)

_TITLES = (
    "《{}》最全攻略，看这一篇就够了",
    "“{}”上新｜今晚8点不见不散🎉",
    '他说："{}"，然后全场安静了…',
    "{}：3个方法\\5个误区（附清单）",
    "早安☀️ {}",
    "【{}】周末去哪儿？👨‍👩‍👧亲子篇",
    "{} & Friends: what's new?",
    "为什么我们都爱「{}」/ <第二弹>",
)
_TOPICS = (
    "春日限定",
    "城市漫步",
    "咖啡日记",
    "新品试吃",
    "会员日",
    "读者来信",
    "国潮好物",
    "夜跑团",
    "年终盘点",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Article:
    """One published item and the figures it ends with."""

    day: int
    msgid: str
    silent: bool
    """Published without notification: the retired endpoints do not know it."""

    title: str
    url: str
    delivered: int
    """People the sending went to."""

    people: Figures
    deeds_of_100: int
    """How often 100 people read, share or save."""

    single: Figures
    finish: int
    """Readers who finish, in 10,000,000ths."""

    seconds: int
    leaves: Figures
    """Readers who leave in each fifth, in 10,000,000ths."""


@lru_cache(maxsize=4096)
def issue(who: Profile, day: int) -> tuple[Article, ...]:
    """What the account published on the day: at most one sending and one silent item."""
    if day < who.born:
        return ()
    roll = rolls(who.seed, who.appid, "issue", day)
    due = who.weekdays >> (day - 1) % 7 & 1
    sends = due and below(roll[0], 40 if who.quiet else 10) < (1 if who.quiet else 9)
    sent = between(roll[1], 1, who.articles) if sends else 0
    silent = not who.quiet and below(roll[2], 12) == 0
    articles = [_article(who, day, index, False) for index in range(1, sent + 1)]
    return (*articles, *([_article(who, day, 1, True)] if silent else []))


def _article(who: Profile, day: int, index: int, silent: bool) -> Article:
    roll = rolls(who.seed, who.appid, "article", day, index, silent)
    number = 2_247_483_648 + (day - CLASSIC) * 2 + silent
    audience = followers(who, day)
    share_of_first = 6 if silent else min(index, 4)
    reach = (
        audience * who.readers * between(roll[0], 40, 160) // share_of_first + roll[1]
    ) // 100_000
    link = f"https://mp.weixin.qq.com/s?__biz={who.biz}&mid={number}&idx={index}"
    return Article(
        day=day,
        msgid=f"{number}_{index}",
        silent=silent,
        title=_TITLES[below(roll[2], len(_TITLES))].format(
            _TOPICS[below(roll[3], len(_TOPICS))]
        ),
        url=f"{link}&sn={roll[4]:04x}{roll[5]:04x}{roll[6]:04x}{roll[7]:04x}#rd",
        delivered=0 if silent else audience * 97 // 100,
        people=_people(reach, roll),
        deeds_of_100=between(roll[30], 102, 160),
        single=tuple(
            reach * between(part, 0, most) // 1000
            for part, most in zip(roll[8:13], _SINGLE, strict=True)
        ),
        finish=between(roll[13], 2_000_000, 8_000_000),
        seconds=between(roll[14], 20, 150),
        leaves=tuple(
            split(
                10_000_000,
                [
                    usual * (8192 + part)
                    for usual, part in zip(_POSITIONS, roll[15:], strict=False)
                ],
            )
        ),
    )


_SINGLE = (40, 60, 15, 90, 30)
"""The most of each single figure for 1,000 readers; praise is in fen."""


def _people(reach: int, roll: tuple[int, ...]) -> Figures:
    readers = split(
        reach,
        [
            usual * (8192 + part)
            for usual, part in zip(_SOURCES, roll[20:27], strict=True)
        ],
    )
    sharers = split(reach * between(roll[27], 5, 80) // 1000, _SHARES)
    original = reach * max(0, between(roll[28], -40, 40)) // 1000
    return (*readers, *sharers, original, reach * between(roll[29], 0, 30) // 1000)


def upto(article: Article, age: int) -> Figures:
    """The totals at the end of the day `age` days after publication."""
    grown = _GROWN[age]
    people = [number * grown // 1000 for number in article.people]
    deeds = [number * article.deeds_of_100 // 100 for number in people]
    return (*people, *deeds, *[number * grown // 1000 for number in article.single])


def _gain(article: Article, age: int) -> Figures:
    return (
        tuple(map(sub, upto(article, age), upto(article, age - 1)))
        if age
        else upto(article, 0)
    )


@lru_cache(maxsize=1024)
def moved(who: Profile, day: int) -> tuple[tuple[Article, Figures], ...]:
    """What the day added to each article of the last 30 days, oldest first."""
    return tuple(
        (article, _gain(article, age))
        for age in reversed(_MOVING)
        for article in issue(who, day - age)
    )


def sent(who: Profile, day: int) -> list[tuple[Article, Figures]]:
    """The same for sendings of the last seven days: what the retired endpoints know."""
    return [
        (article, gain)
        for article, gain in moved(who, day)
        if not article.silent and day - article.day < WEEK
    ]


def together(parts: list[tuple[Article, Figures]]) -> Figures:
    """The figures of all these articles."""
    total = NOTHING
    for _, figures in parts:
        total = tuple(map(add, total, figures))
    return total


def deeds(part: slice) -> slice:
    """Where the deeds of these people stand."""
    return slice(part.start + DEEDS, part.stop + DEEDS)


SPLIT_SINCE = date(2020, 2, 28).toordinal()
"""From this day on readers are reported by source."""
