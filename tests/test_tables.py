"""Answers become rows strictly: nothing is lost, changed, doubled or made up."""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester import columnwise, dates, tables
from harvester.catalogue.endpoint import Endpoint, Field, Request
from harvester.catalogue.load import catalogue
from harvester.columnwise import Unusual
from harvester.dates import Days, Granularity
from harvester.decoding import decode
from harvester.outline import REMEMBERED, Level, outline
from harvester.tables import Parsed, Payload, Rejected

CATALOGUE = catalogue(Path(__file__).parent / "data" / "next_families.endpoints.toml")
SUMMARY = CATALOGUE.endpoints["getusersummary"]
HOUR = CATALOGUE.endpoints["getupstreammsghour"]
ARTICLE_READ = CATALOGUE.endpoints["getarticleread"]
ARTICLE_TOTAL = CATALOGUE.endpoints["getarticletotal"]
TOTAL_DETAIL = CATALOGUE.endpoints["getarticletotaldetail"]
ADPOS = CATALOGUE.endpoints["publisher_adpos_general"]
RETAIN = CATALOGUE.endpoints["getweanalysisappiddailyretaininfo"]
DISTRIBUTION = CATALOGUE.endpoints["getweanalysisappidvisitdistribution"]

FIRST = dates.parse("2024-12-01")
LAST = dates.parse("2024-12-07")
OTHER = "wxfedcba9876543210"
ACCOUNT = "wx0123456789abcdef"


def own(**changes: Any) -> Endpoint:
    """An endpoint with every type, and with objects around and inside the rows."""
    fields = (
        Field(name="ref_date", at="data.items[].day", type="date32"),
        Field(name="unit", at="unit", type="string", nullable=True),
        Field(name="at_", at="data.items[].day", type="date32"),
        Field(name="seen", at="data.items[].seen", type="date32", nullable=True),
        Field(name="count", at="data.items[].count", type="int32"),
        Field(name="share", at="data.items[].share", type="float64"),
        Field(name="final", at="data.items[].final", type="bool"),
        Field(name="note", at="data.items[].more.note", type="string", nullable=True),
        Field(
            name="parts",
            at="data.items[].parts",
            type="list",
            nullable=True,
            fields=(
                Field(name="on", at="on", type="date32", nullable=True),
                Field(name="size", at="size", type="int64"),
            ),
        ),
    )
    known: dict[str, Any] = {
        "id": "own",
        "family": "own",
        "path": "/own",
        "en": "an endpoint of one's own",
        "span": 7,
        "safe_span": 7,
        "granularity": Granularity.DAY,
        "earliest": FIRST,
        "rows": ("data.items[]",),
        "label": "data.items[].day",
        "key": ("ref_date",),
        "fields": fields,
    }
    return Endpoint(**{**known, **changes})


FLAT = own(
    id="flat",
    rows=("items[]",),
    label="items[].day",
    fields=tuple(
        Field(
            **{
                **{s: getattr(one, s) for s in ("name", "type", "nullable", "fields")},
                "at": one.at.removeprefix("data."),
            }
        )
        for one in own().fields
        if one.name != "unit"
    ),
)


def payload(
    *pages: Any, owned: Days = ((FIRST, LAST),), account: str = ACCOUNT
) -> Payload:
    """What a call for the first week of December brought; pages are bytes or JSON."""
    bodies = tuple(
        page if isinstance(page, bytes) else orjson.dumps(page) for page in pages
    )
    documents = tuple(map(decode, bodies))
    return Payload(account, FIRST, LAST, owned, documents, bodies)


def slowly(one: Payload) -> Payload:
    """The same for the exact reader: a document that the quick one gives up on."""
    documents = ({"unknown": 1},) * len(one.documents)
    return Payload(one.account, one.first, one.last, one.owned, documents, one.bodies)


def parse(
    endpoint: Endpoint, *payloads: Payload
) -> tuple[list[dict[str, Any]], list[Any]]:
    batch, outcomes = tables.parse(endpoint, payloads)
    batch.validate(full=True)
    assert batch.schema.equals(
        tables.schema(endpoint, account=True), check_metadata=True
    )
    return batch.to_pylist(), outcomes


def one(endpoint: Endpoint, *pages: Any) -> tuple[list[dict[str, Any]], Any]:
    """The same rows and outcome from both readers, or Unusual from the quick one."""
    rows, (outcome,) = parse(endpoint, payload(*pages))
    assert parse(endpoint, slowly(payload(*pages))) == (rows, [outcome])
    return rows, outcome


def user(**changes: Any) -> dict[str, Any]:
    """A row of getusersummary."""
    known = {
        "ref_date": "2024-12-01",
        "user_source": 0,
        "new_user": 5,
        "cancel_user": 2,
    }
    return {**known, **changes}


def item(**changes: Any) -> dict[str, Any]:
    """A row of an endpoint of one's own."""
    known: dict[str, Any] = {
        "day": "2024-12-01",
        "seen": "2024-12-02",
        "count": 3,
        "share": 0.5,
        "final": True,
        "more": {"note": "n"},
        "parts": [{"on": "2024-12-03", "size": 1}],
    }
    return {**known, **changes}


def read_article(**changes: Any) -> dict[str, Any]:
    """A row of getarticleread."""
    source = {"user_count": 5, "scene_desc": "全部"}
    detail = {"read_user": 5, "read_user_source": [source]}
    return {"ref_date": "2024-12-01", "msgid": "1_1", "detail": {**detail, **changes}}


