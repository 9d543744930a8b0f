"""`harvester query`: SQL over the lake that reads, streams, and can do nothing else."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from by_hand import KNOWN, ONE, TWO, day, lay, readers, shelf
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import StorageError, UsageError
from harvester.lake.layout import Layout
from harvester.lake.sql import formats, query
from harvester.lake.sql.views import Shelf


@pytest.fixture
def place(tmp_path: Path) -> Shelf:
    """A lake with three rows of getuserread."""
    made = shelf(tmp_path / "it's a lake", Layout(0, "day"))
    lay(made, "getuserread", readers(ONE, "2024-12-01", {0: 3, 99999999: 3}))
    lay(made, "getuserread", readers(TWO, "2024-12-01", {0: 5}))
    return made


def rows(place: Shelf, sql: str) -> list[tuple[Any, ...]]:
    with query.answered(sql, KNOWN.endpoints.values(), KNOWN.labels, place) as answer:
        return [row for batch in answer.batches for row in formats.rows(batch)]


def listing(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def test_a_query_sees_every_endpoint_as_a_view(place: Shelf) -> None:
    sql = "SELECT account, sum(int_page_read_user) FROM getuserread WHERE NOT is_total GROUP BY ALL ORDER BY ALL"
    assert rows(place, sql) == [(ONE, 3), (TWO, 5)]
    assert {name for (name,) in rows(place, "SHOW TABLES")} == set(KNOWN.endpoints)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT 1 AS x) FROM a",
        "DESCRIBE getuserread",
        "SUMMARIZE getuserread",
        "VALUES (1)",
        "-- words first\nSELECT 1;",
        "EXPLAIN SELECT 1",
        "PIVOT getuserread ON user_source USING sum(int_page_read_user)",
        "SELECT 'copy that' AS words",
    ],
)
def test_every_way_to_read_is_allowed(sql: str, place: Shelf) -> None:
    assert rows(place, sql)


WRITES = [
    "COPY (SELECT 1) TO '{lake}/x.parquet'",
    "WITH a AS (COPY (SELECT 1) TO '{lake}/x.parquet') FROM a",
    "WITH a AS (copy/**/(SELECT 1) TO '{lake}/x.parquet') FROM a",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/x.parquet'",
    "WITH a AS (COPY (SELECT 1 AS b) TO '{lake}/x.parquet') PIVOT a ON b",
    "FROM query('WITH a AS (CO' || 'PY (SELECT 1) TO ''{twice}/x.parquet'') FROM a')",
    "ATTACH '{lake}/x.db'",
    "EXPORT DATABASE '{lake}/x'",
    "CREATE TABLE x AS SELECT 1",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA profile_output = '{lake}/x'",
    "CALL enable_logging(storage = 'file', storage_path = '{lake}/x')",
    "FROM enable_logging(storage = 'file', storage_path = '{lake}/x')",
    "SET enable_external_access = true",
    "SET VARIABLE x = 1",
    "SELECT 1; SELECT 2",
    "",
    "-- nothing but words",
]


@pytest.mark.parametrize("sql", WRITES)
def test_whatever_is_not_one_select_is_refused_and_nothing_is_written(
    sql: str, place: Shelf
) -> None:
    before = listing(Path(place.root))
    quoted = place.root.replace("'", "''")
    with pytest.raises(UsageError):
        rows(
            place,
            sql.replace("{lake}", quoted).replace("{twice}", quoted.replace("'", "''")),
        )
    assert listing(Path(place.root)) == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '../x.parquet'",
        "SELECT * FROM read_text('{lake}/../outside')",
        "SELECT * FROM 'https://127.0.0.1/x.parquet'",
        "SELECT * FROM place",
    ],
)
def test_nothing_outside_the_lake_can_be_read(sql: str, place: Shelf) -> None:
    Path(place.root).with_name("outside").write_text("secret")
    with pytest.raises(UsageError):
        rows(place, sql.replace("{lake}", place.root.replace("'", "''")))


def test_the_ledger_and_other_files_of_the_lake_can_be_read_by_their_path(
    place: Shelf,
) -> None:
    quoted = place.root.replace("'", "''")
    assert rows(place, f"SELECT buckets FROM read_json('{quoted}/lake.json')") == [(0,)]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM getuserreed", "Table with name getuserreed does not exist: did you mean 'getuserread'?"),
        ("SELECT user_sorce FROM getuserread", '"user_source"'),
        ("SELEC 1", "syntax error"),
        ("SELECT error('boom')", "boom"),
        ("SELECT CAST('x' || range AS INT) FROM range(9000)", "Could not convert"),
    ],
)  # fmt: skip
def test_wrong_sql_is_one_line_that_helps(sql: str, said: str, place: Shelf) -> None:
    with pytest.raises(UsageError) as caught:
        rows(place, sql)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: b"",
        lambda good: good[:-1],
        lambda good: good[:-8] + b"XXXXPAR1",
        lambda good: good[:4] + b"\xff" * 200 + good[204:],
    ],
    ids=["empty", "truncated", "footer", "page"],
)
def test_a_damaged_file_is_the_storages_fault_not_the_sqls(
    damage: Callable[[bytes], bytes], place: Shelf
) -> None:
    path = next(Path(place.root).glob("data/*/*/*/*.parquet"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StorageError, match="`harvester verify` says which"):
        rows(place, "SELECT max(COLUMNS(*)) FROM getuserread")


def test_what_fails_twice_is_tried_a_third_time() -> None:
    tries = iter([StorageError("gone"), StorageError("gone"), "found"])

    def begin() -> str:
        found = next(tries)
        if isinstance(found, StorageError):
            raise found
        return found

    assert query.repeated(begin) == "found"


def test_rows_are_streamed(place: Shelf) -> None:
    sql = "SELECT range AS a, repeat('x', 1000) AS b FROM range(1_000_000_000_000)"
    with query.answered(sql, (), {}, place) as answer:
        assert next(answer.batches).num_rows > 0


def test_a_query_needs_no_lock_and_leaves_nothing_behind(place: Shelf) -> None:
    before = listing(Path(place.root))
    (Path(place.root) / "lock").touch(mode=0o000)
    before = listing(Path(place.root))
    rows(place, "SELECT count(*) FROM getuserread")
    assert listing(Path(place.root)) == before


def test_dates_are_chinas(place: Shelf) -> None:
    sql = "SELECT timestamptz '2024-12-07 17:00:00+00' AS moment, CAST(moment AS DATE)"
    assert rows(place, sql) == [("2024-12-07T17:00:00+00:00", "2024-12-08")]


def batch(**columns: Any) -> pa.RecordBatch:
    return pa.record_batch(columns)


def text(make: Callable[..., Any], *batches: pa.RecordBatch) -> str:
    return "".join(make(batches[0].schema.names, iter(batches)))


def test_json_is_one_array_of_objects_and_exact() -> None:
    found = text(
        formats.json_text,
        batch(n=[2**62, None], when=[date(2024, 12, 7)] * 2, rate=[0.1, float("nan")]),
        batch(n=[1], when=[None], rate=[float("inf")]),
    )
    assert json.loads(found) == [
        {"n": 2**62, "when": "2024-12-07", "rate": 0.1},
        {"n": None, "when": "2024-12-07", "rate": None},
        {"n": 1, "when": None, "rate": None},
    ]


def test_json_without_rows_is_an_empty_array() -> None:
    assert json.loads("".join(formats.json_text(["a"], iter(())))) == []


def test_csv_has_a_header_and_lists_as_json() -> None:
    found = text(
        formats.csv_text,
        batch(a=['x,"y"', None], b=[True, False], c=[[{"s": "全部"}], []]),
    )
    assert list(csv.reader(io.StringIO(found))) == [
        ["a", "b", "c"],
        ['x,"y"', "true", '[{"s": "全部"}]'],
        ["", "false", "[]"],
    ]


def test_small_batches_make_one_row_group_and_many_make_several() -> None:
    some = batch(n=list(range(50_000)))
    found = [table.num_rows for table in formats.row_groups([some] * 7)]
    assert found == [150_000, 150_000, 50_000]
    assert list(formats.row_groups([])) == []


def test_two_columns_of_one_name_are_refused_where_they_would_be_one() -> None:
    with pytest.raises(UsageError, match="'a'"):
        "".join(formats.json_text(["a", "a"], iter(())))


def test_values_become_jsons() -> None:
    assert formats.plain(Decimal("12")) == 12
    assert formats.plain(Decimal("1.5")) == 1.5
    assert formats.plain({1: [b"\xff", datetime(2024, 12, 7, tzinfo=UTC)]}) == {
        "1": ["ff", "2024-12-07T00:00:00+00:00"]
    }
    assert formats.plain(UTC) == "UTC"


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.text())))
def test_json_gives_back_every_number_and_text(values: list[tuple[int, str]]) -> None:
    numbers, words = [n for n, _ in values], [w for _, w in values]
    made = pa.record_batch(
        {"n": pa.array(numbers, pa.int64()), "w": pa.array(words, pa.string())}
    )
    found = json.loads("".join(formats.json_text(["n", "w"], iter([made]))))
    assert [(row["n"], row["w"]) for row in found] == values


CONFIG = """
[lake]
path = "it's a lake"

