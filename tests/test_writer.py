"""From the spool to data files and ledger: what a build makes of answers."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import lakes
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lakes import ENDPOINT, FIRST, LAYOUTS, appid, body, record, refusal, rows

from harvester import dates, tables
from harvester.catalogue.load import catalogue
from harvester.errors import StorageError, UsageError
from harvester.lake.build import commit, encode, findings
from harvester.lake.build.findings import BAD_VALUE, IS_DELAY
from harvester.lake.frames import Chunk
from harvester.lake.layout import Layout
from harvester.lake.spool import Record
from harvester.lake.store import Store

WEEK = range(FIRST, FIRST + 7)


@pytest.fixture(params=LAYOUTS, ids=str)
def cut(request: pytest.FixtureRequest) -> Layout:
    layout: Layout = request.param
    return layout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with lakes.opened(root) as opened:
        yield opened


def built(store: Store, *records: Record) -> Any:
    store.put_away("g", records)
    return store.build("g")


def paths(root: Path) -> list[str]:
    return sorted(
        path.relative_to(root).as_posix() for path in root.glob("data/**/*.parquet")
    )


def test_every_row_is_in_the_lake_once(root: Path, cut: Layout) -> None:
    truth = {account: rows(WEEK, seed=account) for account in range(1, 9)}
    records = [record(account, FIRST, FIRST + 6, its) for account, its in truth.items()]
    with lakes.opened(root, cut) as store:
        found = built(store, *records)
        assert found.rows == found.rows_by_endpoint[ENDPOINT.id] == 8 * 7 * 3
        assert found.cells == Counter({(ENDPOINT.id, "held"): 8 * 7})
        assert found.files == len(paths(root))
        for account in truth:
            assert lakes.outcomes(store.ledger, account) == dict.fromkeys(WEEK, "held")
    assert lakes.held(root) == lakes.expected(truth)
    lakes.check_files(root)


def test_files_lie_where_the_layout_says(root: Path, cut: Layout) -> None:
    with lakes.opened(root, cut) as store:
        built(store, record(1, FIRST, FIRST + 6, rows(WEEK)))
    expected = {
        cut.partition(ENDPOINT.id, appid(1), day) + "/part-0.parquet" for day in WEEK
    }
    assert set(paths(root)) == expected


def test_duckdb_reads_the_partitions_as_columns(root: Path, cut: Layout) -> None:
    with lakes.opened(root, cut) as store:
        built(store, *[record(n, FIRST, FIRST + 6, rows(WEEK)) for n in (1, 2)])
    sql = (
        f"SELECT account, ref_date, sum(new_user) AS new_user FROM "
        f"read_parquet('{root}/data/**/*.parquet', hive_partitioning = true) "
        f"GROUP BY ALL ORDER BY ALL"
    )
    with duckdb.connect() as connection:
        found = connection.execute(sql).fetchall()
    expected = [
        (appid(n), ref_date, sum(row[1] for row in its))
        for n in (1, 2)
        for ref_date, its in _dated(rows(WEEK))
    ]
    assert found == expected


def _dated(content: lakes.Rows) -> list[tuple[Any, Any]]:
    return [(dates.date.fromordinal(day), its) for day, its in content.items()]


def test_a_file_has_the_explicit_schema_and_says_what_its_fields_mean(
    root: Path, cut: Layout
) -> None:
    with lakes.opened(root, cut) as store:
        built(store, record(1, FIRST, FIRST, rows([FIRST])))
    (path,) = paths(root)
    found = pq.read_schema(root / path)
    expected = tables.schema(
        ENDPOINT, account=cut.buckets > 0, version=catalogue().version
    )
    assert found.equals(expected, check_metadata=True)
    assert found.field("new_user").metadata[b"additive"] == b"true"


def test_rows_are_sorted_by_account_date_and_key(root: Path) -> None:
    with lakes.opened(root, Layout(1, "month")) as store:
        for account in (3, 1, 2):
            shuffled = {day: rows([day])[day][::-1] for day in reversed(WEEK)}
            store.put_away("g", [record(account, FIRST, FIRST + 6, shuffled)])
        store.build("g")
    for path in paths(root):
        table = pq.read_table(root / path, partitioning=None)
        keys = [
            ("account", "ascending"),
            ("ref_date", "ascending"),
            ("user_source", "ascending"),
        ]
        assert table.equals(table.sort_by(keys))


def test_a_page_that_rots_is_noticed(root: Path, store: Store) -> None:
    built(store, record(1, FIRST, FIRST, rows([FIRST], sources=40)))
    (path,) = paths(root)
    content = bytearray((root / path).read_bytes())
    content[40] ^= 1
    (root / path).write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(root / path, page_checksum_verification=True)


def test_small_files_are_spared_what_large_ones_need() -> None:
    def options(size: int) -> tuple[str, bool, bool]:
        table = pa.table({"a": pa.array(range(size), pa.int64())})
        data = pa.BufferReader(encode.encode(table, "auto"))
        column = pq.read_metadata(data).row_group(0).column(0)
        return column.compression, column.is_stats_set, column.has_dictionary_page

    assert options(100) == ("SNAPPY", False, False)
    assert options(10_000) == ("ZSTD", True, True)


def test_a_row_group_stays_readable_in_parallel() -> None:
    table = pa.table({"a": pa.array(range(300_000), pa.int64())})
    metadata = pq.read_metadata(pa.BufferReader(encode.encode(table, "snappy")))
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [131_072, 131_072, 37_856]
    assert groups[0].column(0).compression == "SNAPPY"


def test_an_owned_day_without_rows_is_empty(root: Path, store: Store) -> None:
    found = built(store, record(1, FIRST, FIRST + 3, rows([FIRST, FIRST + 2])))
    assert lakes.outcomes(store.ledger, 1) == {
        FIRST: "held",
        FIRST + 1: "empty",
        FIRST + 2: "held",
        FIRST + 3: "empty",
    }
    assert found.cells == Counter({(ENDPOINT.id, "held"): 2, (ENDPOINT.id, "empty"): 2})


def test_a_call_speaks_of_the_days_it_owns_alone(root: Path, store: Store) -> None:
    built(
        store, record(1, FIRST, FIRST + 6, rows(WEEK), owned=((FIRST + 1, FIRST + 2),))
    )
    assert set(lakes.outcomes(store.ledger, 1)) == {FIRST + 1, FIRST + 2}
    truth = {1: rows([FIRST + 1, FIRST + 2])}
    assert lakes.held(root) == lakes.expected(truth)


def test_rows_outside_the_window_are_dropped_and_counted(
    root: Path, store: Store
) -> None:
    content = {**rows([FIRST]), **rows([FIRST + 30])}
    found = built(store, record(1, FIRST, FIRST, content))
    assert found.dropped == 3
    assert lakes.held(root) == lakes.expected({1: rows([FIRST])})


def test_equal_rows_of_an_answer_collapse_and_are_counted(
    root: Path, store: Store
) -> None:
    once = rows([FIRST])
    found = built(
        store, record(1, FIRST, FIRST, {FIRST: [*once[FIRST], once[FIRST][0]]})
    )
    assert found.collapsed == 1
    assert lakes.held(root) == lakes.expected({1: once})


def test_unknown_fields_are_kept_and_named(root: Path, store: Store) -> None:
    document = orjson.loads(body(rows([FIRST], sources=1)))
    document["list"][0]["mood"] = "fine"
    found = built(store, record(1, FIRST, FIRST, {}, pages=(orjson.dumps(document),)))
    assert found.extra == {"getusersummary: mood"}
    (path,) = paths(root)
    assert pq.read_table(root / path).column("_extra").to_pylist() == [
        '{"mood":"fine"}'
    ]


def test_a_delayed_answer_is_kept_and_pending(root: Path, store: Store) -> None:
    content = rows([FIRST])
    delayed = record(
        1, FIRST, FIRST + 1, content, pages=(body(content, is_delay=True),)
    )
    found = built(store, delayed)
    assert lakes.held(root) == lakes.expected({1: content})
    known = store.ledger.known(appid(1))[ENDPOINT.id]
    assert [(one.outcome, one.code) for one in known] == [("pending", IS_DELAY)]
    assert found.cells == Counter({(ENDPOINT.id, "pending"): 2})
    final = rows([FIRST, FIRST + 1], seed=2)
    built(store, record(1, FIRST, FIRST + 1, final, fetched_at=lakes.MOMENT + 1))
    assert lakes.held(root) == lakes.expected({1: final})
    assert set(lakes.outcomes(store.ledger, 1).values()) == {"held"}


def test_days_alike_join_to_one_entry(store: Store) -> None:
    built(
        store, record(1, FIRST, FIRST + 6, rows(WEEK)), record(2, FIRST, FIRST + 6, {})
    )
    entries = {one["account"]: one for one in lakes.cells(store.ledger)}
    assert len(entries) == len(lakes.cells(store.ledger)) == 2
    one = entries[appid(1)]
    assert (one["first_date"], one["last_date"]) == (FIRST, FIRST + 6)
    assert (one["outcome"], one["rows"], one["rows_changed"]) == ("held", 21, 0)
    assert one["catalogue_version"] == catalogue().version
    assert entries[appid(2)]["outcome"] == "empty"


def test_an_answer_that_cannot_be_taken_is_a_failure_with_its_bytes_kept(
    root: Path, store: Store
) -> None:
    odd = b'{"list":[{"ref_date":"2024-12-30","user_source":"?","new_user":1,"cancel_user":1}]}'
    good = rows([FIRST])
    found = built(
        store,
        record(1, FIRST, FIRST + 1, {}, pages=(odd,), rid="r-1"),
        record(2, FIRST, FIRST, good),
        record(3, FIRST, FIRST, {}, pages=(b"<html>",)),
    )
    assert lakes.held(root) == lakes.expected({2: good})
    assert found.cells == Counter(
        {(ENDPOINT.id, "failed"): 3, (ENDPOINT.id, "held"): 1}
    )
    failure, other = found.failures
    assert (failure.code, failure.appid, failure.rid) == (BAD_VALUE, appid(1), "r-1")
    assert "user_source" in failure.message
    assert "JSON" in other.message
    (entry,) = [one for one in lakes.cells(store.ledger) if one["account"] == appid(1)]
    assert (entry["outcome"], entry["code"]) == ("failed", BAD_VALUE)
    kept = root / entry["message"].rpartition("kept as ")[2]
    assert kept.read_bytes() == odd
    assert kept.stat().st_mode & 0o777 == 0o600
    assert {folder.stat().st_mode & 0o777 for folder in kept.parents[:2]} == {0o700}


def test_refusals_become_entries_as_they_are(root: Path, store: Store) -> None:
    found = built(
        store,
        refusal(
            1,
            FIRST,
            FIRST + 3000,
            "denied",
            code="48001",
            message="not granted",
            next_try_at=lakes.MOMENT + 9,
            attempts=2,
        ),
        refusal(
            2, FIRST, FIRST, "failed", owned=((FIRST, FIRST), (FIRST + 2, FIRST + 3))
        ),
    )
    assert (found.cells, found.failures) == (Counter(), ())
    denied, *failed = lakes.cells(store.ledger)
    assert (denied["outcome"], denied["code"], denied["attempts"]) == (
        "denied",
        "48001",
        2,
    )
    assert (denied["first_date"], denied["last_date"]) == (FIRST, FIRST + 3000)
    assert [
        (one["first_date"] - FIRST, one["last_date"] - FIRST) for one in failed
    ] == [
        (0, 0),
        (2, 3),
    ]


def test_an_endpoint_as_a_whole_can_be_refused(root: Path, store: Store) -> None:
    built(store, refusal(1, FIRST, FIRST, "retired", appid="*", pages=(b"gone",)))
    (known,) = store.ledger.known("*")[ENDPOINT.id]
    assert known.outcome == "retired"
    assert [
        path.name.startswith("_-getusersummary") for path in root.glob("rejected/*/*")
    ] == [True]


def test_a_cell_written_again_replaces_its_rows_where_they_are(
    root: Path, cut: Layout
) -> None:
    first, second = rows(WEEK), rows([FIRST + 2, FIRST + 3], seed=5)
    with lakes.opened(root, cut) as store:
        built(
            store,
            record(1, FIRST, FIRST + 6, first),
            record(2, FIRST, FIRST + 6, first),
        )
        before = paths(root)
        later = lakes.MOMENT + 1
        built(store, record(1, FIRST + 2, FIRST + 3, second, fetched_at=later))
        changed = lakes.cells(store.ledger)[-1]
    assert paths(root) == before
    assert lakes.held(root) == lakes.expected({1: {**first, **second}, 2: first})
    assert (changed["rows"], changed["rows_changed"]) == (6, 6)
    lakes.check_files(root)


def test_a_cell_that_is_the_same_again_leaves_its_file_alone(
    root: Path, cut: Layout
) -> None:
    content = rows(WEEK)
    with lakes.opened(root, cut) as store:
        built(store, record(1, FIRST, FIRST + 6, content))
        found = built(
            store, record(1, FIRST, FIRST + 6, content, fetched_at=lakes.MOMENT + 1)
        )
        assert (found.files, found.rows) == (0, 21)
        entry = lakes.cells(store.ledger)[-1]
        assert (entry["rows"], entry["rows_changed"]) == (21, 0)
    assert lakes.held(root) == lakes.expected({1: content})


def test_new_cells_go_to_one_further_file(root: Path) -> None:
    with lakes.opened(root, Layout(1, "month")) as store:
        built(store, record(1, FIRST, FIRST, rows([FIRST])))
        again = {**rows([FIRST], seed=7), **rows([FIRST + 1])}
        built(store, record(1, FIRST, FIRST + 1, again, fetched_at=lakes.MOMENT + 1))
        built(store, record(2, FIRST, FIRST + 1, rows([FIRST, FIRST + 1])))
    parts = [pq.read_metadata(root / path).num_rows for path in paths(root)]
    assert [path.rpartition("/")[2] for path in paths(root)] == [
        "part-0.parquet",
        "part-1.parquet",
        "part-2.parquet",
    ]
    assert parts == [3, 3, 6]
    assert lakes.held(root) == lakes.expected({1: again, 2: rows([FIRST, FIRST + 1])})
    lakes.check_files(root)


def test_fewer_rows_than_before_are_taken_and_said(root: Path, cut: Layout) -> None:
    with lakes.opened(root, cut) as store:
        built(store, record(1, FIRST, FIRST, rows([FIRST], sources=5)))
        fewer = rows([FIRST], sources=2)
        found = built(
            store, record(1, FIRST, FIRST, fewer, fetched_at=lakes.MOMENT + 1)
        )
        entry = lakes.cells(store.ledger)[-1]
    assert found.shrunk == 1
    assert entry["message"] == "2 rows, 5 before"
    assert (entry["rows"], entry["rows_changed"]) == (2, 3)
    assert lakes.held(root) == lakes.expected({1: fewer})


@pytest.mark.parametrize("said", ["answered", "empty"])
def test_an_empty_answer_leaves_held_rows_and_counts_as_a_look(
    root: Path, cut: Layout, said: str
) -> None:
    content = rows(WEEK)
    with lakes.opened(root, cut) as store:
        built(store, record(1, FIRST, FIRST + 6, content))
        later = lakes.MOMENT + 5_000_000
        found = built(
            store, record(1, FIRST, FIRST + 1, {}, outcome=said, fetched_at=later)
        )
        first, *_ = store.ledger.known(appid(1))[ENDPOINT.id]
        entry = lakes.cells(store.ledger)[-1]
    assert lakes.held(root) == lakes.expected({1: content})
    assert (first.outcome, first.first, first.last) == ("held", FIRST, FIRST + 1)
    assert first.fetched_at.second == (lakes.MOMENT // 1_000_000 + 5) % 60
    assert (entry["rows"], entry["message"]) == (6, "no rows now: the 3 of before stay")
    assert found.files == 0


@pytest.mark.parametrize("between", ["failed", "denied", "pending"])
def test_a_refusal_between_two_answers_doubles_nothing(
    root: Path, cut: Layout, between: str
) -> None:
    """The ledger then says failed, and the rows are there all the same."""
    with lakes.opened(root, cut) as store:
        built(store, record(1, FIRST, FIRST + 6, rows(WEEK)))
        built(store, refusal(1, FIRST, FIRST + 6, between))
        assert set(lakes.outcomes(store.ledger, 1).values()) == {between}
        second = rows(WEEK, seed=2)
        built(store, record(1, FIRST, FIRST + 6, second, fetched_at=lakes.MOMENT + 1))
        built(store, record(1, FIRST, FIRST, {}, fetched_at=lakes.MOMENT + 2))
    assert lakes.held(root) == lakes.expected({1: second})


def test_of_two_answers_in_one_build_the_later_counts(root: Path, cut: Layout) -> None:
    first, second = rows(WEEK), rows([FIRST + 1], seed=9)
    with lakes.opened(root, cut) as store:
        built(
            store,
            record(1, FIRST, FIRST + 6, first),
            record(1, FIRST + 1, FIRST + 1, second, fetched_at=lakes.MOMENT + 1),
            record(1, FIRST + 2, FIRST + 2, {}, fetched_at=lakes.MOMENT + 2),
        )
    assert lakes.held(root) == lakes.expected({1: {**first, **second}})
    lakes.check_files(root)


def test_an_answer_after_a_refusal_of_the_same_build_counts(
    root: Path, store: Store
) -> None:
    built(
        store,
        refusal(1, FIRST, FIRST + 6, "failed"),
        record(1, FIRST, FIRST + 2, rows(range(FIRST, FIRST + 3))),
    )
    expected = dict.fromkeys(WEEK, "failed") | dict.fromkeys(
        range(FIRST, FIRST + 3), "held"
    )
    assert lakes.outcomes(store.ledger, 1) == expected


def test_groups_and_endpoints_are_built_apart(root: Path, store: Store) -> None:
    store.put_away("a", [record(1, FIRST, FIRST, rows([FIRST]))])
    cumulate = orjson.dumps(
        {"list": [{"ref_date": dates.text(FIRST), "cumulate_user": 7}]}
    )
    store.put_away(
        "b",
        [
            record(2, FIRST, FIRST, rows([FIRST])),
            record(2, FIRST, FIRST, {}, endpoint="getusercumulate", pages=(cumulate,)),
        ],
    )
    found = store.build("b")
    assert found.rows_by_endpoint == Counter(
        {"getusersummary": 3, "getusercumulate": 1}
    )
    assert store.ledger.known(appid(1)) == {}
    assert len(list((root / "spool").iterdir())) == 1
    store.build("a")
    assert list((root / "spool").iterdir()) == []


def test_a_build_of_nothing_is_nothing(store: Store) -> None:
    found = store.build("never-heard-of")
    assert (found.rows, found.files) == (0, 0)


def test_many_files_are_many_commits_and_joined_entries_stay_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "FILES", 5)
    truth = {account: rows(WEEK, seed=account) for account in range(1, 6)}
    with lakes.opened(root) as store:
        built(store, *[record(n, FIRST, FIRST + 6, its) for n, its in truth.items()])
        assert store.ledger.sequence == 7
        for account in truth:
            assert lakes.outcomes(store.ledger, account) == dict.fromkeys(WEEK, "held")
    assert lakes.held(root) == lakes.expected(truth)
    lakes.check_files(root)


def test_a_build_that_is_not_wanted_any_more_leaves_the_rest_to_the_next_start(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "FILES", 5)
    truth = {account: rows(WEEK, seed=account) for account in range(1, 4)}
    answers = iter([True, True, True, False])
    with lakes.opened(root) as store:
        store.put_away(
            "g", [record(n, FIRST, FIRST + 6, its) for n, its in truth.items()]
        )
        found = store.build("g", wanted=lambda: next(answers))
        assert (found.files, found.rows) == (10, 30)
        assert list((root / "tmp").iterdir()) == []
    with Store.open(root, LAYOUTS[0], lakes.recipe(run_id="run-2")) as store:
        assert store.recover().files == 11
    assert lakes.held(root) == lakes.expected(truth)
    lakes.check_files(root)


@pytest.mark.parametrize("cut", [Layout(0, "day"), Layout(2, "month")], ids=str)
@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(("memory", "in_one"), [(50_000, True), (6_000, False)])
def test_a_long_history_is_built_slab_by_slab(
    root: Path,
    cut: Layout,
    newest_first: bool,
    memory: int,
    in_one: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A partition larger than the memory goes on in a further file."""
    monkeypatch.setattr("harvester.lake.build.sweep.MEGABYTE", memory)
    history = range(FIRST - 139, FIRST + 1)
    truth = {account: rows(history, seed=account) for account in (1, 2, 3)}
    with lakes.opened(root, cut, memory_mb=1) as store:
        for start in sorted(history[::7], reverse=newest_first):
            days = range(start, start + 7)
            store.put_away(
                "g",
                [
                    record(n, start, start + 6, {day: its[day] for day in days})
                    for n, its in truth.items()
                ],
            )
        store.build("g")
        assert store.ledger.sequence > 2
        for account in truth:
            assert lakes.outcomes(store.ledger, account) == dict.fromkeys(
                history, "held"
            )
    assert lakes.held(root) == lakes.expected(truth)
    parts = {path.rpartition("/")[2] for path in paths(root)}
    assert (parts == {"part-0.parquet"}) == (in_one or cut.date == "day")
    lakes.check_files(root)