# What is taken, and as what


def test_rows_hold_their_account_and_the_values_of_the_answer() -> None:
    rows, outcome = one(
        SUMMARY, {"list": [user(), user(user_source=30, new_user=2**62)]}
    )
    assert rows == [
        {"account": ACCOUNT, **user(ref_date=date(2024, 12, 1)), "_extra": None},
        {
            "account": ACCOUNT,
            **user(ref_date=date(2024, 12, 1), user_source=30, new_user=2**62),
            "_extra": None,
        },
    ]
    assert outcome == Parsed({FIRST: 2}, False, 0, 0, 0, ())


@pytest.mark.parametrize("answers", [0, 1, 3])
def test_answers_without_rows_are_taken_as_empty(answers: int) -> None:
    rows, outcomes = parse(SUMMARY, *[payload({"list": []})] * answers)
    assert rows == []
    assert outcomes == [Parsed({}, False, 0, 0, 0, ())] * answers


def test_an_answer_without_documents_has_no_rows() -> None:
    for endpoint in (SUMMARY, DISTRIBUTION):
        assert parse(endpoint, payload()) == ([], [Parsed({}, False, 0, 0, 0, ())])


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ("7", 7),
        ("-3", -3),
        ("007", 7),
        ("7.0", 7),
        ("9223372036854775807", 2**63 - 1),
        (1.0, 1),
        (float(2**53), 2**53),
        (2**53 + 1, 2**53 + 1),
        (-(2**63), -(2**63)),
    ],
)
def test_a_whole_number_may_be_written_in_other_ways(sent: Any, taken: int) -> None:
    rows, _ = one(SUMMARY, {"list": [user(new_user=sent)]})
    assert rows[0]["new_user"] == taken


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ("0.5", 0.5),
        (1, 1.0),
        ("-2", -2.0),
        (2**53, 2.0**53),
        (1e300, 1e300),
        ("1e3", 1000.0),
        (2**60, 2.0**60),
    ],
)
def test_a_fraction_may_be_written_in_other_ways(sent: Any, taken: float) -> None:
    rows, _ = one(FLAT, {"items": [item(share=sent)]})
    assert rows[0]["share"] == taken


@pytest.mark.parametrize(
    ("sent", "taken"), [(True, True), ("false", False), (1, True), ("0", False)]
)
def test_a_flag_may_be_written_in_other_ways(sent: Any, taken: bool) -> None:
    rows, _ = one(FLAT, {"items": [item(final=sent)]})
    assert rows[0]["final"] is taken


def test_hours_run_from_0_to_2300() -> None:
    hour = {"ref_date": "2024-12-01", "msg_type": 1, "msg_user": 1, "msg_count": 1}
    rows, _ = one(HOUR, {"list": [{**hour, "ref_hour": 100 * h} for h in range(24)]})
    assert [row["ref_hour"] for row in rows] == list(range(0, 2400, 100))


@pytest.mark.parametrize(
    "gone", [{}, {"title": None, "content_url": None, "read_user_source": None}]
)
def test_what_may_be_missing_or_null_is_null(gone: dict[str, Any]) -> None:
    detail = {
        field.at.rsplit(".", 1)[1]: 1
        for field in TOTAL_DETAIL.fields
        if "detail_list" in field.at and not field.nullable
    }
    detail["stat_date"] = "2024-12-01"
    outer = {"ref_date": "2024-12-01", "msgid": "1_1", "publish_type": 0}
    inner = {name: gone[name] for name in gone if name == "read_user_source"}
    outer.update({name: gone[name] for name in gone if name != "read_user_source"})
    rows, outcome = one(
        TOTAL_DETAIL, {"list": [{**outer, "detail_list": [{**detail, **inner}]}]}
    )
    assert outcome == Parsed({FIRST: 1}, False, 0, 0, 0, ())
    assert {name for name, value in rows[0].items() if value is None} == {
        "_extra",
        *(field.name for field in TOTAL_DETAIL.fields if field.nullable),
    }


def test_an_object_of_optional_fields_may_be_missing() -> None:
    for more in ({"more": None}, {"more": {}}):
        rows, _ = one(FLAT, {"items": [item(**more)]})
        assert rows[0]["note"] is None
    bare = item()
    del bare["more"]
    assert one(FLAT, {"items": [bare]})[0][0]["note"] is None


def test_an_object_inside_an_optional_object_may_be_missing() -> None:
    deep = Field(name="deep", at="items[].more.most.deep", type="int64", nullable=True)
    endpoint = own(
        id="deep", rows=FLAT.rows, label=FLAT.label, fields=(*FLAT.fields, deep)
    )
    for more in ({}, {"note": "n"}, {"most": None}, {"most": {}}, None):
        rows, _ = one(endpoint, {"items": [item(more=more)]})
        assert rows[0]["deep"] is None
    rows, outcome = one(endpoint, {"items": [item(more={"most": {"deep": 1, "x": 2}})]})
    assert (rows[0]["deep"], outcome.extra) == (1, ("more.most.x",))


