"""The ledger: the last word counts, whatever happens to its segments."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester import dates
from harvester.catalogue.load import catalogue
from harvester.dates import Granularity
from harvester.errors import StorageError, UsageError
from harvester.lake import layout
from harvester.lake.durable import Disk
from harvester.lake.ledger import fold, index, segments
from harvester.lake.ledger.fold import Row
from harvester.lake.ledger.ledger import CELLS, DataFile, Entry, Ledger, first_segments
from harvester.plan import Known, Outcome

DAY = dates.parse("2024-12-02")  # a Monday
ACCOUNTS = ("wx0000000000000001", "wx0000000000000002", "*")
ENDPOINTS = ("getuserread", "getusersummary")
OUTCOMES = ("held", "empty", "denied", "failed")


def made(root: Path) -> Path:
    for place in (layout.DATA, layout.CELLS, layout.FILES, layout.TMP):
        (root / place).mkdir(parents=True)
    first_segments(Disk(root))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made(tmp_path / "lake")


def entry(first: int, last: int, outcome: str = "held", **changed: Any) -> Entry:
    values: dict[str, Any] = {
        "endpoint": ENDPOINTS[0],
        "account": ACCOUNTS[0],
        "first_date": DAY + first,
        "last_date": DAY + last,
        "outcome": outcome,
        "fetched_at": 1_733_000_000_000_001,
        "run_id": "run-1",
    }
    return Entry(**{**values, **changed})


def file(path: str, **changed: Any) -> DataFile:
    values: dict[str, Any] = {
        "path": path,
        "endpoint": ENDPOINTS[0],
        "rows": 1,
        "bytes": 2,
        "sha256": "00",
        "run_id": "run-1",
    }
    return DataFile(**{**values, **changed})


def days(ledger: Ledger, account: str, endpoint: str) -> dict[int, tuple[Outcome, str]]:
    """What counts for each day, having checked that it is sorted and disjoint."""
    known = ledger.known(account).get(endpoint, [])
    assert all(one.last < other.first for one, other in pairwise(known))
    return {
        day: (one.outcome, one.code)
        for one in known
        for day in range(one.first, one.last + 1)
    }


SPANS = st.tuples(st.integers(0, 12), st.integers(0, 5)).map(
    lambda s: (s[0], s[0] + s[1])
)
ENTRIES = st.builds(
    lambda span, account, endpoint, outcome, code, at: entry(
        *span, outcome, account=account, endpoint=endpoint, code=code, fetched_at=at
    ),
    SPANS,
    st.sampled_from(ACCOUNTS),
    st.sampled_from(ENDPOINTS),
    st.sampled_from(OUTCOMES),
    st.sampled_from(["", "1"]),
    st.integers(1, 5),
)
COMMITS = st.lists(st.lists(ENTRIES, max_size=5), max_size=8)

Model = dict[tuple[str, str], dict[int, tuple[str, str]]]


def model(commits: Sequence[Sequence[Entry]]) -> Model:
    """The same by brute force: a dictionary of days, overwritten in order."""
    said: Model = {(a, e): {} for a in ACCOUNTS for e in ENDPOINTS}
    for one in (one for commit in commits for one in commit):
        for day in range(one.first_date, one.last_date + 1):
            said[one.account, one.endpoint][day] = (one.outcome, one.code)
    return said


def check(ledger: Ledger, said: Model) -> None:
    for (account, endpoint), expected in said.items():
        assert days(ledger, account, endpoint) == expected


@settings(max_examples=25)
@given(commits=COMMITS)
def test_the_last_word_counts_for_every_day(
    tmp_path_factory: pytest.TempPathFactory, commits: list[list[Entry]]
) -> None:
    root = made(tmp_path_factory.mktemp("test") / "lake")
    disk, ledger = Disk(root), Ledger.load(root)
    for commit in commits:
        ledger.commit(disk, commit)
    check(ledger, model(commits))
    check(Ledger.load(root), model(commits))


@settings(max_examples=25)
@given(before=COMMITS, after=COMMITS, changing=st.sets(st.sampled_from(OUTCOMES)))
def test_a_fold_keeps_every_last_word(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[list[Entry]],
    after: list[list[Entry]],
    changing: set[str],
) -> None:
    root = made(tmp_path_factory.mktemp("test") / "lake")
    disk, ledger = Disk(root), Ledger.load(root)
    for commit in before:
        ledger.commit(disk, commit)
    fold.fold(disk, {}, lambda _, known: known.outcome not in changing, more_than=0)
    check(Ledger.load(root), model(before))
    for commit in after:
        ledger.commit(disk, commit)
    check(ledger, model([*before, *after]))
    check(Ledger.load(root), model([*before, *after]))
    assert ledger.sequence == len(before) + len(after)


@given(
    spans=st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 9), st.integers()).map(
            lambda span: (span[0], span[0] + span[1], span[2])
        )
    )
)
def test_what_is_on_top_is_sorted_disjoint_and_the_newest(
    spans: list[tuple[int, int, int]],
) -> None:
    top = index.newest(spans)
    expected = {
        day: item for first, last, item in spans for day in range(first, last + 1)
    }
    found = [(day, item) for first, last, item in top for day in range(first, last + 1)]
    assert found == sorted(expected.items())
    assert all(first <= last for first, last, _ in top)


def test_the_order_of_commits_counts_and_not_the_clock(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    ledger.commit(disk, [entry(0, 0, "held", fetched_at=9)])
    ledger.commit(disk, [entry(0, 0, "failed", fetched_at=1)])
    assert days(Ledger.load(root), ACCOUNTS[0], ENDPOINTS[0]) == {
        DAY: (Outcome.FAILED, "")
    }


def test_what_is_known_is_told_to_the_microsecond(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    at = datetime(2024, 12, 7, 1, 2, 3, 456_789, UTC)
    stamp = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    ledger.commit(
        disk,
        [entry(0, 2, "pending", code="45009", fetched_at=stamp, next_try_at=stamp + 1)],
    )
    later = at + timedelta(microseconds=1)
    expected = Known(DAY, DAY + 2, Outcome.PENDING, at, later, "45009")
    assert Ledger.load(root).known(ACCOUNTS[0]) == {ENDPOINTS[0]: [expected]}
    assert Ledger.load(root).known("wx00000000000000ff") == {}


def test_a_thousand_commits_are_asked_as_quickly_as_a_few(root: Path) -> None:
    """Small pages of the index are merged, like the digits of a counter."""
    ledger = Ledger.load(root)
    table = pa.table(
        [
            pa.array([value], one.type)
            for value, one in zip(_one_row(), CELLS, strict=True)
        ],
        schema=CELLS,
    )
    found = index.Index()
    for _ in range(1000):
        found.add(found.coded(table))
    assert len(found) == 1000
    assert len(found.pages) <= 12
    assert ledger.accounts() == []
    assert found.accounts() == [ACCOUNTS[0]]


def _one_row() -> Row:
    return Row(
        sequence=1,
        endpoint=ENDPOINTS[0],
        account=ACCOUNTS[0],
        first_date=1,
        last_date=1,
        outcome="held",
        rows=1,
        rows_changed=0,
        fetched_at=1,
        run_id="run-1",
        attempts=1,
        code="",
        rid="",
        message="",
        next_try_at=None,
        catalogue_version="",
    )


def test_where_rows_may_lie_an_entry_is_noted_unless_it_is_empty(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    ledger.commit(
        disk, [entry(0, 3, "held"), entry(4, 5, "empty"), entry(7, 9, "failed")]
    )
    ledger.commit(disk, [entry(2, 2, "empty")])
    noted = ledger.noted(ACCOUNTS[0], ENDPOINTS[0], DAY + 1, DAY + 8)
    assert noted == ((DAY + 1, DAY + 3), (DAY + 7, DAY + 8))
    assert ledger.noted(ACCOUNTS[0], ENDPOINTS[1], DAY, DAY + 9) == ()
    assert ledger.noted("wx00000000000000ff", ENDPOINTS[0], DAY, DAY + 9) == ()


def test_a_reader_that_lists_during_a_fold_starts_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    commits = [[entry(number, number + 1, code=str(number))] for number in range(5)]
    for commit in commits:
        ledger.commit(disk, commit)
    real, calls = segments.numbers, iter(range(99))

    def lists_then_a_fold_happens(folder: Path) -> list[int]:
        found = real(folder)
        if folder.name == "cells" and next(calls) == 0:
            fold.fold(disk, {}, lambda *_: True, more_than=1)
        return found

    monkeypatch.setattr(segments, "numbers", lists_then_a_fold_happens)
    check(Ledger.load(root), model(commits))


def test_a_reader_gives_up_when_segments_never_stay(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "numbers", lambda _: [0, 99])
    with pytest.raises(StorageError, match="changes all the time"):
        Ledger.load(root)


def test_a_fold_that_died_before_it_removed_anything_does_no_harm(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    commits = [[entry(number, number + 2, code=str(number % 2))] for number in range(6)]
    for commit in commits:
        ledger.commit(disk, commit)
    before = {path: path.read_bytes() for path in (root / layout.CELLS).iterdir()}
    fold.fold(disk, {}, lambda *_: True, more_than=1)
    *lower, _ = sorted(before)
    for path in lower:
        path.write_bytes(before[path])
    check(Ledger.load(root), model(commits))
    fold.fold(disk, {}, lambda *_: True, more_than=1)
    check(Ledger.load(root), model(commits))


def test_a_fold_waits_for_many_segments(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    for number in range(3):
        ledger.commit(disk, [entry(number, number)])
    assert not fold.fold(disk, {}, lambda *_: True, more_than=4)
    assert fold.fold(disk, {}, lambda *_: True, more_than=3)
    assert segments.numbers(root / layout.CELLS) == [3]


def test_settled_neighbours_join_and_their_rows_add_up(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    ledger.commit(disk, [entry(0, 1, rows=5, rows_changed=1, fetched_at=10)])
    ledger.commit(disk, [entry(2, 2, rows=2, fetched_at=30), entry(4, 4, rows=1)])
    ledger.commit(disk, [entry(3, 3, "empty", fetched_at=20)])
    fold.fold(disk, {}, lambda _, known: known.outcome is Outcome.HELD, more_than=1)
    found = Ledger.load(root).cells().sort_by("first_date").to_pylist()
    assert [(one["outcome"], one["rows"], one["rows_changed"]) for one in found] == [
        ("held", 7, 1),
        ("empty", 0, 0),
        ("held", 1, 0),
    ]
    assert [one["sequence"] for one in found] == [2, 3, 2]
    joined = Ledger.load(root).known(ACCOUNTS[0])[ENDPOINTS[0]][0]
    assert joined.fetched_at == index.moment(30)


def test_entries_that_may_still_change_stay_apart(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    ledger.commit(disk, [entry(number, number) for number in range(4)])
    ledger.commit(disk, [])
    fold.fold(disk, {}, lambda _, known: known.first <= DAY + 1, more_than=1)
    found = Ledger.load(root).known(ACCOUNTS[0])[ENDPOINTS[0]]
    spans = [(known.first - DAY, known.last - DAY) for known in found]
    assert spans == [(0, 1), (2, 2), (3, 3)]


def a_row(first: int, last: int, **changed: Any) -> Row:
    return _one_row()._replace(
        first_date=first - dates.EPOCH, last_date=last - dates.EPOCH, **changed
    )


@pytest.mark.parametrize(
    ("granularity", "labels", "left"),
    [
        (Granularity.DAY, [0, 1, 3], 2),
        (Granularity.WEEK, [0, 7, 14], 1),
        (Granularity.WEEK, [0, 14, 21], 2),
        (Granularity.MONTH, [-1, 30, 61], 1),  # 1 December, January, February
        (Granularity.MONTH, [-1, 61, 89], 2),
    ],
)
def test_labels_that_follow_one_another_join(
    granularity: Granularity, labels: list[int], left: int
) -> None:
    rows = [a_row(DAY + label, DAY + label) for label in labels]
    assert len(fold.folded(rows, granularity, lambda *_: True)) == left


def test_an_entry_covered_in_part_stays_whole(root: Path) -> None:
    """Its rows are those of all its days: nobody knows how many each had."""
    rows = [a_row(DAY, DAY + 9, rows=70), a_row(DAY + 4, DAY + 5, rows=3, sequence=2)]
    assert fold.folded(rows, Granularity.DAY, lambda *_: True) == rows


def test_an_entry_covered_wholly_goes() -> None:
    rows = [
        a_row(DAY, DAY + 1),
        a_row(DAY, DAY, sequence=2),
        a_row(DAY + 1, DAY + 1, sequence=2),
    ]
    (left,) = fold.folded(rows, Granularity.DAY, lambda *_: True)
    assert (left.sequence, left.first_date, left.last_date) == (
        2,
        DAY - dates.EPOCH,
        DAY + 1 - dates.EPOCH,
    )


def test_a_fold_takes_the_accounts_share_by_share(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold, "ENTRIES", 10)
    monkeypatch.setattr(fold, "ROWS", 3)
    disk, ledger = Disk(root), Ledger.load(root)
    commits = [
        [entry(number, number, account=f"wx{account:016x}") for account in range(8)]
        for number in range(4)
    ]
    for commit in commits:
        ledger.commit(disk, commit)
    fold.fold(disk, catalogue().endpoints, lambda *_: True, more_than=1)
    found = Ledger.load(root)
    assert sorted(found.accounts()) == [f"wx{account:016x}" for account in range(8)]
    for account in found.accounts():
        (known,) = found.known(account)[ENDPOINTS[0]]
        assert (known.first, known.last) == (DAY, DAY + 3)


def test_a_file_counts_as_its_last_entry_says(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    here = f"data/endpoint={ENDPOINTS[0]}/bucket=b001/date=2024-12-02"
    assert ledger.next_part(here, ENDPOINTS[0]) == f"{here}/part-0.parquet"
    ledger.commit(
        disk, [], [file(f"{here}/part-0.parquet"), file(f"{here}/part-1.parquet")]
    )
    ledger.commit(disk, [], [file(f"{here}/part-0.parquet", rows=7)])
    ledger.commit(disk, [], [file(f"{here}/part-1.parquet", removed=True)])
    ledger.commit(disk, [], [file(f"{here}0/part-5.parquet")])
    ledger.commit(
        disk, [], [file(f"{here}/part-10.parquet"), file(f"{here}/part-9.parquet")]
    )
    for found in (ledger, Ledger.load(root)):
        names = [path.rpartition("/")[2] for path in found.parts(here, ENDPOINTS[0])]
        assert names == ["part-0.parquet", "part-9.parquet", "part-10.parquet"]
        assert found.next_part(here, ENDPOINTS[0]) == f"{here}/part-11.parquet"
        assert found.files(ENDPOINTS[1]).num_rows == 0
        rows = {one["path"]: one["rows"] for one in found.files().to_pylist()}
        assert rows[f"{here}/part-0.parquet"] == 7
    fold.fold(disk, {}, lambda *_: True, more_than=1)
    assert Ledger.load(root).files().num_rows == 5


def test_files_without_their_cells_were_never_committed(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    here = f"data/endpoint={ENDPOINTS[0]}/bucket=b001/date=2024-12-02"
    ledger.commit(disk, [], [file(f"{here}/part-0.parquet")])
    ledger.commit(disk, [], [file(f"{here}/part-1.parquet")])
    (root / layout.CELLS / segments.name(2)).unlink()
    found = Ledger.load(root)
    assert found.parts(here, ENDPOINTS[0]) == [f"{here}/part-0.parquet"]
    found.discard_uncommitted(disk)
    assert segments.numbers(root / layout.FILES) == [0, 1]


def test_what_landed_is_found_by_run_and_moment(root: Path) -> None:
    disk, ledger = Disk(root), Ledger.load(root)
    ledger.commit(disk, [entry(0, 1, fetched_at=5), entry(3, 3, fetched_at=5)])
    ledger.commit(disk, [entry(0, 0, fetched_at=6, run_id="run-2")])
    key = ("run-1", ENDPOINTS[0], ACCOUNTS[0], 5)
    assert ledger.landed({"run-1"}) == {key: ((DAY, DAY + 1), (DAY + 3, DAY + 3))}
    assert ledger.landed({"run-3"}) == {}


def test_a_failed_commit_is_followed_by_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, ledger = Disk(root), Ledger.load(root)

    def fails(*_: object) -> None:
        raise StorageError("no")

    with monkeypatch.context() as patched:
        patched.setattr(disk, "replace", fails)
        with pytest.raises(StorageError, match="no"):
            ledger.commit(disk, [entry(0, 0)])
    with pytest.raises(StorageError, match="an earlier commit"):
        ledger.commit(disk, [entry(0, 0)])
    assert ledger.known(ACCOUNTS[0]) == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-9],
        lambda data: b"",
        lambda data: data[:90] + b"x" + data[91:],
    ],
)
def test_a_damaged_segment_is_an_error_that_names_it(
    root: Path, spoil: Callable[[bytes], bytes]
) -> None:
    ledger = Ledger.load(root)
    ledger.commit(Disk(root), [entry(number, number) for number in range(40)])
    path = root / layout.CELLS / segments.name(1)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(StorageError, match=rf"{path.name} cannot be read"):
        Ledger.load(root).known(ACCOUNTS[0])


def test_a_ledger_lost_beside_data_is_an_error(root: Path) -> None:
    path = root / "data/endpoint=getuserread/account=wx1/date=2024-12-02/part-0.parquet"
    path.parent.mkdir(parents=True)
    path.touch()
    Ledger.load(root)
    for segment in (root / layout.CELLS).iterdir():
        segment.unlink()
    with pytest.raises(UsageError, match="the ledger is lost"):
        Ledger.load(root)


def test_duckdb_reads_the_ledger_as_a_table(root: Path) -> None:
    ledger = Ledger.load(root)
    ledger.commit(Disk(root), [entry(0, 6, rows=56)])
    sql = f"SELECT * FROM read_parquet('{root}/ledger/cells/*.parquet')"
    with duckdb.connect() as connection:
        found = connection.sql(sql)
        kinds = dict(zip(found.columns, map(str, found.types), strict=True))
        counted = found.project("rows").fetchall()
    assert list(kinds) == CELLS.names
    assert {kinds["first_date"], kinds["last_date"]} == {"DATE"}
    assert {kinds["fetched_at"], kinds["next_try_at"]} == {"TIMESTAMP WITH TIME ZONE"}
    assert kinds["rows"] == "BIGINT"
    assert counted == [(56,)]


def test_there_is_nothing_to_read_where_there_is_no_lake(tmp_path: Path) -> None:
    ledger = Ledger.load(tmp_path / "absent")
    assert (ledger.known(ACCOUNTS[0]), ledger.accounts(), ledger.sequence) == (
        {},
        [],
        -1,
    )
    assert ledger.files().num_rows == ledger.cells().num_rows == 0