def test_answers_that_reach_over_slabs_all_come_into_the_ledger(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvester.lake.build.sweep.MEGABYTE", 6_000)
    history = range(FIRST - 139, FIRST + 1)
    truth = {account: rows(history, seed=account) for account in range(1, 6)}
    records = []
    for account, its in truth.items():
        for start in range(history[0] - account, FIRST + 1, 7):
            days = [day for day in range(start, start + 7) if day in its]
            records.append(
                record(account, days[0], days[-1], {day: its[day] for day in days})
            )
    with lakes.opened(root, Layout(2, "month"), memory_mb=1) as store:
        store.put_away("g", records)
        store.build("g")
        for account in truth:
            held = lakes.outcomes(store.ledger, account)
            assert held == dict.fromkeys(history, "held")
    assert lakes.held(root) == lakes.expected(truth)
    lakes.check_files(root)


def test_an_answer_to_an_open_month_is_replaced_in_a_later_slab(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvester.lake.build.sweep.MEGABYTE", 3_000)
    month = range(FIRST + 2, FIRST + 30)
    first, second = rows(month), rows(month[10:13], seed=3)
    with lakes.opened(root, Layout(1, "month"), memory_mb=1) as store:
        for start in month[::7]:
            days = range(start, start + 7)
            store.put_away(
                "g", [record(1, start, start + 6, {day: first[day] for day in days})]
            )
        again = record(1, month[10], month[12], second, fetched_at=lakes.MOMENT + 1)
        store.put_away("g", [again])
        store.build("g")
    assert lakes.held(root) == lakes.expected({1: {**first, **second}})
    lakes.check_files(root)


def test_an_answer_larger_than_the_memory_is_written_as_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvester.lake.build.sweep.MEGABYTE", 10)
    truth = {account: rows(WEEK) for account in (1, 2)}
    with lakes.opened(root, Layout(1, "month"), memory_mb=1) as store:
        built(store, *[record(n, FIRST, FIRST + 6, its) for n, its in truth.items()])
    assert lakes.held(root) == lakes.expected(truth)
    lakes.check_files(root)


CHUNKS = st.builds(
    lambda first, width, raw: Chunk("e", 1, first, first + width, raw, 1, 0, 0),
    st.integers(1000, 1100),
    st.integers(0, 90),
    st.integers(1, 500),
)


@settings(max_examples=200)
@given(chunks=st.lists(CHUNKS, max_size=12), budget=st.integers(50, 2000))
def test_slabs_begin_with_the_first_day_and_ascend(
    chunks: list[Chunk], budget: int
) -> None:
    starts = findings.slabs(chunks, budget)
    assert starts[0] == min((chunk.first for chunk in chunks), default=0)
    assert starts == sorted(set(starts))
    if sum(chunk.raw for chunk in chunks) <= budget:
        assert len(starts) == 1


def test_a_file_that_the_ledger_does_not_know_is_never_overwritten(root: Path) -> None:
    with lakes.opened(root, Layout(1, "month")) as store:
        foreign = root / Layout(1, "month").partition(ENDPOINT.id, appid(1), FIRST)
        foreign.mkdir(parents=True)
        (foreign / "part-0.parquet").write_bytes(b"somebody's")
        with pytest.raises(StorageError, match="the ledger does not know it"):
            built(store, record(1, FIRST, FIRST, rows([FIRST])))
        assert (foreign / "part-0.parquet").read_bytes() == b"somebody's"


def test_a_data_file_that_cannot_be_read_is_named(root: Path, store: Store) -> None:
    built(store, record(1, FIRST, FIRST, rows([FIRST])))
    (path,) = paths(root)
    (root / path).write_bytes(b"PAR1")
    with pytest.raises(StorageError, match=rf"{path} cannot be used"):
        built(
            store, record(1, FIRST, FIRST, rows([FIRST]), fetched_at=lakes.MOMENT + 1)
        )


def test_a_data_file_that_is_gone_has_no_rows_to_replace(
    root: Path, store: Store
) -> None:
    built(store, record(1, FIRST, FIRST, rows([FIRST])))
    (path,) = paths(root)
    (root / path).unlink()
    second = rows([FIRST], seed=2)
    built(store, record(1, FIRST, FIRST, second, fetched_at=lakes.MOMENT + 1))
    assert lakes.held(root) == lakes.expected({1: second})


def test_a_file_of_an_older_catalogue_gets_the_new_columns(root: Path) -> None:
    cut = Layout(1, "month")
    with lakes.opened(root, cut) as store:
        built(store, *[record(n, FIRST, FIRST, rows([FIRST])) for n in (1, 2)])
        (path,) = paths(root)
        old = pq.read_table(root / path, partitioning=None).drop_columns(["_extra"])
        pq.write_table(old, root / path)
        built(
            store,
            record(1, FIRST, FIRST, rows([FIRST], seed=2), fetched_at=lakes.MOMENT + 1),
        )
    assert (
        pq.read_table(root / path, partitioning=None).column("_extra").null_count == 6
    )
    assert lakes.held(root) == lakes.expected(
        {1: rows([FIRST], seed=2), 2: rows([FIRST])}
    )


def test_a_file_with_a_column_nobody_knows_is_not_thrown_away(root: Path) -> None:
    with lakes.opened(root, Layout(1, "month")) as store:
        built(store, record(1, FIRST, FIRST, rows([FIRST])))
        (path,) = paths(root)
        old = pq.read_table(root / path, partitioning=None)
        pq.write_table(old.append_column("mood", old.column("new_user")), root / path)
        with pytest.raises(StorageError, match=r"does not know: \['mood'\]"):
            built(store, record(1, FIRST, FIRST, rows([FIRST], seed=2)))


def test_answers_of_an_endpoint_that_no_catalogue_knows_stay_in_the_spool(
    root: Path, store: Store
) -> None:
    with pytest.raises(UsageError, match=r"getweather, which no catalogue knows"):
        built(store, record(1, FIRST, FIRST, {}, endpoint="getweather"))
    assert len(list((root / "spool").iterdir())) == 1


CONTENT = st.dictionaries(
    st.integers(FIRST, FIRST + 4),
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.just(0)),
        max_size=4,
        unique_by=lambda row: row[0],
    ),
)