[[accounts]]
appid = "wx00000000000000a1"
secret = "s3cret"
"""


def command(place: Shelf, *arguments: str) -> list[str]:
    """The command line, with the lake's configuration."""
    file = Path(place.root).with_name("accounts.toml")
    file.write_text(CONFIG)
    file.chmod(0o600)
    return [sys.executable, "-m", "harvester", "--config", str(file), *arguments]


def harvester(place: Shelf, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(place, *arguments), capture_output=True, check=False)


def test_the_command_prints_a_table_and_no_noise(place: Shelf) -> None:
    done = harvester(place, "query", "SELECT count(*) AS n FROM getuserread")
    assert (
        done.stdout.split() == [b"n", "─".encode(), b"3"] or b"3" in done.stdout.split()
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_json_equals_format_json(place: Shelf) -> None:
    sql = "SELECT account, int_page_read_user FROM getuserread ORDER BY ALL"
    found = harvester(place, "query", "--json", sql).stdout
    assert json.loads(found)[0] == {"account": ONE, "int_page_read_user": 3}
    assert harvester(place, "query", "--format", "json", sql).stdout == found


def test_sql_comes_from_a_file_and_parquet_goes_to_a_pipe(
    place: Shelf, tmp_path: Path
) -> None:
    file = tmp_path / "asked.sql"
    file.write_text(
        "SELECT account, ref_date, 1.5 AS half FROM getuserread ORDER BY ALL LIMIT 1"
    )
    found = harvester(place, "query", "-f", str(file), "--format", "parquet").stdout
    assert pq.read_table(io.BytesIO(found)).to_pylist() == [
        {"account": ONE, "ref_date": day("2024-12-01"), "half": Decimal("1.5")}
    ]


def test_parquet_is_kept_from_a_terminal(place: Shelf) -> None:
    theirs, ours = os.openpty()
    asking = command(place, "query", "SELECT 1", "--format", "parquet")
    done = subprocess.run(asking, stdout=ours, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"terminal" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "SELECT * FROM getuserreed"),
        ("query", "COPY (SELECT 1) TO 'x'"),
        ("query",),
        ("query", "SELECT 1", "-f", "x.sql"),
        ("query", "-f", "missing.sql"),
        ("views",),
        ("views", "--duckdb", "--spark"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], place: Shelf
) -> None:
    done = harvester(place, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1


def test_no_lake_is_exit_code_2(tmp_path: Path) -> None:
    done = harvester(Shelf(str(tmp_path / "none"), Layout()), "query", "SELECT 1")
    assert done.returncode == 2
    assert b"is no lake" in done.stderr


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_reader_that_goes_away_is_no_error(form: str, place: Shelf) -> None:
    sql = "SELECT range AS a FROM range(100_000_000)"
    asking = command(place, "query", "--format", form, sql)
    with subprocess.Popen(
        asking, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout
        assert running.stderr
        assert running.stdout.read(2)
        running.stdout.close()
        assert (running.wait(), running.stderr.read()) == (0, b"")


def test_the_views_that_are_printed_work_in_a_plain_duckdb(place: Shelf) -> None:
    import duckdb

    done = harvester(place, "views", "--duckdb")
    assert done.returncode == 0
    with duckdb.connect() as connection:
        connection.execute(done.stdout.decode())
        assert connection.execute("SELECT count(*) FROM getuserread").fetchall() == [
            (3,)
        ]
    as_json = json.loads(harvester(place, "views", "--duckdb", "--json").stdout)
    assert list(as_json["views"]) == list(KNOWN.endpoints)