def test_dates_may_be_written_as_the_label_is_or_as_everywhere() -> None:
    endpoint = own(id="compact", label_format="YYYYMMDD", rows=FLAT.rows)
    compact = Endpoint(
        **{slot: getattr(endpoint, slot) for slot in Endpoint.__dataclass_fields__}
        | {"label": FLAT.label, "fields": (FLAT.fields[0], *FLAT.fields[2:])}
    )
    sent = item(day="20241203", seen="20241204")
    rows, outcome = one(compact, {"items": [sent, item(day="20241205", count=9)]})
    assert [row["seen"].day for row in rows] == [4, 2]
    assert outcome.rows == {FIRST + 2: 1, FIRST + 4: 1}
    _, outcome = one(compact, {"items": [item(day="2024-12-03")]})
    assert isinstance(outcome, Rejected)


def test_every_type_is_read_wherever_it_stands() -> None:
    for endpoint, document in (
        (own(), {"unit": "u", "data": {"items": [item()]}}),
        (FLAT, {"items": [item()]}),
    ):
        (row,), _ = one(endpoint, document)
        assert row.pop("unit", "u") == "u"
        assert row == {
            "account": ACCOUNT,
            "ref_date": date(2024, 12, 1),
            "at_": date(2024, 12, 1),
            "seen": date(2024, 12, 2),
            "count": 3,
            "share": 0.5,
            "final": True,
            "note": "n",
            "parts": [{"on": date(2024, 12, 3), "size": 1}],
            "_extra": None,
        }


def test_a_list_in_a_row_stays_a_list_and_an_empty_one_is_not_null() -> None:
    rows, _ = one(ARTICLE_READ, {"list": [read_article(read_user_source=[])]})
    assert rows[0]["read_user_source"] == []
    rows, _ = one(ARTICLE_READ, {"list": [read_article()]})
    assert rows[0]["read_user_source"] == [{"user_count": 5, "scene_desc": "全部"}]


def test_daily_details_become_a_row_each_with_the_figures_around_them() -> None:
    figures = {
        f.name: 1 for f in ARTICLE_TOTAL.fields if "details" in f.at and not f.nullable
    }
    details = [{**figures, "stat_date": f"2024-12-0{day}"} for day in (1, 2)]
    around = {"ref_date": "2024-12-01", "title": "标题：a"}
    document = {
        "list": [
            {**around, "msgid": "1_1", "details": details},
            {**around, "msgid": "1_2", "details": []},
            {**around, "msgid": "1_3", "details": details[:1]},
        ]
    }
    rows, outcome = one(ARTICLE_TOTAL, document)
    assert [(row["msgid"], row["stat_date"].day) for row in rows] == [
        ("1_1", 1),
        ("1_1", 2),
        ("1_3", 1),
    ]
    assert {row["title"] for row in rows} == {"标题：a"}
    assert outcome.rows == {FIRST: 3}


def test_rows_in_several_arrays_name_the_array_they_came_from() -> None:
    document = {
        "ref_date": "20241201",
        "visit_uv_new": [{"key": 0, "value": 5}],
        "visit_uv": [{"key": 0, "value": 7}],
    }
    rows, _ = one(RETAIN, document)
    assert [(row["cohort"], row["value"]) for row in rows] == [
        ("visit_uv_new", 5),
        ("visit_uv", 7),
    ]


def test_a_date_beside_the_rows_is_every_row_s_date() -> None:
    document = {
        "ref_date": "20241203",
        "list": [
            {
                "index": "i",
                "item_list": [{"key": 1, "value": 2}, {"key": 2, "value": 3}],
            }
        ],
    }
    rows, outcome = one(DISTRIBUTION, document)
    assert [row["ref_date"] for row in rows] == [date(2024, 12, 3)] * 2
    assert outcome.rows == {FIRST + 2: 2}


def test_pages_of_one_answer_are_one_answer() -> None:
    pages = [{"list": [user(user_source=source)]} for source in (0, 1)]
    rows, outcome = one(SUMMARY, *pages)
    assert [row["user_source"] for row in rows] == [0, 1]
    assert outcome.rows == {FIRST: 2}


def test_what_stands_beside_the_rows_of_an_advertising_page_is_no_column() -> None:
    row = dict.fromkeys(
        ("req_succ_count", "exposure_count", "click_count", "income"), 1
    )
    page = {
        "base_resp": {"ret": 0, "err_msg": "ok"},
        "list": [
            {**row, "slot_id": 3030046789020061, "date": "2024-12-01", "ecpm": 1.5}
        ],
        "summary": {"ecpm": 1.5},
        "total_num": 1,
    }
    rows, outcome = one(ADPOS, page)
    assert rows[0]["ref_date"] == rows[0]["date_"] == date(2024, 12, 1)
    assert rows[0]["slot_id"] == 3030046789020061
    assert outcome == Parsed({FIRST: 1}, False, 0, 0, 0, ())


# Whether the figures are final


@pytest.mark.parametrize(
    ("sent", "delayed"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("false", False),
        (1, True),
        (0, False),
        (None, False),
    ],
)
def test_is_delay_may_be_written_in_many_ways(sent: Any, delayed: bool) -> None:
    _, outcome = one(SUMMARY, {"list": [user()], "is_delay": sent})
    assert outcome.delayed is delayed


def test_one_delayed_page_delays_the_answer() -> None:
    _, outcome = one(SUMMARY, {"list": [], "is_delay": True}, {"list": []})
    assert outcome.delayed is True


@pytest.mark.parametrize("sent", ["later", 2, 1.0, [], {}])
def test_an_is_delay_that_says_nothing_rejects_the_answer(sent: Any) -> None:
    _, outcome = one(SUMMARY, {"list": [user()]}, {"list": [], "is_delay": sent})
    assert outcome.reason.startswith("is_delay is ")
    assert outcome.reason.endswith("where a bool is due")


