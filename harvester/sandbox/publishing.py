"""The four article endpoints of today: silent items count, and readers by scene."""

from typing import Any

from harvester.sandbox.articles import (
    COMMENT,
    FAVOURITE,
    LIFE,
    LIKE,
    ORIGINAL,
    PRAISE,
    READ,
    SHARE,
    SUBSCRIBE,
    ZAIKAN,
    Article,
    Figures,
    issue,
    moved,
    together,
    upto,
)
from harvester.sandbox.clock import text
from harvester.sandbox.profiles import Profile

ALL_SCENES = "全部"
_SCENES = ("公众号消息", "聊天会话", "朋友圈", "公众号主页", "其他", "推荐", "搜一搜")


def _sources(readers: Figures) -> list[dict[str, Any]]:
    """All scenes together, then each scene that has any reader."""
    by_scene = [
        {"user_count": users, "scene_desc": scene}
        for users, scene in zip(readers, _SCENES, strict=True)
        if users
    ]
    return [{"user_count": sum(readers), "scene_desc": ALL_SCENES}, *by_scene]


def read(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getarticleread`: every item read on the day, whenever it was published."""
    return [
        {
            "ref_date": text(day),
            "msgid": article.msgid,
            "detail": {
                "read_user": sum(gain[READ]),
                "read_user_source": _sources(gain[READ]),
            },
        }
        for article, gain in moved(who, day)
        if any(gain[READ])
    ]


def share(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getarticleshare`: every item shared on the day."""
    return [
        {
            "ref_date": text(day),
            "msgid": article.msgid,
            "detail": {"share_user": sum(gain[SHARE])},
        }
        for article, gain in moved(who, day)
        if any(gain[SHARE])
    ]


def business(who: Profile, day: int) -> list[dict[str, Any]]:
    """`getbizsummary`: the sum over all items; none on a day without any figure."""
    figures = together(list(moved(who, day)))
    published = len(issue(who, day))
    if not published and not any(figures):
        return []
    detail = {
        "read_user": sum(figures[READ]),
        "read_user_source": _sources(figures[READ]),
        **_reactions(figures),
        "redirect_ori_page_user": figures[ORIGINAL],
        "send_page_count": published,
    }
    return [{"ref_date": text(day), "detail": detail}]


def _reactions(figures: Figures) -> dict[str, int]:
    return {
        "share_user": sum(figures[SHARE]),
        "zaikan_user": figures[ZAIKAN],
        "like_user": figures[LIKE],
        "comment_count": figures[COMMENT],
        "collection_user": figures[FAVOURITE],
    }


def total_detail(who: Profile, day: int, as_of: int) -> list[dict[str, Any]]:
    """`getarticletotaldetail`: the day's items, a total for each of 30 days that ended."""
    ages = range(min(LIFE, as_of - day + 1))
    return [
        {
            "ref_date": text(day),
            "msgid": article.msgid,
            "publish_type": int(article.silent),
            "title": article.title,
            "content_url": article.url,
            "detail_list": [_detail(article, age) for age in ages],
        }
        for article in issue(who, day)
    ]


def _detail(article: Article, age: int) -> dict[str, Any]:
    figures = upto(article, age)
    return {
        "stat_date": text(article.day + age),
        "read_user": sum(figures[READ]),
        "read_user_source": _sources(figures[READ]),
        **_reactions(figures),
        "praise_money": figures[PRAISE],
        "read_subscribe_user": figures[SUBSCRIBE],
        "read_delivery_rate": _fraction(figures[READ][0], article.delivered),
        "read_finish_rate": _fraction(article.finish, 10_000_000),
        "read_avg_activetime": _fraction(article.seconds, 60),
        "read_jump_position": [
            {"position": fifth, "rate": _fraction(leaves, 10_000_000)}
            for fifth, leaves in enumerate(article.leaves, 1)
        ],
    }


def _fraction(part: int, whole: int) -> float:
    """Seven decimals, as WeChat writes them; a plain 0 where there is nothing."""
    return round(part / whole, 7) if part and whole else 0
