"""Where everything lies, and the file that fixes it."""

import json
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester import dates
from harvester.errors import StorageError, UsageError
from harvester.lake import layout
from harvester.lake.layout import Layout

DAY = dates.parse("2024-12-07")
APPIDS = st.from_regex(r"wx[0-9a-f]{16}", fullmatch=True)


@pytest.mark.parametrize(
    ("cut", "place"),
    [
        (Layout(0, "day"), "account=wx00000000000000aa/date=2024-12-07"),
        (Layout(0, "month"), "account=wx00000000000000aa/month=2024-12"),
        (Layout(1, "day"), "bucket=b000/date=2024-12-07"),
        (Layout(64, "month"), "bucket=b025/month=2024-12"),
    ],
)
def test_a_partition_is_named_by_endpoint_place_and_period(
    cut: Layout, place: str
) -> None:
    found = cut.partition("getuserread", "wx00000000000000aa", DAY)
    assert found == f"data/endpoint=getuserread/{place}"


@settings(max_examples=30)
@given(appid=APPIDS, buckets=st.integers(1, 5000))
def test_sql_finds_the_same_bucket(appid: str, buckets: int) -> None:
    sql = "SELECT ('0x' || substr(md5(?), 1, 8))::BIGINT % ?"
    with duckdb.connect() as connection:
        found = connection.execute(sql, [appid, buckets]).fetchall()
    assert found == [(Layout(buckets).bucket(appid),)]


def test_bucket_names_have_three_digits_or_more() -> None:
    appids = [f"wx{number:016x}" for number in range(3000)]
    names = {Layout(2000).place(appid) for appid in appids}
    assert {len(name) for name in names} == {len("bucket=b000"), len("bucket=b0000")}


@pytest.mark.parametrize(
    "appid",
    [
        "",
        "*",
        "../../evil",
        "wx" + "A" * 16,
        "wx" + "a" * 15,
        "wx" + "a" * 16 + "\n",
        "gh_1",
    ],
)
@pytest.mark.parametrize("buckets", [0, 8])
def test_what_is_no_appid_never_becomes_a_path(appid: str, buckets: int) -> None:
    with pytest.raises(ValueError, match="not an appid"):
        Layout(buckets).partition("getuserread", appid, DAY)


@pytest.mark.parametrize("endpoint", ["", "..", "a/b", "Getuserread", "a=b", "é"])
def test_what_is_no_endpoint_never_becomes_a_path(endpoint: str) -> None:
    with pytest.raises(ValueError, match="not an endpoint's id"):
        Layout().partition(endpoint, "wx00000000000000aa", DAY)


@pytest.mark.parametrize(
    "run_id", ["", ".", "..", "a/b", "a b", ".hidden", "x" * 101, "a\n"]
)
def test_a_run_id_that_could_leave_its_folder_is_refused(run_id: str) -> None:
    with pytest.raises(UsageError, match="cannot name a file"):
        layout.checked_run_id(run_id)


def test_a_run_id_that_names_a_file_is_taken() -> None:
    assert layout.checked_run_id("2024-12-07T08.00_a-1") == "2024-12-07T08.00_a-1"


@given(day=st.integers(730_000, 750_000))
def test_a_partition_starts_with_its_first_day(day: int) -> None:
    start = Layout(0, "month").start(day)
    assert dates.text(start) == dates.text(day)[:8] + "01"
    assert Layout(0, "day").start(day) == day


def test_the_number_of_a_part_is_read_from_its_name() -> None:
    assert (
        layout.part_number(
            "data/endpoint=a/bucket=b001/date=2024-12-07/part-12.parquet"
        )
        == 12
    )
    assert layout.part_number("data/endpoint=a/other-1.parquet") == -1


@pytest.mark.parametrize("cut", [Layout(0, "day"), Layout(64, "month")])
def test_lake_json_says_how_a_lake_is_cut(tmp_path: Path, cut: Layout) -> None:
    (tmp_path / "lake.json").write_bytes(layout.born(cut, demo=True))
    found = layout.read(tmp_path)
    assert found is not None
    assert (found.layout, found.demo) == (cut, True)
    assert found.created_by.startswith("harvester ")
    content = json.loads((tmp_path / "lake.json").read_bytes())
    assert content["bucket_of"] == "int(md5(appid)[:8], 16) % buckets"


def test_where_nothing_is_there_is_no_lake(tmp_path: Path) -> None:
    assert layout.read(tmp_path) is None
    assert layout.read(tmp_path / "absent") is None
    (tmp_path / "file").touch()
    assert layout.read(tmp_path / "file") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is damaged"),
        ("[]", "has format None"),
        ('{"format": 2, "buckets": 0, "date": "day"}', "has format 2"),
        ('{"format": 1, "buckets": -1, "date": "day"}', "names no layout"),
        ('{"format": 1, "buckets": 0, "date": "year"}', "names no layout"),
        ('{"format": 1, "buckets": true, "date": "day"}', "names no layout"),
    ],
)
def test_a_lake_json_of_another_kind_is_refused(
    tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "lake.json").write_text(content)
    with pytest.raises(UsageError, match=said):
        layout.read(tmp_path)


def test_a_configuration_of_another_layout_is_told_both_ways_out() -> None:
    with pytest.raises(UsageError) as refused:
        layout.check_agrees(Layout(0, "day"), Layout(64, "month"))
    assert str(refused.value) == (
        "the lake has buckets = 0, date = day; the configuration says buckets = 64, "
        "date = month: change the configuration, or move the lake with "
        "`harvester compact --buckets 64 --date month`"
    )


def test_somebody_elses_folder_is_no_place_for_a_lake(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"no lake .* not empty \(thesis\.tex\)"):
        layout.check_folder(tmp_path)


def test_a_file_is_no_place_for_a_lake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        layout.check_folder(tmp_path / "file")


@pytest.mark.parametrize("name", ["lock", "lake.json.new", "lost+found"])
def test_traces_of_a_start_that_died_do_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    layout.check_folder(tmp_path)


def test_what_cannot_be_read_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    monkeypatch.setattr(Path, "read_bytes", refused)
    for look in (layout.check_folder, layout.read):
        with pytest.raises(StorageError, match="cannot be read"):
            look(tmp_path)


def test_a_ledger_missing_beside_data_is_never_a_fresh_start(tmp_path: Path) -> None:
    file = tmp_path / "data/endpoint=a/account=b/date=c/part-0.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(UsageError, match="verify --rebuild"):
        layout.check_ledger(tmp_path)
