"""The world adds up: every relation a check may rely on, over days and accounts."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harvester.sandbox import articles, messages, profiles
from harvester.sandbox.dice import rolls, split, spread
from harvester.sandbox.endpoints import ENDPOINTS
from harvester.sandbox.settings import appids
from harvester.sandbox.world import World

WORLD = World(7)
ACCOUNTS = appids(7, 40)
ONE_DAY = timedelta(days=1)
FIRST = date(2014, 12, 2)
LAST = date(2026, 6, 30)

accounts = st.sampled_from(ACCOUNTS)
days = st.dates(FIRST, LAST)
recent = st.dates(date(2025, 11, 1), LAST)
mondays = days.map(lambda day: day - timedelta(days=day.weekday())).filter(
    lambda day: day >= FIRST
)
firsts = days.map(lambda day: day.replace(day=1)).filter(lambda day: day >= FIRST)
some = settings(max_examples=60, deadline=None)

READS = {
    "int_page_read_user": int,
    "int_page_read_count": int,
    "ori_page_read_user": int,
    "ori_page_read_count": int,
    "share_user": int,
    "share_count": int,
    "add_to_fav_user": int,
    "add_to_fav_count": int,
}
MESSAGES = {"ref_date": str, "msg_type": int, "msg_user": int, "msg_count": int}
DISTRIBUTION = {"ref_date": str, "count_interval": int, "msg_user": int}
CALLBACKS = {
    "callback_count": int,
    "fail_count": int,
    "total_time_cost": int,
    "max_time_cost": int,
}
SHARES = {"share_scene": int, "share_count": int, "share_user": int}
SOURCES = [{"user_count": int, "scene_desc": str}]
REACTIONS = {
    "share_user": int,
    "zaikan_user": int,
    "like_user": int,
    "comment_count": int,
    "collection_user": int,
}
DETAIL = {"stat_date": str, "target_user": int} | READS
DETAIL |= {
    f"int_page_from_{source}_read_{what}": int
    for source in (
        "session",
        "hist_msg",
        "feed",
        "friends",
        "other",
        "kanyikan",
        "souyisou",
    )
    for what in ("user", "count")
}
DETAIL |= {
    f"feed_share_from_{source}_{what}": int
    for source in ("session", "feed", "other")
    for what in ("user", "cnt")
}

SHAPES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "getusersummary": (
        {"ref_date": str, "user_source": int, "new_user": int, "cancel_user": int},
        ("user_source",),
    ),
    "getusercumulate": (
        {"ref_date": str, "user_source": int, "cumulate_user": int},
        (),
    ),
    "getarticlesummary": (
        {"ref_date": str, "user_source": int, "msgid": str, "title": str} | READS,
        ("msgid",),
    ),
    "getarticletotal": (
        {
            "ref_date": str,
            "user_source": int,
            "msgid": str,
            "title": str,
            "url": str,
            "details": [DETAIL],
        },
        ("msgid",),
    ),
    "getuserread": ({"ref_date": str, "user_source": int} | READS, ("user_source",)),
    "getuserreadhour": (
        {"ref_date": str, "ref_hour": int, "user_source": int} | READS,
        ("ref_hour", "user_source"),
    ),
    "getusershare": ({"ref_date": str} | SHARES, ("share_scene",)),
    "getusersharehour": (
        {"ref_date": str, "ref_hour": int} | SHARES,
        ("ref_hour", "share_scene"),
    ),
    "getarticleread": (
        {
            "ref_date": str,
            "msgid": str,
            "detail": {"read_user": int, "read_user_source": SOURCES},
        },
        ("msgid",),
    ),
    "getarticleshare": (
        {"ref_date": str, "msgid": str, "detail": {"share_user": int}},
        ("msgid",),
    ),
    "getbizsummary": (
        {
            "ref_date": str,
            "detail": {
                "read_user": int,
                "read_user_source": SOURCES,
                "redirect_ori_page_user": int,
                "send_page_count": int,
            }
            | REACTIONS,
        },
        (),
    ),
    "getarticletotaldetail": (
        {
            "ref_date": str,
            "msgid": str,
            "publish_type": int,
            "title": str,
            "content_url": str,
            "detail_list": [
                {
                    "stat_date": str,
                    "read_user": int,
                    "read_user_source": SOURCES,
                    "praise_money": int,
                    "read_subscribe_user": int,
                    "read_delivery_rate": float,
                    "read_finish_rate": float,
                    "read_avg_activetime": float,
                    "read_jump_position": [{"position": int, "rate": float}],
                }
                | REACTIONS
            ],
        },
        ("msgid",),
    ),
    "getupstreammsg": (MESSAGES, ("msg_type",)),
    "getupstreammsghour": (MESSAGES | {"ref_hour": int}, ("ref_hour", "msg_type")),
    "getupstreammsgweek": (MESSAGES, ("msg_type",)),
    "getupstreammsgmonth": (MESSAGES, ("msg_type",)),
    "getupstreammsgdist": (DISTRIBUTION, ("count_interval",)),
    "getupstreammsgdistweek": (DISTRIBUTION, ("count_interval",)),
    "getupstreammsgdistmonth": (DISTRIBUTION, ("count_interval",)),
    "getinterfacesummary": ({"ref_date": str} | CALLBACKS, ()),
    "getinterfacesummaryhour": (
        {"ref_date": str, "ref_hour": int} | CALLBACKS,
        ("ref_hour",),
    ),
}
"""Every field that WeChat documents or is known to send, and the key beside ref_date."""


def conforms(value: Any, shape: Any) -> bool:
    """Whether the value has exactly these fields and types; a fraction may be a plain 0."""
    if isinstance(shape, dict):
        same = isinstance(value, dict) and value.keys() == shape.keys()
        return same and all(conforms(value[name], shape[name]) for name in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(
            conforms(member, shape[0]) for member in value
        )
    return type(value) is shape or (
        shape is float and type(value) is int and value == 0
    )


def sums(
    rows: list[dict[str, Any]], *fields: str, by: str = ""
) -> dict[Any, tuple[int, ...]]:
    """The sum of each field, for each value of `by`."""
    totals: dict[Any, list[int]] = {}
    for row in rows:
        total = totals.setdefault(row.get(by), [0] * len(fields))
        for place, name in enumerate(fields):
            total[place] += row[name]
    return {key: tuple(total) for key, total in totals.items()}


def labelled(endpoint_id: str, day: date) -> date:
    """The label of the period that the day lies in."""
    label = ENDPOINTS[endpoint_id].label
    start = {"week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}
    return start.get(label, day)


@pytest.mark.parametrize("endpoint_id", ENDPOINTS)
@settings(max_examples=15, deadline=None)
@given(appid=accounts, day=recent)
def test_rows_have_the_documented_fields_and_one_row_for_each_key(
    endpoint_id: str, appid: str, day: date
) -> None:
    shape, key = SHAPES[endpoint_id]
    label = labelled(endpoint_id, day)
    rows = WORLD.rows(endpoint_id, appid, label)
    assert all(conforms(row, shape) for row in rows)
    assert all(row["ref_date"] == label.isoformat() for row in rows)
    assert len({tuple(row[name] for name in key) for row in rows}) == len(rows)
    assert orjson.loads(orjson.dumps(rows)) == rows


def test_every_endpoint_has_rows_for_some_account_and_none_for_another() -> None:
    day = date(2026, 3, 4)
    for endpoint_id in ENDPOINTS:
        counts = {
            bool(WORLD.rows(endpoint_id, appid, labelled(endpoint_id, day)))
            for appid in appids(7, 400)
        }
        assert counts == {True} if endpoint_id == "getusercumulate" else {True, False}


@some
@given(appid=accounts, day=days)
def test_followers_grow_by_those_won_less_those_lost(appid: str, day: date) -> None:
    before = WORLD.rows("getusercumulate", appid, day - ONE_DAY)
    now = WORLD.rows("getusercumulate", appid, day)
    assume(now and before)
    change = sums(WORLD.rows("getusersummary", appid, day), "new_user", "cancel_user")
    won, lost = change.get(None, (0, 0))
    assert now[0]["cumulate_user"] - before[0]["cumulate_user"] == won - lost
    assert won >= 0
    assert lost >= 0


def test_an_account_has_no_row_before_it_was_born_and_starts_from_nothing() -> None:
    who = next(
        profile
        for profile in (profiles.profile(7, appid) for appid in ACCOUNTS)
        if profile.born > FIRST.toordinal()
    )
    born = date.fromordinal(who.born)
    for endpoint_id in ENDPOINTS:
        if ENDPOINTS[endpoint_id].label == "day":
            assert WORLD.rows(endpoint_id, who.appid, born - ONE_DAY) == []
    won, lost = sums(
        WORLD.rows("getusersummary", who.appid, born), "new_user", "cancel_user"
    )[None]
    assert (
        WORLD.rows("getusercumulate", who.appid, born)[0]["cumulate_user"] == won - lost
    )


@pytest.mark.parametrize(
    ("of_day", "of_hour", "by", "fields"),
    [
        ("getupstreammsg", "getupstreammsghour", "msg_type", ("msg_user", "msg_count")),
        (
            "getusershare",
            "getusersharehour",
            "share_scene",
            ("share_user", "share_count"),
        ),
        (
            "getuserread",
            "getuserreadhour",
            "user_source",
            ("int_page_read_user", "int_page_read_count", "share_user", "share_count"),
        ),
        (
            "getinterfacesummary",
            "getinterfacesummaryhour",
            "",
            ("callback_count", "fail_count", "total_time_cost"),
        ),
    ],
)
@some
@given(appid=accounts, day=days)
def test_hours_add_up_to_the_day(
    of_day: str, of_hour: str, by: str, fields: tuple[str, ...], appid: str, day: date
) -> None:
    hours = WORLD.rows(of_hour, appid, day)
    whole = sums(WORLD.rows(of_day, appid, day), *fields, by=by)
    assert {row["ref_hour"] for row in hours} <= set(range(0, 2400, 100))
    assert sums(hours, *fields, by=by) == {
        key: value for key, value in whole.items() if any(value)
    }


@pytest.mark.parametrize(
    ("endpoint_id", "starts", "after"),
    [
        ("getupstreammsgweek", mondays, lambda start: start + timedelta(days=7)),
        (
            "getupstreammsgmonth",
            firsts,
            lambda start: (start + timedelta(days=31)).replace(day=1),
        ),
    ],
)
@settings(max_examples=30, deadline=None)
@given(appid=accounts, data=st.data())
def test_messages_of_days_add_up_to_weeks_and_months_and_people_come_back(
    endpoint_id: str,
    starts: st.SearchStrategy[date],
    after: Callable[[date], date],
    appid: str,
    data: st.DataObject,
) -> None:
    start = data.draw(starts)
    length = (after(start) - start).days
    inside = [
        row
        for number in range(length)
        for row in WORLD.rows("getupstreammsg", appid, start + number * ONE_DAY)
    ]
    busiest = Counter[int]()
    for row in inside:
        busiest[row["msg_type"]] = max(busiest[row["msg_type"]], row["msg_user"])
    by_type = sums(inside, "msg_user", "msg_count", by="msg_type")
    rows = WORLD.rows(endpoint_id, appid, start)
    assert {row["msg_type"]: row["msg_count"] for row in rows} == {
        type_: count for type_, (_, count) in by_type.items()
    }
    for row in rows:
        assert (
            busiest[row["msg_type"]] <= row["msg_user"] <= by_type[row["msg_type"]][0]
        )


@pytest.mark.parametrize("suffix", ["", "week", "month"])
@some
@given(appid=accounts, day=days)
def test_distributions_add_up_to_the_users_and_are_possible_for_the_messages(
    suffix: str, appid: str, day: date
) -> None:
    start = labelled(f"getupstreammsg{suffix}", day)
    rows = WORLD.rows(f"getupstreammsg{suffix}", appid, start)
    users, count = sums(rows, "msg_user", "msg_count").get(None, (0, 0))
    intervals = {
        row["count_interval"]: row["msg_user"]
        for row in WORLD.rows(f"getupstreammsgdist{suffix}", appid, start)
    }
    few, some_, many = (intervals.get(interval, 0) for interval in (1, 2, 3))
    assert few + some_ + many == users
    assert few + 6 * some_ + 11 * many <= count
    assert many or count <= 5 * few + 10 * some_
    assert all(row["msg_user"] <= row["msg_count"] for row in rows)


@some
@given(appid=accounts, day=days)
def test_the_row_for_all_sources_is_the_sum_of_the_others(
    appid: str, day: date
) -> None:
    for endpoint_id in ("getuserread", "getuserreadhour"):
        parts: dict[Any, Counter[str]] = {}
        totals: dict[Any, dict[str, int]] = {}
        for row in WORLD.rows(endpoint_id, appid, day):
            figures = {
                name: row[name] for name in READS if not name.startswith(("ori", "add"))
            }
            assert row["int_page_read_user"] <= row["int_page_read_count"]
            assert row["share_user"] <= row["share_count"]
            if row["user_source"] == 99999999:
                totals[row.get("ref_hour")] = figures
            else:
                parts.setdefault(row.get("ref_hour"), Counter()).update(figures)
        split_since = day >= date(2020, 2, 28)
        assert totals == (parts if split_since else {})
        sources = {row["user_source"] for row in WORLD.rows(endpoint_id, appid, day)}
        assert split_since or sources <= {7}


@some
@given(appid=accounts, day=recent)
def test_scenes_add_up_to_the_readers_of_all_scenes(appid: str, day: date) -> None:
    details = [row["detail"] for row in WORLD.rows("getarticleread", appid, day)]
    details += [row["detail"] for row in WORLD.rows("getbizsummary", appid, day)]
    for row in WORLD.rows("getarticletotaldetail", appid, day):
        details += row["detail_list"]
    for detail in details:
        everything, *scenes = detail["read_user_source"]
        assert everything == {"user_count": detail["read_user"], "scene_desc": "全部"}
        assert sum(scene["user_count"] for scene in scenes) == detail["read_user"]


@some
@given(appid=accounts, day=recent)
def test_the_account_has_the_readers_and_sharers_of_its_articles(
    appid: str, day: date
) -> None:
    business = WORLD.rows("getbizsummary", appid, day)
    read = sum(
        row["detail"]["read_user"] for row in WORLD.rows("getarticleread", appid, day)
    )
    share = sum(
        row["detail"]["share_user"] for row in WORLD.rows("getarticleshare", appid, day)
    )
    published = len(WORLD.rows("getarticletotaldetail", appid, day))
    found = [
        (
            row["detail"]["read_user"],
            row["detail"]["share_user"],
            row["detail"]["send_page_count"],
        )
        for row in business
    ]
    assert found in ([(read, share, published)], [])
    assert business or (read, share, published) == (0, 0, 0)


def growing(rows: list[dict[str, Any]], place: str, fields: tuple[str, ...]) -> bool:
    return all(
        before[name] <= after[name]
        for row in rows
        for before, after in pairwise(row[place])
        for name in fields
    )


@some
@given(appid=accounts, day=days)
def test_totals_of_sendings_grow_for_seven_days_and_then_settle(
    appid: str, day: date
) -> None:
    final = WORLD.rows("getarticletotal", appid, day)
    for age in (0, 3, 6, 40):
        rows = WORLD.rows("getarticletotal", appid, day, as_of=day + age * ONE_DAY)
        assert [row["details"] for row in rows] == [
            row["details"][: age + 1] for row in final
        ]
    dates = [(day + number * ONE_DAY).isoformat() for number in range(7)]
    assert all(
        [entry["stat_date"] for entry in row["details"]] == dates for row in final
    )
    assert growing(final, "details", tuple(DETAIL.keys() - {"stat_date"}))
    for row in final:
        for entry in row["details"]:
            readers = [entry[name] for name in entry if name.endswith("_read_user")]
            assert (
                sum(readers)
                == 2 * entry["int_page_read_user"] + entry["ori_page_read_user"]
            )


@settings(max_examples=30, deadline=None)
@given(appid=accounts, day=days)
def test_a_sending_is_read_on_seven_days_as_often_as_its_total_says(
    appid: str, day: date
) -> None:
    totals = {
        row["msgid"]: row["details"][-1]
        for row in WORLD.rows("getarticletotal", appid, day)
    }
    summed: dict[str, Counter[str]] = {msgid: Counter() for msgid in totals}
    seen = Counter[str]()
    for age in range(7):
        for row in WORLD.rows("getarticlesummary", appid, day + age * ONE_DAY):
            if row["msgid"] in totals:
                seen[row["msgid"]] += 1
                summed[row["msgid"]].update({name: row[name] for name in READS})
    for msgid, total in totals.items():
        left_out = 7 - seen[msgid]  # days with fewer than three people
        for name in (name for name in READS if name.endswith("user")):
            assert 0 <= total[name] - summed[msgid][name] <= 2 * left_out


@settings(max_examples=30, deadline=None)
@given(appid=accounts, day=recent)
def test_an_item_is_read_on_thirty_days_as_often_as_its_total_says(
    appid: str, day: date
) -> None:
    final = WORLD.rows("getarticletotaldetail", appid, day)
    read, shared = Counter[str](), Counter[str]()
    for age in range(30):
        for row in WORLD.rows("getarticleread", appid, day + age * ONE_DAY):
            read[row["msgid"]] += row["detail"]["read_user"]
        for row in WORLD.rows("getarticleshare", appid, day + age * ONE_DAY):
            shared[row["msgid"]] += row["detail"]["share_user"]
    for row in final:
        assert len(row["detail_list"]) == 30
        assert row["detail_list"][-1]["read_user"] == read[row["msgid"]]
        assert row["detail_list"][-1]["share_user"] == shared[row["msgid"]]
    assert growing(final, "detail_list", ("read_user", "praise_money", *REACTIONS))
    for age in (0, 10, 29, 60):
        rows = WORLD.rows(
            "getarticletotaldetail", appid, day, as_of=day + age * ONE_DAY
        )
        entries = [row["detail_list"] for row in rows]
        assert entries == [row["detail_list"][: age + 1] for row in final]


@some
@given(appid=accounts, day=recent)
def test_old_and_new_endpoints_tell_the_same_of_a_sending(
    appid: str, day: date
) -> None:
    new = {
        row["msgid"]: row["detail_list"][6]["read_user"]
        for row in WORLD.rows("getarticletotaldetail", appid, day)
        if row["publish_type"] == 0
    }
    old = {
        row["msgid"]: row["details"][6]["int_page_read_user"]
        for row in WORLD.rows("getarticletotal", appid, day)
    }
    assert new == old


@some
@given(appid=accounts, day=days)
def test_replies_are_possible(appid: str, day: date) -> None:
    hours = WORLD.rows("getinterfacesummaryhour", appid, day)
    for row in [*hours, *WORLD.rows("getinterfacesummary", appid, day)]:
        assert 0 <= row["fail_count"] <= row["callback_count"]
        assert row["max_time_cost"] <= row["total_time_cost"]
        assert row["total_time_cost"] <= row["max_time_cost"] * row["callback_count"]
    longest = max((row["max_time_cost"] for row in hours), default=0)
    assert [longest] * bool(hours) == [
        row["max_time_cost"] for row in WORLD.rows("getinterfacesummary", appid, day)
    ]


def test_titles_carry_quotes_backslashes_and_emoji_and_msgids_are_text() -> None:
    rows = [
        row
        for appid in ACCOUNTS
        for number in range(20)
        for row in WORLD.rows(
            "getarticletotaldetail",
            appid,
            date(2026, 2, 1) + number * ONE_DAY,
            date(2026, 5, 1),
        )
    ]
    titles = "".join(row["title"] for row in rows)
    assert all(character in titles for character in '"“\\🎉👧&<')
    assert all(part.isdigit() for row in rows for part in row["msgid"].split("_"))
    assert {row["publish_type"] for row in rows} == {0, 1}


@pytest.mark.parametrize(
    ("endpoint_id", "day", "as_of"),
    [
        ("getupstreammsgweek", date(2026, 1, 6), None),
        ("getupstreammsgmonth", date(2026, 1, 2), None),
        ("getupstreammsgweek", date(2026, 1, 5), date(2026, 1, 10)),
        ("getupstreammsgmonth", date(2026, 1, 1), date(2026, 1, 30)),
        ("getusercumulate", date(2026, 1, 5), date(2026, 1, 4)),
        ("getusercumulate", date(2014, 11, 30), None),
        ("getbizsummary", date(2025, 10, 31), None),
    ],
)
def test_there_is_nothing_for_wrong_labels_unfinished_periods_and_days_too_early(
    endpoint_id: str, day: date, as_of: date | None
) -> None:
    assert all(WORLD.rows(endpoint_id, appid, day, as_of) == [] for appid in ACCOUNTS)


def test_the_world_is_a_pure_function_of_seed_and_account() -> None:
    def everything(seed: int, appid: str) -> list[Any]:
        return [World(seed).rows(name, appid, date(2025, 12, 1)) for name in ENDPOINTS]

    first = everything(7, ACCOUNTS[0])
    for cached in (profiles.profile, messages._day, articles.issue, articles.moved):
        cached.cache_clear()
    assert everything(7, ACCOUNTS[0]) == first
    assert everything(8, ACCOUNTS[0]) != first
    assert everything(7, ACCOUNTS[1]) != first


NOON = datetime(2026, 1, 20, 4, tzinfo=UTC)
"""12:00 in China."""


@pytest.mark.parametrize(
    ("endpoint_id", "first", "last", "labels"),
    [
        ("getusercumulate", (2026, 1, 13), (2026, 1, 19), list(range(13, 20))),
        ("getupstreammsgweek", (2026, 1, 5), (2026, 1, 5), [5]),
        ("getupstreammsgweek", (2026, 1, 6), (2026, 1, 12), [12]),
        ("getupstreammsgweek", (2026, 1, 6), (2026, 1, 11), []),
        ("getupstreammsgweek", (2026, 1, 19), (2026, 1, 19), []),
        ("getupstreammsgmonth", (2025, 12, 1), (2025, 12, 1), [1]),
        ("getupstreammsgmonth", (2025, 12, 3), (2025, 12, 9), [1]),
        ("getupstreammsgmonth", (2026, 1, 1), (2026, 1, 1), []),
    ],
)
def test_an_answer_holds_the_labels_its_window_asks_for(
    endpoint_id: str,
    first: tuple[int, int, int],
    last: tuple[int, int, int],
    labels: list[int],
) -> None:
    appid = next(
        appid
        for appid in ACCOUNTS
        if WORLD.rows("getupstreammsg", appid, date(2026, 1, 5))
    )
    answer = WORLD.answer(endpoint_id, appid, date(*first), date(*last), NOON)
    found = [date.fromisoformat(row["ref_date"]).day for row in answer["list"]]
    assert sorted(set(found)) == labels
    assert answer.keys() == {"list"}


def test_the_new_article_endpoints_say_that_yesterday_is_delayed_until_eight() -> None:
    yesterday = date(2026, 1, 19)
    early = NOON.replace(day=19, hour=23)  # 07:00 in China
    for endpoint_id in ("getarticleread", "getarticletotaldetail"):
        first = WORLD.answer(endpoint_id, ACCOUNTS[0], yesterday, yesterday, early)
        then = WORLD.answer(endpoint_id, ACCOUNTS[0], yesterday, yesterday, NOON)
        assert first == {"list": [], "is_delay": True}
        assert then["is_delay"] is False


@given(st.integers(0, 10**9), st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_a_split_adds_up_and_leaves_nothing_where_no_weight_is(
    total: int, weights: list[int]
) -> None:
    parts = split(total, weights)
    assert sum(parts) == (total if sum(weights) else 0)
    assert all(part >= 0 for part in parts)
    assert all(
        not part for part, weight in zip(parts, weights, strict=True) if not weight
    )
    if sum(weights) >= total:
        assert all(part <= weight for part, weight in zip(parts, weights, strict=True))


@given(
    st.integers(0, 1000), st.integers(0, 5000), st.lists(st.integers(1, 99), min_size=1)
)
def test_deeds_are_spread_to_where_their_people_are(
    users: int, more: int, weights: list[int]
) -> None:
    assume(users)
    places = spread(users, users + more, weights)
    assert sum(people for people, _ in places) == users
    assert sum(deeds for _, deeds in places) == users + more
    assert all(
        bool(people) == bool(deeds) and people <= deeds for people, deeds in places
    )


def test_rolls_are_the_same_on_every_machine() -> None:
    assert rolls(7, "wx", 1)[:4] == (9163, 57881, 59544, 55699)
