"""The catalogue says what WeChat's documents say, and names what is wrong in a file."""

import json
import pickle
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester import dates
from harvester.catalogue import describe, records
from harvester.catalogue.endpoint import Endpoint, Field, Request, Status
from harvester.catalogue.load import catalogue
from harvester.catalogue.values import nearest
from harvester.dates import Granularity
from harvester.errors import UsageError

DATA = Path(__file__).parent / "data"
PAGE = Path(__file__).parents[1] / "docs" / "endpoints.md"
NEXT = DATA / "next_families.endpoints.toml"

# Written down from the documents, not from the catalogue.
# id, span, safe span, granularity, earliest, settles, permission set, status, key
TRUTH = """
getusersummary           7  7 day         2014-12-01  0 2 active  ref_date user_source
getusercumulate          7  7 day         2014-12-01  0 2 active  ref_date
getarticleread           1  1 day         2025-11-01  0 7 active  ref_date msgid
getarticleshare          1  1 day         2025-11-01  0 7 active  ref_date msgid
getbizsummary           30 30 day         2025-11-01  0 7 active  ref_date
getarticletotaldetail    1  1 publish_day 2025-11-01 30 7 active  ref_date msgid stat_date
getarticlesummary        1  1 day         2014-12-01  0 7 retired ref_date msgid
getarticletotal          1  1 publish_day 2014-12-01  7 7 retired ref_date msgid stat_date
getuserread              3  3 day         2014-12-01  0 7 retired ref_date user_source
getuserreadhour          1  1 hour        2014-12-01  0 7 retired ref_date ref_hour user_source
getusershare             7  7 day         2014-12-01  0 7 retired ref_date share_scene
getusersharehour         1  1 hour        2014-12-01  0 7 retired ref_date ref_hour share_scene
getupstreammsg           7  7 day         2014-12-01  0 1 active  ref_date msg_type
getupstreammsghour       1  1 hour        2014-12-01  0 1 active  ref_date ref_hour msg_type
getupstreammsgweek      30  1 week        2014-12-01  0 1 active  ref_date msg_type
getupstreammsgmonth     30  1 month       2014-12-01  0 1 active  ref_date msg_type
getupstreammsgdist      15 15 day         2014-12-01  0 1 active  ref_date count_interval
getupstreammsgdistweek  15  1 week        2014-12-01  0 1 active  ref_date count_interval
getupstreammsgdistmonth 15  1 month       2014-12-01  0 1 active  ref_date count_interval
getinterfacesummary     30 30 day         2014-12-01  0 3 active  ref_date
getinterfacesummaryhour  1  1 hour        2014-12-01  0 3 active  ref_date ref_hour
""".strip().splitlines()

REPLACED_BY = {
    "getarticlesummary": ("getarticleread", "getarticleshare"),
    "getarticletotal": ("getarticletotaldetail",),
    "getuserread": ("getbizsummary", "getarticleread"),
    "getuserreadhour": ("getarticleread", "getbizsummary"),
    "getusershare": ("getarticleshare", "getbizsummary"),
    "getusersharehour": ("getarticleshare", "getbizsummary"),
}
ROWS = {
    "getarticletotal": ("list[].details[]",),
    "getarticletotaldetail": ("list[].detail_list[]",),
}
TYPES = {
    "date32[day]": "date32",
    "utf8": "string",
    "int8": "int32",
    "int16": "int32",
    "list<struct>": "list",
}
DOCUMENTED = json.loads((DATA / "datacube_fields.json").read_text(encoding="utf-8"))


def column(endpoint_id: str, name: str) -> Field:
    fields = catalogue().endpoints[endpoint_id].fields
    return next(field for field in fields if field.name == name)


# what is shipped


@pytest.mark.parametrize("line", TRUTH, ids=lambda line: line.split()[0])
def test_an_endpoint_is_as_documented(line: str) -> None:
    name, span, safe, granularity, earliest, settles, permission, status, *key = (
        line.split()
    )
    endpoint = catalogue().endpoints[name]
    assert (endpoint.span, endpoint.safe_span) == (int(span), int(safe))
    assert endpoint.granularity is Granularity(granularity)
    assert dates.text(endpoint.earliest) == earliest
    assert endpoint.settle_days == int(settles)
    assert endpoint.permission_set == int(permission)
    assert endpoint.status is Status(status)
    assert endpoint.key == tuple(key)
    assert endpoint.replaced_by == REPLACED_BY.get(name, ())
    assert endpoint.rows == ROWS.get(name, ("list[]",))
    assert endpoint.path == f"/datacube/{name}"
    assert endpoint.request == Request()
    assert endpoint.errors == ("errcode", "errmsg")
    assert (endpoint.label, endpoint.label_format) == ("list[].ref_date", "YYYY-MM-DD")
    assert endpoint.zh.startswith("获取")
    assert endpoint.source.endswith(f"/api_{name}.html")