# What is refused


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (1.5, "the number 1.5"),
        (-0.9, "the number -0.9"),
        (2.0**53 + 2, "the number 9007199254740994.0"),
        (2**63, "the number 9223372036854775808"),
        (-(2**63) - 1, "the number -9223372036854775809"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        ("", 'the text ""'),
        ("7 people", 'the text "7 people"'),
        (" 7", 'the text " 7"'),
        ("７", 'the text "７"'),
        ("1.5", 'the text "1.5"'),
        ("1e999", 'the text "1e999"'),
        ("x" * 41, f'the text "{"x" * 40}…"'),
        ([1, 2], "an array of 2"),
        ({"n": 1}, "an object"),
    ],
)
def test_what_is_no_whole_number_rejects_the_answer(sent: Any, found: str) -> None:
    body = json.dumps({"list": [user(), user(user_source=1, new_user=sent)]}).encode()
    rows, outcome = one(SUMMARY, body)
    assert rows == []
    assert outcome == Rejected(f"list[1].new_user is {found} where int64 is due")


def test_a_long_number_is_shown_shortened() -> None:
    body = json.dumps({"list": [user(new_user=10**60)]}).encode()
    _, outcome = one(SUMMARY, body)
    assert (
        outcome.reason
        == f"list[0].new_user is the number 1{'0' * 39}… where int64 is due"
    )


@pytest.mark.parametrize("sent", [2**31, -(2**31) - 1, "2147483648"])
def test_a_number_beyond_32_bits_rejects_an_answer_of_such(sent: Any) -> None:
    _, outcome = one(SUMMARY, {"list": [user(user_source=sent)]})
    assert outcome.reason.endswith("where int32 is due")


@pytest.mark.parametrize(
    "sent",
    [
        "x",
        True,
        None,
        [],
        2**53 + 1,
        2**64 + 1,
        10**400,
        "1e999",
        "9007199254740993",
        "NaN",
        "Infinity",
    ],
)
def test_what_is_no_fraction_rejects_the_answer(sent: Any) -> None:
    _, outcome = one(FLAT, json.dumps({"items": [item(share=sent)]}).encode())
    assert outcome.reason.startswith("items[0].share is ")
    assert outcome.reason.endswith("where float64 is due")


@pytest.mark.parametrize("sent", ["yes", 2, 1.0, None, []])
def test_what_is_no_flag_rejects_the_answer(sent: Any) -> None:
    _, outcome = one(FLAT, {"items": [item(final=sent)]})
    assert outcome.reason.endswith("where bool is due")


@pytest.mark.parametrize("sent", [7, 1.5, True, None, ["a"], {}])
def test_what_is_no_text_rejects_the_answer(sent: Any) -> None:
    article = {**read_article(), "msgid": sent}
    _, outcome = one(ARTICLE_READ, {"list": [article]})
    assert outcome.reason.startswith("list[0].msgid is ")
    assert outcome.reason.endswith("where string is due")


@pytest.mark.parametrize(
    "sent",
    [
        "2024-13-01",
        "20241201",
        "2024-W49-1",
        "2024-12-01 00:00",
        "",
        20241201,
        None,
        ["2024-12-01"],
    ],
)
def test_what_is_no_date_rejects_the_answer(sent: Any) -> None:
    _, outcome = one(SUMMARY, {"list": [user(ref_date=sent)]})
    assert outcome.reason.startswith("list[0].ref_date is ")
    assert outcome.reason.endswith("where date32 is due")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({}, "list[0].detail.read_user_source is an object where list is due"),
        ("x", 'list[0].detail.read_user_source is the text "x" where list is due'),
        (
            ["x"],
            'list[0].detail.read_user_source[0] is the text "x" where an object is due',
        ),
        ([None], "list[0].detail.read_user_source[0] is null where an object is due"),
        (
            [["user_count", "scene_desc"]],
            "list[0].detail.read_user_source[0] is an array of 2 where an object is due",
        ),
        (
            [{"user_count": 1}],
            "list[0].detail.read_user_source[0].scene_desc is missing where string is due",
        ),
        (
            [
                {"user_count": 1, "scene_desc": "a"},
                {"user_count": 1.5, "scene_desc": "b"},
            ],
            "list[0].detail.read_user_source[1].user_count is the number 1.5 where int64 is due",
        ),
    ],
)
def test_lists_inside_rows_are_as_strict(source: Any, reason: str) -> None:
    _, outcome = one(ARTICLE_READ, {"list": [read_article(read_user_source=source)]})
    assert outcome == Rejected(reason)


@pytest.mark.parametrize("name", ["ref_date", "user_source", "new_user"])
def test_a_missing_required_field_rejects_the_answer(name: str) -> None:
    row = user()
    del row[name]
    _, outcome = one(SUMMARY, {"list": [row]})
    assert outcome.reason.startswith(f"list[0].{name} is missing where ")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "list is missing where the array of rows is due"),
        ({"errcode": 0}, "list is missing where the array of rows is due"),
        ({"list": None}, "list is null where the array of rows is due"),
        ({"list": {}}, "list is an object where the array of rows is due"),
        ({"list": "[]"}, 'list is the text "[]" where the array of rows is due'),
        ({"list": [[]]}, "list[0] is an array of 0 where an object is due"),
        ({"list": [None]}, "list[0] is null where an object is due"),
        ({"list": [user(), "x"]}, 'list[1] is the text "x" where an object is due'),
    ],
)
def test_rows_that_are_not_where_they_should_be_reject_the_answer(
    document: Any, reason: str
) -> None:
    assert one(SUMMARY, document) == ([], Rejected(reason))


