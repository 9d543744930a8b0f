"""The views hide the layout, explain the figures, and survive odd lakes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from by_hand import (
    KNOWN,
    LAYOUTS,
    ONE,
    TWO,
    day,
    endpoint,
    followers,
    lay,
    readers,
    shelf,
)

from harvester import tables
from harvester.lake.layout import Layout
from harvester.lake.sql import views
from harvester.lake.sql.query import statements
from harvester.lake.sql.views import Shelf

DAYS = Layout(0, "day")


@pytest.fixture(params=LAYOUTS, ids=lambda cut: f"{cut.buckets}-{cut.date}")
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return shelf(tmp_path / "lake", request.param)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def asked(connection: duckdb.DuckDBPyConnection, place: Shelf, sql: str) -> list[Any]:
    for statement in statements(KNOWN.endpoints.values(), KNOWN.labels, place):
        connection.execute(statement)
    return connection.execute(sql).fetchall()


def described(
    connection: duckdb.DuckDBPyConnection, place: Shelf, name: str
) -> dict[str, str]:
    found = asked(connection, place, f'DESCRIBE "{name}"')
    return {column: kind for column, kind, *_ in found}


def test_every_layout_gives_the_same_answer(
    place: Shelf, connection: duckdb.DuckDBPyConnection
) -> None:
    lay(place, "getuserread", readers(ONE, "2024-11-30", {0: 3, 99999999: 4}))
    lay(place, "getuserread", readers(ONE, "2024-12-01", {0: 5, 7: 1, 99999999: 6}))
    lay(place, "getuserread", readers(TWO, "2024-12-01", {0: 7}), part=1)
    found = asked(
        connection,
        place,
        "SELECT account, ref_date, user_source, int_page_read_user FROM getuserread "
        "WHERE ref_date >= '2024-12-01' AND NOT is_total ORDER BY ALL",
    )
    assert found == [
        (ONE, day("2024-12-01"), 0, 5),
        (ONE, day("2024-12-01"), 7, 1),
        (TWO, day("2024-12-01"), 0, 7),
    ]


def test_a_view_has_account_then_the_schema_then_what_it_means(
    place: Shelf, connection: duckdb.DuckDBPyConnection
) -> None:
    lay(place, "getuserread", readers(ONE, "2024-12-01", {0: 1}))
    own = [field.name for field in endpoint("getuserread").fields]
    assert list(described(connection, place, "getuserread")) == [
        "account", *own, "_extra", "user_source_label", "user_source_label_zh", "is_total",
    ]  # fmt: skip


@pytest.mark.parametrize("name", KNOWN.endpoints)
def test_an_endpoint_without_files_is_an_empty_view_of_the_same_columns(
    name: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    place = shelf(tmp_path, DAYS)
    empty = described(connection, place, name)
    assert asked(connection, place, f'SELECT count(*) FROM "{name}"') == [(0,)]
    row = {
        field.name: []
        if field.type == "list"
        else {"string": "", "date32": day("2024-12-01")}.get(field.type, 1)
        for field in endpoint(name).fields
    }
    lay(place, name, [{**row, "account": ONE}])
    assert described(connection, place, name) == empty
    assert asked(connection, place, f'SELECT count(*) FROM "{name}"') == [(1,)]


def test_labels_explain_values_in_two_languages_and_unknown_ones_stay(
    place: Shelf, connection: duckdb.DuckDBPyConnection
) -> None:
    lay(place, "getuserread", readers(ONE, "2024-12-01", {2: 1, 99999999: 1, 4711: 1}))
    found = asked(
        connection,
        place,
        "SELECT user_source, user_source_label, user_source_label_zh, is_total "
        "FROM getuserread ORDER BY ALL",
    )
    assert found == [
        (2, "Moments", "朋友圈", False),
        (4711, None, None, False),
        (99999999, "all sources together", "全部", True),
    ]


def test_only_endpoints_with_totals_among_their_rows_say_is_total(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    place = shelf(tmp_path, DAYS)
    having = {
        name
        for name in KNOWN.endpoints
        if "is_total" in described(connection, place, name)
    }
    assert having == {"getuserread", "getuserreadhour"}


def test_a_change_is_the_difference_to_the_day_before_and_null_after_a_gap(
    place: Shelf, connection: duckdb.DuckDBPyConnection
) -> None:
    figures = {"2024-11-30": 10, "2024-12-01": 14, "2024-12-02": 13, "2024-12-04": 20}
    lay(place, "getusercumulate", followers(ONE, figures))
    lay(place, "getusercumulate", followers(TWO, {"2024-12-01": 100}), part=1)
    found = asked(
        connection,
        place,
        "SELECT account, ref_date, cumulate_user_change FROM getusercumulate ORDER BY ALL",
    )
    assert found == [
        (ONE, day("2024-11-30"), None),
        (ONE, day("2024-12-01"), 4),
        (ONE, day("2024-12-02"), -1),
        (ONE, day("2024-12-04"), None),
        (TWO, day("2024-12-01"), None),
    ]


def test_an_articles_changes_add_up_to_its_total(
    place: Shelf, connection: duckdb.DuckDBPyConnection
) -> None:
    names = [
        field.name
        for field in endpoint("getarticletotaldetail").fields
        if field.cumulative
    ]
    common = {
        "account": ONE,
        "ref_date": day("2025-12-31"),
        "publish_type": 0,
        "title": "t",
    }
    lay(
        place,
        "getarticletotaldetail",
        [
            {**common, **dict.fromkeys(names, 0), "msgid": msgid, "stat_date": day(when), "read_user": figure}
            for msgid, when, figure in (
                ("1_1", "2025-12-31", 3),
                ("1_1", "2026-01-01", 8),
                ("1_1", "2026-01-02", 8),
                ("1_2", "2026-01-01", 5),
            )
        ],
    )  # fmt: skip
    found = asked(
        connection,
        place,
        "SELECT msgid, stat_date, read_user_change FROM getarticletotaldetail ORDER BY ALL",
    )
    assert found == [
        ("1_1", day("2025-12-31"), 3),
        ("1_1", day("2026-01-01"), 5),
        ("1_1", day("2026-01-02"), 0),
        ("1_2", day("2026-01-01"), None),
    ]


def test_a_file_from_before_a_column_existed_shows_null_and_a_later_one_is_left_out(
    place: Shelf, connection: duckdb.DuckDBPyConnection
) -> None:
    whole = tables.schema(endpoint("getuserread"), account=True)
    older = whole.remove(whole.get_field_index("share_user")).append(
        pa.field("later", pa.int64())
    )
    lay(place, "getuserread", readers(ONE, "2024-12-01", {0: 1}), schema=older)
    lay(place, "getuserread", readers(ONE, "2024-12-02", {0: 1}), part=1)
    found = asked(
        connection, place, "SELECT ref_date, share_user FROM getuserread ORDER BY ALL"
    )
    assert found == [(day("2024-12-01"), None), (day("2024-12-02"), 0)]


def test_lists_of_structs_stay_as_they_are(
    place: Shelf, connection: duckdb.DuckDBPyConnection
) -> None:
    source = [
        {"user_count": 4, "scene_desc": "全部"},
        {"user_count": 3, "scene_desc": "推荐"},
    ]
    row = {
        "account": ONE,
        "ref_date": day("2025-12-01"),
        "msgid": "1_1",
        "read_user": 4,
    }
    lay(place, "getarticleread", [{**row, "read_user_source": source}])
    assert asked(connection, place, "SELECT read_user_source FROM getarticleread") == [
        (source,)
    ]


ODD = (
    "it's a lake",
    "two  spaces",
    "st*r",
    "q?",
    "br[a]ck",
    "{a,b}",
    "account=wx/date=2020-01-01",
    "湖",
)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_path_is_only_a_path(
    name: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    place = shelf(tmp_path / name, DAYS)
    lay(place, "getuserread", readers(ONE, "2024-12-01", {0: 1}))
    found = asked(connection, place, "SELECT account, ref_date FROM getuserread")
    assert found == [(ONE, day("2024-12-01"))]


def test_a_day_and_an_account_open_only_their_files(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    place = shelf(tmp_path, DAYS)
    for when in ("2024-12-01", "2024-12-02"):
        lay(
            place,
            "getuserread",
            readers(ONE, when, {0: 1}) + readers(TWO, when, {0: 1}),
        )
    Path(place.root, "data/endpoint=getuserread", f"account={TWO}", "date=2024-12-02/part-0.parquet").write_bytes(b"no Parquet")  # fmt: skip
    where = f"WHERE account = '{ONE}' OR ref_date = '2024-12-01'"
    assert asked(connection, place, f"SELECT count(*) FROM getuserread {where}") == [
        (3,)
    ]


def test_spark_gets_an_explicit_schema_with_the_keys_of_the_path(place: Shelf) -> None:
    text = views.spark(endpoint("getuserread"), KNOWN.labels, place, empty=False)
    files, view = re.split(r";\n", text)[:2]
    assert "`user_source` INT COMMENT 'where the readers came from'" in files
    assert f"OPTIONS (path '{place.root}/data/endpoint=getuserread')" in files
    key = "date` DATE" if place.layout.date == "day" else "month` STRING"
    assert key in files
    assert ("`bucket` STRING" in files) == bool(place.layout.buckets)
    assert view.startswith("CREATE OR REPLACE TEMPORARY VIEW `getuserread` AS\nSELECT")


def test_spark_text_escapes_what_spark_would_read_otherwise(tmp_path: Path) -> None:
    place = Shelf("/it's/[a]\\b", DAYS)
    text = views.spark(endpoint("getusercumulate"), KNOWN.labels, place, empty=False)
    assert r"(path '/it\'s/\\[a\\]\\\\b/data/endpoint=getusercumulate')" in text


def test_spark_reads_no_path_for_an_endpoint_without_files() -> None:
    place = Shelf("/nowhere", DAYS)
    text = views.spark(
        endpoint("getarticletotaldetail"), KNOWN.labels, place, empty=True
    )
    assert "/nowhere" not in text
    assert (
        "CAST(NULL AS ARRAY<STRUCT<`user_count`: BIGINT, `scene_desc`: STRING>>)"
        in text
    )