def test_the_catalogue_holds_the_official_account_and_nothing_else() -> None:
    endpoints = catalogue().endpoints
    assert list(endpoints) == [line.split()[0] for line in TRUTH]
    assert Counter(endpoint.family for endpoint in endpoints.values()) == {
        "user": 2,
        "article": 10,
        "message": 7,
        "interface": 2,
    }


def columns_by_place(endpoint: Endpoint) -> dict[str, Field]:
    """The columns under the names that the documents use: `list[].a[].b`."""
    found = {}
    for field in endpoint.fields:
        if field.type == "list":
            found[f"{field.at}[]"] = field
        else:
            found[field.at] = field
        found |= {f"{field.at}[].{member.at}": member for member in field.fields}
    return found


LENIENT = {
    ("getuserread", "list[].user_source"),
    ("getuserreadhour", "list[].user_source"),
    ("getinterfacesummary", "list[].max_time_cost"),
    ("getinterfacesummaryhour", "list[].max_time_cost"),
    ("getarticleread", "list[].detail.read_user"),
}
"""Documented as always there, and absent from bodies that somebody published."""


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_documented_field_is_a_column_of_its_type(name: str) -> None:
    found = {
        place: [field.type, field.nullable]
        for place, field in columns_by_place(catalogue().endpoints[name]).items()
    }
    documented = {
        place: [TYPES.get(kind, kind), nullable or (name, place) in LENIENT]
        for place, (kind, nullable) in DOCUMENTED[name].items()
        if kind != "struct" and place != "is_delay"
    }
    assert found == documented


@pytest.mark.parametrize("name", DOCUMENTED)
def test_ref_date_comes_first_and_objects_are_flattened_to_their_leaves(
    name: str,
) -> None:
    fields = catalogue().endpoints[name].fields
    assert (fields[0].name, fields[0].type, fields[0].nullable) == (
        "ref_date",
        "date32",
        False,
    )
    assert [field.name for field in fields] == [
        field.at.split(".")[-1] for field in fields
    ]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_column_says_what_it_holds(name: str) -> None:
    for field in catalogue().endpoints[name].fields:
        assert field.en, field.name
        assert field.zh or field.en.endswith(("undocumented", "seen")), field.name
        figures = field.type in ("int64", "float64") and "undocumented" not in field.en
        assert bool(field.unit) == (figures or field.name == "ref_hour"), field.name


def test_people_means_and_running_totals_do_not_add_up() -> None:
    assert column("getusersummary", "new_user").additive
    assert column("getupstreammsg", "msg_count").additive
    assert column("getuserread", "int_page_read_count").additive
    assert column("getinterfacesummary", "total_time_cost").additive
    assert not column("getinterfacesummary", "max_time_cost").additive
    assert not column("getupstreammsg", "msg_user").additive
    assert not column("getbizsummary", "read_user").additive
    assert not column("getarticletotaldetail", "read_finish_rate").additive
    for endpoint_id, name in [
        ("getusercumulate", "cumulate_user"),
        ("getarticletotal", "int_page_read_count"),
        ("getarticletotaldetail", "comment_count"),
    ]:
        assert column(endpoint_id, name).cumulative
        assert not column(endpoint_id, name).additive


def test_totals_among_rows_are_marked() -> None:
    totals = {
        (name, label.value)
        for name, labels in catalogue().labels.items()
        for label in labels
        if label.total
    }
    assert totals == {("user_source_read", 99999999), ("scene_desc", "全部")}


def test_every_enumeration_explains_a_column() -> None:
    used = {
        one.labels
        for endpoint in catalogue().endpoints.values()
        for field in endpoint.fields
        for one in (field, *field.fields)
        if one.labels
    }
    assert used == set(catalogue().labels)
    assert used == {
        "user_source_follow",
        "user_source_read",
        "scene_desc",
        "share_scene",
        "msg_type",
        "count_interval",
        "publish_type",
        "read_jump_position",
    }