def test_rows_inside_rows_must_be_there_too() -> None:
    article = {"ref_date": "2024-12-01", "msgid": "1_1", "title": "t"}
    _, outcome = one(ARTICLE_TOTAL, {"list": [article]})
    assert outcome == Rejected(
        "list[0].details is missing where the array of rows is due"
    )
    _, outcome = one(RETAIN, {"ref_date": "20241201", "visit_uv": []})
    assert outcome == Rejected("visit_uv_new is missing where the array of rows is due")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"data": {}}, "data.items is missing where the array of rows is due"),
        ({"data": []}, "data is an array of 0 where an object is due"),
        ({}, "data is missing where an object is due"),
        (
            {"data": {"items": [item(more=[])]}},
            "data.items[0].more is an array of 0 where an object is due",
        ),
        (
            {"data": {"items": [item(more={"note": 1})]}},
            "data.items[0].more.note is the number 1 where string is due",
        ),
    ],
)
def test_objects_must_be_where_they_should_be(document: Any, reason: str) -> None:
    assert one(own(), document) == ([], Rejected(reason))


def test_a_key_that_stands_twice_rejects_the_answer() -> None:
    row = '{"ref_date":"2024-12-01","user_source":0,"new_user":1,"cancel_user":2%s}'
    whole = f'{{"list":[{row % ""}]}}'.encode()
    assert one(SUMMARY, whole)[1].rows == {FIRST: 1}
    for twice in (',"new_user":9', ' , "new_user" : 9', ',"new\\u005fuser":9'):
        _, outcome = one(SUMMARY, f'{{"list":[{row % twice}]}}'.encode())
        assert outcome == Rejected("the key 'new_user' stands twice in one object")
    _, outcome = one(SUMMARY, b'{"list":[],"list":[]}')
    assert outcome == Rejected("the key 'list' stands twice in one object")


def test_a_value_nested_without_end_rejects_the_answer() -> None:
    deep = '{"x":' * 995 + "1" + "}" * 995
    row = json.dumps(user())[:-1]
    _, outcome = one(SUMMARY, f'{{"list":[{row},"new":{deep}}}]}}'.encode())
    assert outcome == Rejected("nested too deeply")


def test_what_is_too_deep_to_be_kept_rejects_the_answer() -> None:
    deep = orjson.loads(b'{"x":' * 1000 + b"1" + b"}" * 1000)
    document = {"list": [user(new=deep)]}
    bare = Payload(ACCOUNT, FIRST, LAST, ((FIRST, LAST),), (document,), ())
    assert parse(SUMMARY, bare) == ([], [Rejected("nested too deeply")])


# What the catalogue does not know


def test_unknown_fields_of_a_row_are_kept_by_their_name() -> None:
    rows, outcome = one(
        SUMMARY, {"list": [user(new={"a": [1, None]}, other="é"), user(user_source=1)]}
    )
    assert rows[0]["_extra"] == '{"new":{"a":[1,null]},"other":"é"}'
    assert rows[1]["_extra"] is None
    assert outcome.extra == ("new", "other")


def test_unknown_fields_inside_and_around_a_row_are_kept_by_their_place() -> None:
    article = read_article(
        deep=1, read_user_source=[{"user_count": 1, "scene_desc": "a", "s": 2}]
    )
    rows, outcome = one(ARTICLE_READ, {"list": [article], "t": 3, "is_delay": False})
    assert json.loads(rows[0]["_extra"]) == {
        "detail.deep": 1,
        "detail.read_user_source[0].s": 2,
        "$.t": 3,
    }
    assert outcome.extra == ("$.t", "detail.deep", "detail.read_user_source[].s")
    document = {
        "ref_date": "20241203",
        "list": [{"index": "i", "x": 4, "item_list": [{"key": 1, "value": 2, "x": 5}]}],
    }
    rows, _ = one(DISTRIBUTION, document)
    assert json.loads(rows[0]["_extra"]) == {"$.list[].x": 4, "x": 5}
    rows, _ = one(
        own(), {"data": {"y": 6, "items": [item(more={"z": 7}), item(more=None)]}}
    )
    assert [json.loads(row["_extra"]) for row in rows] == [
        {"$.data.y": 6, "more.z": 7},
        {"$.data.y": 6},
    ]


def test_numbers_in_unknown_fields_stay_as_they_were() -> None:
    body = json.dumps({"list": [user(big=2**64 + 1, small=0.1)]}).encode()
    rows, _ = one(SUMMARY, body)
    assert rows[0]["_extra"] == '{"big":18446744073709551617,"small":0.1}'


def test_the_known_envelope_is_not_unknown() -> None:
    document = {
        "errcode": 0,
        "errmsg": "ok",
        "is_delay": False,
        "base_resp": {"ret": 0},
        "summary": {"a": 1},
        "total_num": 1,
        "list": [user()],
    }
    assert one(SUMMARY, document)[1].extra == ()
    endpoint = own(errors=("fault.code", "fault.text"), request=Request(total="rows"))
    document = {"fault": {"code": 0}, "rows": 1, "data": {"items": [item()]}}
    assert one(endpoint, document)[1].extra == ()


