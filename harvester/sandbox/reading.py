"""The six retired article endpoints."""

from typing import Any

from harvester.sandbox.articles import (
    DEEDS,
    FAVOURITE,
    MOMENTS,
    ORIGINAL,
    READ,
    SHARE,
    SPLIT_SINCE,
    WEEK,
    Article,
    Figures,
    deeds,
    issue,
    sent,
    together,
    upto,
)
from harvester.sandbox.clock import text
from harvester.sandbox.dice import spread
from harvester.sandbox.messages import hours
from harvester.sandbox.profiles import Profile

ALL_SOURCES = 99999999
_SOURCES = (0, 1, 2, 4, 5, 6, 7)
_UNSPLIT = 7
"""The only source before readers were split: live bodies of 2019 carry it."""

_DETAILS = (
    ("session", 0),
    ("hist_msg", 3),
    ("feed", 2),
    ("friends", 1),
    ("other", 4),
    ("kanyikan", 5),
    ("souyisou", 6),
)
"""Names of the source columns of `getarticletotal`, and their place among the readers."""

_FEED = ("session", "feed", "other")
_SCENES = (1, 2, 5, 255)
Pair = tuple[int, int]
"""People and deeds."""


def summary(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getarticlesummary`: articles with a sum of fewer than three people are left out."""
    return [
        {
            "ref_date": text(day),
            "user_source": 0,
            "msgid": article.msgid,
            "title": article.title,
            **_figures(gain),
        }
        for article, gain in sent(who, day)
        if sum(gain[:DEEDS]) >= 3
    ]


def total(who: Profile, day: int, as_of: int) -> list[dict[str, Any]]:
    """`getarticletotal`: the day's sendings, a total for each of seven days that ended."""
    ages = range(min(WEEK, as_of - day + 1))
    return [
        {
            "ref_date": text(day),
            "msgid": article.msgid,
            "title": article.title,
            "user_source": 0,
            "details": [_detail(article, age) for age in ages],
            "url": article.url,
        }
        for article in issue(who, day)
        if not article.silent
    ]


def _detail(article: Article, age: int) -> dict[str, Any]:
    figures = upto(article, age)
    detail = {"stat_date": text(article.day + age), "target_user": article.delivered}
    detail |= _figures(figures)
    for name, place in _DETAILS[:5]:
        detail[f"int_page_from_{name}_read_user"] = figures[READ][place]
        detail[f"int_page_from_{name}_read_count"] = figures[deeds(READ)][place]
    for name, users, count in zip(
        _FEED, figures[MOMENTS], figures[deeds(MOMENTS)], strict=True
    ):
        detail[f"feed_share_from_{name}_user"] = users
        detail[f"feed_share_from_{name}_cnt"] = count
    for name, place in _DETAILS[5:]:
        detail[f"int_page_from_{name}_read_user"] = figures[READ][place]
        detail[f"int_page_from_{name}_read_count"] = figures[deeds(READ)][place]
    return detail


def _figures(figures: Figures) -> dict[str, int]:
    return _columns(
        (sum(figures[READ]), sum(figures[deeds(READ)])),
        (sum(figures[SHARE]), sum(figures[deeds(SHARE)])),
        (figures[ORIGINAL], figures[ORIGINAL + DEEDS]),
        (figures[FAVOURITE], figures[FAVOURITE + DEEDS]),
    )


def _columns(
    reads: Pair, shares: Pair, original: Pair = (0, 0), favourite: Pair = (0, 0)
) -> dict[str, int]:
    return {
        "int_page_read_user": reads[0],
        "int_page_read_count": reads[1],
        "ori_page_read_user": original[0],
        "ori_page_read_count": original[1],
        "share_user": shares[0],
        "share_count": shares[1],
        "add_to_fav_user": favourite[0],
        "add_to_fav_count": favourite[1],
    }


def by_source(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getuserread`: a row for all sources together, then one for each that has any.

    Original page and favourites stand in the first row only.
    """
    figures = together(sent(who, day))
    if not any(figures[:DEEDS]):
        return []
    everything = {
        "ref_date": text(day),
        "user_source": ALL_SOURCES,
        **_figures(figures),
    }
    if day < SPLIT_SINCE:
        return [everything | {"user_source": _UNSPLIT}]
    rows = [
        {"ref_date": text(day), "user_source": source, **_columns(reads, shares)}
        for source, (reads, shares) in _sources(figures).items()
        if any((*reads, *shares))
    ]
    return [everything, *rows]


def _sources(figures: Figures) -> dict[int, tuple[Pair, Pair]]:
    """Reads and shares of each source; who shares is where the readers are."""
    readers = figures[READ]
    shares = spread(sum(figures[SHARE]), sum(figures[deeds(SHARE)]), readers)
    reads = zip(readers, figures[deeds(READ)], strict=True)
    return dict(zip(_SOURCES, zip(reads, shares, strict=True), strict=True))


def by_source_and_hour(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getuserreadhour`: the same by hour; adds up to the day, source by source."""
    sources = _sources(together(sent(who, day)))
    weights = hours(who, day, "reads")
    spread_out = [
        zip(spread(*reads, weights), spread(*shares, weights), strict=True)
        for reads, shares in sources.values()
    ]
    return [
        {
            "ref_date": text(day),
            "ref_hour": hour * 100,
            "user_source": source,
            **_columns(reads, shares),
        }
        for hour, parts in enumerate(zip(*spread_out, strict=True))
        for source, (reads, shares) in _with_total(day, parts)
        if any((*reads, *shares))
    ]


def _with_total(
    day: int, parts: tuple[tuple[Pair, Pair], ...]
) -> list[tuple[int, tuple[Pair, Pair]]]:
    reads = (sum(part[0][0] for part in parts), sum(part[0][1] for part in parts))
    shares = (sum(part[1][0] for part in parts), sum(part[1][1] for part in parts))
    if day < SPLIT_SINCE:
        return [(_UNSPLIT, (reads, shares))]
    return [(ALL_SOURCES, (reads, shares)), *zip(_SOURCES, parts, strict=True)]


def by_scene(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getusershare`: a row for each scene with a share."""
    return [
        {
            "ref_date": text(day),
            "share_scene": scene,
            "share_count": count,
            "share_user": users,
        }
        for scene, (users, count) in _scenes(together(sent(who, day))).items()
        if count
    ]


def by_scene_and_hour(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getusersharehour`: the same by hour; adds up to the day, scene by scene."""
    weights = hours(who, day, "shares")
    scenes = _scenes(together(sent(who, day)))
    columns = [spread(users, count, weights) for users, count in scenes.values()]
    return [
        {
            "ref_date": text(day),
            "ref_hour": hour * 100,
            "share_scene": scene,
            "share_count": count,
            "share_user": users,
        }
        for hour, row in enumerate(zip(*columns, strict=True))
        for scene, (users, count) in zip(_SCENES, row, strict=True)
        if count
    ]


def _scenes(figures: Figures) -> dict[int, Pair]:
    """Shares to friends, to Moments, by the undocumented 5, and elsewhere."""
    people, counts = figures[SHARE], figures[deeds(SHARE)]
    return {
        1: (people[0], counts[0]),
        2: (sum(people[1:4]), sum(counts[1:4])),
        5: (people[4], counts[4]),
        255: (people[5], counts[5]),
    }