def test_the_catalogue_is_read_once_and_travels_to_other_processes() -> None:
    assert catalogue() is catalogue()
    assert pickle.loads(pickle.dumps(catalogue())) == catalogue()
    assert catalogue().version == "2026-11"


# selection


def selected(*selectors: str) -> list[str]:
    return [endpoint.id for endpoint in catalogue().select(selectors)]


def test_endpoints_are_selected_by_id_glob_family_and_group() -> None:
    everything = list(catalogue().endpoints)
    assert selected("getuserread") == ["getuserread"]
    assert selected("getuserread*") == ["getuserread", "getuserreadhour"]
    assert selected("user") == ["getusersummary", "getusercumulate"]
    assert selected("official_account") == everything
    assert selected("*") == everything
    assert selected() == []


def test_a_selection_is_in_the_catalogues_order_without_doubles() -> None:
    assert selected("getupstreammsg", "user", "getuser*ate", "getusersummary") == [
        "getusersummary",
        "getusercumulate",
        "getupstreammsg",
    ]


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ("getusersumary", "getusersummary"),
        ("GetUserRead", "getuserread"),
        ("articles", "article"),
        ("offical_account", "official_account"),
        ("getupstreammsgdist?", "getupstreammsgdist"),
    ],
)
def test_a_selector_that_names_nothing_is_refused_with_the_nearest(
    selector: str, meant: str
) -> None:
    with pytest.raises(UsageError) as caught:
        catalogue().select(["user", selector])
    assert (
        str(caught.value)
        == f"no endpoint matches {selector!r}: did you mean {meant!r}?"
    )


@given(st.text(max_size=40), st.lists(st.text(max_size=10), min_size=1, max_size=5))
def test_the_nearest_name_is_one_of_the_known(word: str, known: list[str]) -> None:
    hint = nearest(word, known)
    assert any(hint == f"did you mean {name!r}?" for name in known) or hint.startswith(
        "known: "
    )


# a file of one's own

OWN = (DATA / "own.endpoints.toml").read_text(encoding="utf-8")


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_own_file_adds_endpoints_labels_and_a_version(tmp_path: Path) -> None:
    path = write(tmp_path, OWN)
    added = catalogue(path)
    assert list(added.endpoints) == [*catalogue().endpoints, "getmine"]
    assert [label.en for label in added.labels["kinds"]] == ["first", "second"]
    assert [endpoint.id for endpoint in added.select(["mine"])] == ["getmine"]
    assert re.fullmatch(r"2026-11\+[0-9a-f]{8}", added.version)
    assert "getmine" not in catalogue().endpoints
    path.write_text(OWN.replace("one's own", "mine"), encoding="utf-8")
    assert catalogue(path).version != added.version


def test_what_an_endpoint_leaves_out_follows_from_the_rest(tmp_path: Path) -> None:
    endpoint = catalogue(write(tmp_path, OWN)).endpoints["getmine"]
    assert endpoint.path == "/datacube/getmine"
    assert (endpoint.safe_span, endpoint.settle_days, endpoint.permission_set) == (
        7,
        0,
        None,
    )
    assert {field.name: field.at for field in endpoint.fields} == {
        "ref_date": "list[].ref_date",
        "kind": "list[].details[].kind",
        "date_": "list[].date",
        "visits": "list[].details[].visits",
        "parts": "list[].details[].parts",
    }
    assert endpoint.fields[-1].fields == (
        Field(name="share", at="share", type="float64"),
    )


def test_a_column_named_like_a_path_key_stands_where_its_source_does(
    tmp_path: Path,
) -> None:
    text = OWN.replace(', at = "list[].date"', "")
    endpoint = catalogue(write(tmp_path, text)).endpoints["getmine"]
    assert endpoint.fields[2].at == "list[].details[].date"


def test_a_shipped_endpoint_is_replaced_in_its_place_when_the_file_says_so(
    tmp_path: Path,
) -> None:
    text = OWN.replace('id = "getmine"', 'id = "getusersummary"\nreplaces = true')
    changed = catalogue(write(tmp_path, text))
    assert list(changed.endpoints) == list(catalogue().endpoints)
    assert changed.endpoints["getusersummary"].family == "mine"