# Days


def dated(*days: int) -> dict[str, Any]:
    return {
        "list": [
            user(ref_date=f"2024-12-{day:02}", user_source=number)
            for number, day in enumerate(days)
        ]
    }


def test_rows_outside_the_window_are_dropped_and_counted() -> None:
    rows, outcome = one(SUMMARY, dated(1, 8, 7, 9))
    assert [row["ref_date"].day for row in rows] == [1, 7]
    assert outcome == Parsed({FIRST: 1, LAST: 1}, False, 2, 0, 0, ())


def test_a_flood_of_dates_is_read_and_forgotten() -> None:
    flood = [user(ref_date=dates.text(day)) for day in range(1, REMEMBERED + 100)]
    rows, outcome = one(SUMMARY, {"list": [user(user_source=1), *flood, user()]})
    assert [row["user_source"] for row in rows] == [1, 0]
    assert outcome.dropped == len(flood)
    label = outline(SUMMARY).root.arrays["list"].leaves["ref_date"][0].days
    for row in flood:
        assert label[row["ref_date"]] == dates.parse(row["ref_date"]) - dates.EPOCH
    assert len(label) <= REMEMBERED


def test_rows_that_all_lie_outside_the_window_reject_the_answer() -> None:
    assert one(SUMMARY, dated(9, 8, 8)) == (
        [],
        Rejected(
            "all 3 rows lie outside 2024-12-01..2024-12-07: 2024-12-08, 2024-12-09"
        ),
    )


@pytest.mark.parametrize(
    "owned", [((FIRST, FIRST), (LAST, LAST)), ((FIRST, FIRST + 1), (LAST - 1, LAST))]
)
def test_rows_of_days_that_the_call_does_not_own_are_ignored_and_counted(
    owned: Days,
) -> None:
    sent = payload(dated(1, 3, 3, 7, 8), owned=owned)
    for one_payload in (sent, slowly(sent)):
        rows, (outcome,) = parse(SUMMARY, one_payload)
        assert [row["ref_date"].day for row in rows] == [1, 7]
        assert outcome == Parsed({FIRST: 1, LAST: 1}, False, 1, 2, 0, ())


def test_a_call_that_owns_nothing_keeps_nothing() -> None:
    rows, outcomes = parse(SUMMARY, payload(dated(1, 2), owned=()))
    assert (rows, outcomes) == ([], [Parsed({}, False, 0, 2, 0, ())])


def test_days_of_one_answer_do_not_move_rows_of_another() -> None:
    sent = [
        payload(dated(1, 2)),
        payload(dated(9, 3), account=OTHER),
        payload(dated(9)),
        payload(dated(4)),
    ]
    rows, outcomes = parse(SUMMARY, *sent)
    assert [(row["account"], row["ref_date"].day) for row in rows] == [
        (ACCOUNT, 1),
        (ACCOUNT, 2),
        (OTHER, 3),
        (ACCOUNT, 4),
    ]
    assert [type(outcome) for outcome in outcomes] == [Parsed, Parsed, Rejected, Parsed]


# Rows that repeat


def test_equal_rows_of_one_answer_are_one_row_and_counted() -> None:
    rows, outcome = one(
        SUMMARY, {"list": [user(), user(), user(user_source=1), user()]}
    )
    assert len(rows) == 2
    assert outcome == Parsed({FIRST: 2}, False, 0, 0, 2, ())
    rows, outcome = one(SUMMARY, {"list": [user()]}, {"list": [user()]})
    assert (len(rows), outcome.collapsed) == (1, 1)


def test_rows_that_differ_under_one_key_are_all_kept() -> None:
    for other in (user(new_user=6), user(unknown=1)):
        rows, outcome = one(SUMMARY, {"list": [user(), other]})
        assert (len(rows), outcome.collapsed) == (2, 0)


def test_equal_rows_of_different_accounts_are_different_rows() -> None:
    sent = payload({"list": [user()]})
    rows, outcomes = parse(SUMMARY, sent, payload({"list": [user()]}, account=OTHER))
    assert [row["account"] for row in rows] == [ACCOUNT, OTHER]
    assert [outcome.collapsed for outcome in outcomes] == [0, 0]


# Many answers at once


def test_one_bad_answer_harms_no_other() -> None:
    good = payload({"list": [user()]})
    sent = [
        good,
        payload({"list": [user(new_user=1.5)]}),
        payload({"list": [user(new_user="7", x=1)]}, account=OTHER),
        good,
    ]
    rows, outcomes = parse(SUMMARY, *sent)
    assert [(row["account"], row["new_user"]) for row in rows] == [
        (ACCOUNT, 5),
        (OTHER, 7),
        (ACCOUNT, 5),
    ]
    assert isinstance(outcomes[1], Rejected)
    assert outcomes[2].extra == ("x",)
    rows, outcomes = parse(SUMMARY, sent[1], sent[1])
    assert rows == []


def test_answers_of_different_shapes_stand_in_one_batch() -> None:
    bare = {"ref_date": "2024-12-01", "cumulate_user": 5}
    full = {**bare, "user_source": 0}
    endpoint = CATALOGUE.endpoints["getusercumulate"]
    rows, _ = parse(endpoint, payload({"list": [bare]}), payload({"list": [full]}))
    assert [row["user_source"] for row in rows] == [None, 0]