@settings(max_examples=25)
@given(
    looks=st.lists(
        st.tuples(st.integers(1, 2), st.sampled_from(["answered", "failed"]), CONTENT),
        max_size=6,
    ),
    cut=st.sampled_from(LAYOUTS),
    builds=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_whatever_comes_the_last_rows_are_there_once(
    tmp_path_factory: pytest.TempPathFactory,
    looks: list[tuple[int, str, dict[int, list[tuple[int, int, int]]]]],
    cut: Layout,
    builds: list[bool],
) -> None:
    root = tmp_path_factory.mktemp("test") / "lake"
    truth: dict[int, dict[int, Any]] = {1: {}, 2: {}}
    with lakes.opened(root, cut) as store:
        for number, ((account, outcome, content), build) in enumerate(
            zip(looks, builds, strict=False)
        ):
            at = lakes.MOMENT + number
            if outcome == "answered":
                answer = record(account, FIRST, FIRST + 4, content, fetched_at=at)
                truth[account] |= {day: its for day, its in content.items() if its}
            else:
                answer = refusal(account, FIRST, FIRST + 4, outcome, fetched_at=at)
            store.put_away("g", [answer])
            if build:
                store.build("g")
        store.build("g")
    assert lakes.held(root) == lakes.expected(truth)
    lakes.check_files(root)