def test_values_may_be_added_to_a_shipped_enumeration(tmp_path: Path) -> None:
    text = """[labels]
share_scene = [
  { value = 7, en = "elsewhere" },
  { value = 5, en = "found out", replaces = true },
]"""
    labels = catalogue(write(tmp_path, text)).labels["share_scene"]
    assert [label.value for label in labels] == [1, 2, 3, 5, 255, 7]
    assert labels[3].en == "found out"


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert "getmine" in catalogue(write(tmp_path, f"\ufeff{OWN}")).endpoints


# the families that come next


def test_the_next_families_need_data_only() -> None:
    assert [
        endpoint.id
        for endpoint in catalogue(NEXT).select(["publisher", "mini_program"])
    ] == [
        "publisher_adpos_general",
        "publisher_cps_general",
        "getweanalysisappiddailyvisittrend",
        "getweanalysisappidweeklyvisittrend",
        "getweanalysisappidmonthlyvisittrend",
        "getweanalysisappidvisitdistribution",
        "getweanalysisappiddailyretaininfo",
    ]


def test_a_paged_get_is_data() -> None:
    endpoint = catalogue(NEXT).endpoints["publisher_adpos_general"]
    assert (endpoint.path, endpoint.span) == ("/publisher/stat", 90)
    assert endpoint.request == Request(
        method="GET",
        first="start_date",
        constant=(("action", "publisher_adpos_general"),),
        page="page",
        page_size=("page_size", 90),
        total="total_num",
    )
    assert endpoint.errors == ("base_resp.ret", "base_resp.err_msg")
    assert endpoint.label == endpoint.fields[0].at == "list[].date"
    assert [field.at for field in endpoint.fields if field.name == "date_"] == [
        "list[].date"
    ]
    assert endpoint.key == ("ref_date", "ad_slot")


@pytest.mark.parametrize(
    ("name", "granularity", "label", "day"),
    [
        ("daily", "day", "20170313", "2017-03-13"),
        ("weekly", "week", "20170306-20170312", "2017-03-06"),
        ("monthly", "month", "201703", "2017-03-01"),
    ],
)
def test_labels_of_mini_programs_are_data(
    name: str, granularity: str, label: str, day: str
) -> None:
    endpoint = catalogue(NEXT).endpoints[f"getweanalysisappid{name}visittrend"]
    assert endpoint.granularity is Granularity(granularity)
    assert endpoint.request.format == "YYYYMMDD"
    assert endpoint.request.whole_period == (name != "daily")
    assert dates.text(dates.PARSERS[endpoint.label_format](label)) == day


def test_a_date_beside_nested_lists_is_data() -> None:
    endpoint = catalogue(NEXT).endpoints["getweanalysisappidvisitdistribution"]
    assert endpoint.rows == ("list[].item_list[]",)
    assert [field.at for field in endpoint.fields] == [
        "ref_date",
        "list[].index",
        "list[].item_list[].key",
        "list[].item_list[].value",
        "list[].item_list[].access_source_visit_uv",
    ]


def test_rows_in_several_arrays_are_data() -> None:
    endpoint = catalogue(NEXT).endpoints["getweanalysisappiddailyretaininfo"]
    assert endpoint.rows == ("visit_uv_new[]", "visit_uv[]")
    assert [(field.name, field.at) for field in endpoint.fields] == [
        ("ref_date", "ref_date"),
        ("cohort", "@rows"),
        ("key", "visit_uv_new[].key"),
        ("value", "visit_uv_new[].value"),
    ]


# the page


def test_the_page_of_endpoints_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == describe.page(catalogue()), (
        "run `make docs`"
    )


def test_the_pages_example_of_an_own_file_loads(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", describe.page(catalogue()), re.DOTALL)
    assert example is not None
    assert "getexample" in catalogue(write(tmp_path, example[1])).endpoints


def test_the_page_names_every_key_that_a_file_may_hold() -> None:
    page = describe.page(catalogue())
    own = page[page.index("## Endpoints of your own") :]
    keys = [*records.ENDPOINT.readers, *records.FIELD.readers, *records.REQUEST.readers]
    assert [key for key in keys if key not in own] == []


def test_a_cell_of_the_page_cannot_break_its_table(tmp_path: Path) -> None:
    path = write(tmp_path, OWN.replace('en = "first"', 'en = "a | b <i>"'))
    assert r"| `1` | a \| b &lt;i> |  |  |" in describe.page(catalogue(path))