def test_the_order_of_members_does_not_matter() -> None:
    rows, _ = one(
        SUMMARY,
        {"list": [user(), dict(reversed(user(user_source=1, new_user=8).items()))]},
    )
    assert [row["new_user"] for row in rows] == [5, 8]


def test_100_000_rows_are_read() -> None:
    document = {"list": [user(user_source=number) for number in range(100_000)]}
    batch, (outcome,) = tables.parse(SUMMARY, [payload(document)])
    assert batch.num_rows == outcome.rows[FIRST] == 100_000


def test_bytes_that_are_not_at_hand_are_not_needed_to_be_exact() -> None:
    whole = payload({"list": [user(new_user="7")]})
    bare = Payload(ACCOUNT, FIRST, LAST, ((FIRST, LAST),), whole.documents, ())
    rows, outcomes = parse(SUMMARY, bare)
    assert rows[0]["new_user"] == 7
    assert outcomes[0].rows == {FIRST: 1}


# The quick reader


def quick(endpoint: Endpoint, *bodies: bytes) -> columnwise.Columns:
    return columnwise.read(
        outline(endpoint), [((decode(body),), (body,)) for body in bodies]
    )


@pytest.mark.parametrize(
    "body",
    [
        orjson.dumps({"list": [user(), user(user_source=1)]}),
        json.dumps({"list": [user(), user(user_source=1)]}).encode(),
        json.dumps({"list": [user()], "is_delay": False}, indent=2).encode(),
        b"\xef\xbb\xbf" + orjson.dumps({"list": [user()], "is_delay": True}),
        b'{"list":[]}',
    ],
)
def test_plain_answers_are_read_the_quick_way(body: bytes) -> None:
    assert quick(SUMMARY, body, body).bounds[0] == 0


@pytest.mark.parametrize(
    "title", ["a:b", 'say "x": y', "back\\slash", "é", "line\nbreak", "\\u003a"]
)
def test_texts_of_all_sorts_are_read_the_quick_way(title: str) -> None:
    figures = {
        f.name: 1 for f in ARTICLE_TOTAL.fields if "details" in f.at and not f.nullable
    }
    article = {
        "ref_date": "2024-12-01",
        "msgid": "1_1",
        "title": title,
        "details": [{**figures, "stat_date": "2024-12-01"}],
    }
    for body in (
        orjson.dumps({"list": [article]}),
        json.dumps({"list": [article]}).encode(),
    ):
        if b"u003a" not in body:
            assert quick(ARTICLE_TOTAL, body).days
        rows, _ = one(ARTICLE_TOTAL, body)
        assert rows[0]["title"] == title


def test_the_quick_reader_remembers_a_bounded_number_of_shapes() -> None:
    endpoint = own(
        id="wide",
        rows=("list[]",),
        label="list[].day",
        fields=(
            Field(name="ref_date", at="list[].day", type="date32"),
            *(
                Field(name=f"f{n}", at=f"list[].f{n}", type="int64", nullable=True)
                for n in range(100)
            ),
        ),
    )
    for number in range(100):
        rows, _ = one(endpoint, {"list": [{"day": "2024-12-01", f"f{number}": 1}]})
        assert rows[0][f"f{number}"] == 1
    form = outline(endpoint)
    for number in range(100):
        columnwise.read(
            form,
            [
                (
                    ({"list": [{"day": "2024-12-01", f"f{number}": 1}]},),
                    (orjson.dumps({"list": [{"day": "2024-12-01", f"f{number}": 1}]}),),
                )
            ],
        )
    assert 0 < len(form.path[1].layouts) <= columnwise.LAYOUTS


# The schema


def test_the_schema_says_what_the_catalogue_says() -> None:
    schema = tables.schema(SUMMARY, account=False, version="2024-12")
    assert schema.names == [
        "ref_date",
        "user_source",
        "new_user",
        "cancel_user",
        "_extra",
    ]
    assert schema.metadata[b"endpoint"] == b"getusersummary"
    assert schema.metadata[b"catalogue_version"] == b"2024-12"
    field = schema.field("new_user")
    assert (field.type, field.nullable) == (pa.int64(), False)
    assert field.metadata[b"description"]
    assert field.metadata[b"unit"] == b"people"
    assert field.metadata[b"source"] == b"list[].new_user"
    assert field.metadata[b"additive"] in (b"true", b"false")
    assert schema.field("user_source").metadata[b"labels"] == b"user_source_follow"
    assert schema.field("_extra").nullable


def test_the_account_is_a_column_where_accounts_share_a_file() -> None:
    schema = tables.schema(SUMMARY, account=True)
    assert schema.names[0] == "account"
    assert b"catalogue_version" not in schema.metadata


def test_a_changed_endpoint_is_read_as_it_is_now() -> None:
    document = {"items": [item()]}
    assert one(FLAT, document)[0][0]["count"] == 3
    fewer = own(id="flat", rows=FLAT.rows, label=FLAT.label, fields=FLAT.fields[:1])
    assert list(one(fewer, document)[0][0]) == ["account", "ref_date", "_extra"]


def test_reading_needs_neither_pandas_nor_numpy() -> None:
    program = (
        "import sys\n"
        "from harvester import dates, tables\n"
        "from harvester.catalogue.load import catalogue\n"
        "one = tables.Payload('wx', 1, 2, ((1, 2),), ({'list': []},), (b'{\"list\":[]}',))\n"
        "tables.parse(catalogue().endpoints['getuserread'], [one, one])\n"
        "print({'pandas', 'numpy'} & sys.modules.keys())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


# Both readers, on anything

DAYS = st.sampled_from(["2024-12-01", "2024-12-02", "2024-12-09"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int32": st.integers(0, 2),
    "int64": st.integers(-3, 3) | st.sampled_from([2**53 + 1, 2**63 - 1]),
    "float64": st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 3),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    | st.sampled_from(["a:b", '"x":']),
    "bool": st.booleans(),
}
ODD = st.sampled_from(
    [
        None,
        True,
        False,
        1.0,
        1.5,
        -0.0,
        "7",
        "-3",
        "0.5",
        "x",
        "true",
        "",
        [],
        {},
        [1],
        {"a": 1},
        2**31,
        2**53 + 1,
        2**63,
        2**64,
        -(2**63) - 1,
        1e300,
        "2024-12-01",
        "20241201",
        [{}],
        {"x": {"y": 2**70}},
    ]
)
ENDPOINTS = [
    SUMMARY,
    ARTICLE_READ,
    ARTICLE_TOTAL,
    TOTAL_DETAIL,
    DISTRIBUTION,
    RETAIN,
    ADPOS,
    FLAT,
    own(),
]


@st.composite
def objects(draw: st.DrawFn, level: Level, spelling: str) -> dict[str, Any]:
    """An object as the catalogue describes it, now and then with something odd."""
    made: dict[str, Any] = {}
    for name, (column, *_) in level.leaves.items():
        if column.field.nullable and draw(st.booleans()):
            continue
        made[name] = draw(cells(column, spelling))
    for name, inner in level.objects.items():
        made[name] = draw(objects(inner, spelling))
    for name, below in level.arrays.items():
        rows = draw(st.lists(objects(below, spelling), max_size=3))
        made[name] = rows + draw(st.sampled_from([[], rows[:1]]))
    return draw(altered(made))


def cells(column: Any, spelling: str) -> st.SearchStrategy[Any]:
    if column.members is not None:
        return st.lists(objects(column.members, spelling), max_size=2)
    if column.field.type == "date32":
        return DAYS.map(
            lambda day: day.replace("-", "") if spelling == "YYYYMMDD" else day
        )
    return VALUES[column.field.type]


@st.composite
def altered(draw: st.DrawFn, made: dict[str, Any]) -> dict[str, Any]:
    """The object, or one with a member changed, missing, or more."""
    how = draw(st.integers(0, 40))
    name = draw(st.sampled_from([*made, "unknown"]))
    if how == 0:
        return {**made, name: draw(ODD)}
    if how == 1:
        return {other: value for other, value in made.items() if other != name}
    if how == 2:
        return {**made, "unknown": draw(ODD)}
    return made


@st.composite
def bodies(draw: st.DrawFn, endpoint: Endpoint) -> bytes:
    document = draw(objects(outline(endpoint).root, endpoint.label_format))
    if draw(st.booleans()):
        document["is_delay"] = draw(st.sampled_from([True, False, "true", 0, "x"]))
    style = draw(
        st.sampled_from(
            [{"separators": (",", ":"), "ensure_ascii": False}, {}, {"indent": 1}]
        )
    )
    text = json.dumps(document, **style)
    if draw(st.integers(0, 15)) == 0:
        name = draw(st.sampled_from(["ref_date", "new_user", "unknown", "key"]))
        text = text.replace(f'"{name}":', f'"{name}":1,"{name}":', 1)
    return text.encode()


@st.composite
def batches(draw: st.DrawFn) -> tuple[Endpoint, list[Payload]]:
    endpoint = draw(st.sampled_from(ENDPOINTS))
    owned = st.sampled_from(
        [((FIRST, LAST),), ((FIRST, FIRST),), ((FIRST, FIRST), (LAST, LAST))]
    )
    sizes = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    return endpoint, [
        payload(
            *(draw(bodies(endpoint)) for _ in range(size)),
            owned=draw(owned),
            account=f"wx{number}",
        )
        for number, size in enumerate(sizes)
    ]


@settings(max_examples=400, deadline=None)
@given(batches())
def test_both_readers_take_and_refuse_the_same(
    sent: tuple[Endpoint, list[Payload]],
) -> None:
    endpoint, payloads = sent
    together = parse(endpoint, *payloads)
    alone: Sequence[Any] = [
        parse(endpoint, slowly(one_payload)) for one_payload in payloads
    ]
    assert repr(together[0]) == repr([row for rows, _ in alone for row in rows])
    assert together[1] == [outcome for _, (outcome,) in alone]


@settings(max_examples=150, deadline=None)
@given(batches())
def test_what_the_quick_reader_takes_is_never_refused(
    sent: tuple[Endpoint, list[Payload]],
) -> None:
    endpoint, payloads = sent
    answers = [(one_payload.documents, one_payload.bodies) for one_payload in payloads]
    try:
        columns = columnwise.read(outline(endpoint), answers)
    except Unusual:
        return
    for one_payload, end in zip(payloads, columns.bounds[1:], strict=True):
        _, (outcome,) = parse(endpoint, slowly(one_payload))
        refused_for_its_days = (
            end and isinstance(outcome, Rejected) and "lie outside" in outcome.reason
        )
        delay_is_odd = isinstance(outcome, Rejected) and outcome.reason.startswith(
            "is_delay"
        )
        assert isinstance(outcome, Parsed) or refused_for_its_days or delay_is_odd
