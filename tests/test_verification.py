"""`harvester verify`: whatever is wrong with a lake is found, and nothing else."""

import json
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from by_hand import (
    KNOWN,
    LAYOUTS,
    ONE,
    RECIPE,
    TWO,
    acknowledge,
    answer,
    commit,
    data_file,
    days,
    gained,
    grown,
    put,
    rewrite,
)

from harvester import dates
from harvester.errors import UsageError
from harvester.lake import layout
from harvester.lake.durable import Disk
from harvester.lake.layout import Layout
from harvester.lake.ledger import segments
from harvester.lake.ledger.fold import fold
from harvester.lake.ledger.ledger import DataFile, Entry
from harvester.lake.store import Store
from harvester.lake.verify.examination import PAUSES
from harvester.lake.verify.problems import Kind, Report
from harvester.lake.verify.snapshot import Selection
from harvester.lake.verify.verification import verify

ALL = Selection()


def verified(root: Path, selection: Selection = ALL) -> Report:
    return verify(root, KNOWN.endpoints, selection, pause=lambda: None)


def told(report: Report) -> dict[Kind, int]:
    return dict(report.counts)


@pytest.fixture(
    params=(LAYOUTS[0], LAYOUTS[-1]), ids=lambda cut: f"{cut.buckets}-{cut.date}"
)
def cut(request: pytest.FixtureRequest) -> Layout:
    return request.param


@pytest.fixture
def lake(tmp_path: Path, cut: Layout) -> Path:
    return grown(tmp_path / "it's a [lake]", cut)


def listing(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in root.rglob("*")
    }


@pytest.mark.parametrize("cut", LAYOUTS, ids=lambda cut: f"{cut.buckets}-{cut.date}")
def test_a_healthy_lake_has_nothing_to_report_and_stays_as_it_is(
    cut: Layout, tmp_path: Path
) -> None:
    lake = grown(tmp_path / "lake", cut)
    before = listing(lake)
    report = verified(lake)
    assert (report.damage, report.findings, told(report)) == ([], [], {})
    assert report.rows == 2 * (5 * 2 + 2 * 2)
    assert report.cells == 2 * (5 + 2)
    assert report.files == len(list(lake.glob("data/*/*/*/*.parquet")))
    assert listing(lake) == before


def test_a_held_lock_and_a_second_run_change_nothing(lake: Path, cut: Layout) -> None:
    with Store.open(lake, cut, RECIPE) as store:
        store.put_away(
            "g", [answer(ONE, "getusersummary", "2024-12-08", "2024-12-08", [])]
        )
        assert told(verified(lake)) == {}
    put(lake, cut, [])
    assert told(verified(lake)) == {}


def test_a_missing_file(lake: Path) -> None:
    path = data_file(lake)
    path.unlink()
    report = verified(lake)
    assert told(report) == {Kind.MISSING: 1}
    assert report.damage[0].path == path.relative_to(lake).as_posix()


def test_a_truncated_file(lake: Path) -> None:
    path = data_file(lake)
    path.write_bytes(path.read_bytes()[:-20])
    assert told(verified(lake)) == {Kind.BYTES: 1}


def test_one_flipped_bit_anywhere(lake: Path) -> None:
    path = data_file(lake)
    good = path.read_bytes()
    for at in range(0, len(good), len(good) // 8):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert told(
            verified(lake, Selection(endpoints=frozenset({"getusersummary"})))
        ) == {Kind.SHA256: 1}


def test_a_file_that_is_no_parquet_though_the_ledger_agrees(lake: Path) -> None:
    path = data_file(lake)
    path.write_bytes(b"PAR1 but no more")
    acknowledge(lake, path)
    assert told(verified(lake)) == {Kind.UNREADABLE: 1}


def test_a_file_with_a_sound_footer_and_unreadable_pages(lake: Path) -> None:
    path = data_file(lake)
    good = path.read_bytes()
    path.write_bytes(good[:4] + b"\xff" * 60 + good[64:])
    acknowledge(lake, path)
    report = verified(lake)
    assert told(report) == {Kind.UNREADABLE: 1}
    assert report.damage[0].path == path.relative_to(lake).as_posix()


@pytest.mark.parametrize(
    "name", ["part-7.parquet", "part-0.parquet.tmp", "_SUCCESS", ".part-0.parquet.crc"]
)
def test_foreign_junk_is_reported_and_stays(name: str, lake: Path) -> None:
    path = data_file(lake).with_name(name)
    path.write_bytes(b"junk")
    (lake / "data" / "notes.txt").write_bytes(b"junk")
    report = verified(lake)
    assert told(report) == {Kind.FOREIGN: 2}
    assert {one.path for one in report.damage} == {
        path.relative_to(lake).as_posix(),
        "data/notes.txt",
    }
    assert path.read_bytes() == b"junk"


def test_an_endpoints_folder_that_nobody_knows(lake: Path) -> None:
    stray = (
        lake
        / "data/endpoint=unknown/account=wx00000000000000a1/date=2024-12-01/part-0.parquet"
    )
    stray.parent.mkdir(parents=True)
    shutil.copy(data_file(lake), stray)
    assert told(verified(lake)) == {Kind.FOREIGN: 1}


def test_a_row_that_is_there_twice(lake: Path) -> None:
    rewrite(
        lake,
        data_file(lake),
        lambda table: pa.concat_tables([table, table.slice(0, 1)]),
    )
    assert told(verified(lake)) == {Kind.COUNT: 1, Kind.DOUBLED: 1}


def test_a_cell_in_two_files(lake: Path) -> None:
    path = data_file(lake)
    twin = path.with_name("part-1.parquet")
    shutil.copy(path, twin)
    acknowledge(lake, twin)
    counts = told(verified(lake))
    assert counts[Kind.DOUBLED] >= 1
    assert counts[Kind.COUNT] >= 1
    assert counts.keys() == {Kind.DOUBLED, Kind.COUNT}


def test_a_row_that_has_gone(lake: Path) -> None:
    rewrite(lake, data_file(lake), lambda table: table.slice(1))
    assert told(verified(lake)) == {Kind.COUNT: 1}


def test_a_held_cell_without_any_row(lake: Path) -> None:
    def without(table: pa.Table) -> pa.Table:
        first = table.column("ref_date")[0]
        keep = [value != first for value in table.column("ref_date")]
        return table.filter(pa.array(keep))

    rewrite(lake, data_file(lake), without)
    report = verified(lake)
    assert set(told(report)) == {Kind.LOST}
    assert "getusersummary" in report.damage[0].message


def test_rows_in_another_day_or_another_account(lake: Path, cut: Layout) -> None:
    def moved(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index("ref_date")
        late = pa.array([date(2025, 6, 1)] * table.num_rows)
        return table.set_column(at, table.schema.field(at), late)

    rewrite(lake, data_file(lake), moved)
    assert Kind.MISPLACED in told(verified(lake))


def test_rows_of_an_account_in_another_bucket(tmp_path: Path) -> None:
    lake = grown(tmp_path, Layout(3, "month"))
    stranger = next(
        f"wx{n:016x}"
        for n in range(99)
        if Layout(3).place(f"wx{n:016x}") != data_file(lake).parts[-3]
    )

    def renamed(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index("account")
        names = pa.array([stranger] * table.num_rows)
        return table.set_column(at, table.schema.field(at), names)

    rewrite(lake, data_file(lake), renamed)
    counts = told(verified(lake))
    assert counts[Kind.MISPLACED] == 1
    assert counts[Kind.UNKNOWN] >= 1


def test_rows_where_the_ledger_says_empty(lake: Path) -> None:
    day = dates.parse("2024-12-01")
    entry = Entry(
        endpoint="getusersummary",
        account=ONE,
        first_date=day,
        last_date=day,
        outcome="empty",
        fetched_at=9,
        run_id="r2",
    )
    commit(lake, [entry])
    assert told(verified(lake)) == {Kind.UNKNOWN: 1}


def test_rows_that_differ_under_one_key_are_a_finding_and_no_damage(
    lake: Path, cut: Layout
) -> None:
    twice = [gained(date(2024, 12, 8), 0, 1), gained(date(2024, 12, 8), 0, 2)]
    put(lake, cut, [answer(ONE, "getusersummary", "2024-12-08", "2024-12-08", twice)])
    report = verified(lake)
    assert report.damage == []
    assert [(one.kind, one.account, one.first) for one in report.findings] == [
        (Kind.AMBIGUOUS, ONE, dates.parse("2024-12-08"))
    ]


def test_a_refusal_over_held_cells_is_healthy(lake: Path, cut: Layout) -> None:
    put(lake, cut, [answer(ONE, "getusersummary", "2024-12-01", "2024-12-06", [], outcome="failed", pages=(), fetched_at=9)])  # fmt: skip
    assert told(verified(lake)) == {}


def test_a_folded_ledger_is_healthy(lake: Path) -> None:
    assert fold(Disk(lake), KNOWN.endpoints, lambda *_: True, more_than=1)
    report = verified(lake)
    assert (told(report), report.cells) == ({}, 14)


def test_replaced_and_further_cells_are_healthy(lake: Path, cut: Layout) -> None:
    again = [gained(date(2024, 12, 1), source, 7) for source in (0, 1, 30)]
    later = [gained(date(2024, 12, 6), 0, 7)]
    put(
        lake,
        cut,
        [
            answer(
                ONE, "getusersummary", "2024-12-01", "2024-12-01", again, fetched_at=2
            ),
            answer(
                TWO, "getusersummary", "2024-12-06", "2024-12-06", later, fetched_at=2
            ),
        ],
    )
    report = verified(lake)
    assert (told(report), report.rows) == ({}, 28 + 1 + 1)


def test_a_selection_looks_at_nothing_else(lake: Path) -> None:
    for path in lake.glob("data/endpoint=getusersummary/*/*/*.parquet"):
        path.write_bytes(b"gone")
    assert (
        told(verified(lake, Selection(endpoints=frozenset({"getupstreammsgweek"}))))
        == {}
    )
    late = Selection(first=dates.parse("2025-01-01"))
    assert told(verified(lake, late)) == {}


def test_a_selected_account_is_seen_alone(tmp_path: Path) -> None:
    lake = grown(tmp_path, Layout(0, "day"))
    for path in lake.glob(f"data/*/account={TWO}/*/*.parquet"):
        path.unlink()
    assert told(verified(lake, Selection(accounts=frozenset({ONE})))) == {}
    assert told(verified(lake, Selection(accounts=frozenset({TWO})))) == {
        Kind.MISSING: 7
    }


def test_a_selected_account_that_shares_its_files_is_seen_alone(tmp_path: Path) -> None:
    lake = grown(tmp_path, Layout(1, "month"))
    report = verified(lake, Selection(accounts=frozenset({ONE}), first=dates.parse("2024-12-01"), last=dates.parse("2024-12-02")))  # fmt: skip
    assert (told(report), report.cells) == ({}, 2 + 1)


def test_many_problems_are_counted_and_some_told(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    rows = [gained(when, 0, 1) for when in days("2024-10-01", "2024-11-15")]
    put(
        root,
        Layout(0, "day"),
        [answer(ONE, "getusersummary", "2024-10-01", "2024-11-15", rows)],
    )
    for path in root.glob("data/*/*/*/*.parquet"):
        path.unlink()
    report = verified(root)
    assert (told(report), len(report.damage)) == ({Kind.MISSING: 46}, 20)


def test_what_a_run_commits_meanwhile_is_no_damage(lake: Path, cut: Layout) -> None:
    """The files have landed, and the entries that know them come a moment later."""
    put(lake, cut, [answer(ONE, "getusersummary", "2024-12-08", "2024-12-08", [gained(date(2024, 12, 8), 0, 1)])])  # fmt: skip
    newest = segments.name(max(segments.numbers(lake / layout.CELLS)))
    path, aside = lake / layout.CELLS / newest, lake / "aside"
    path.rename(aside)
    (lake / layout.SPOOL / "000000000009-g.spool").touch()
    pauses = iter([lambda: None, lambda: aside.rename(path)])
    report = verify(lake, KNOWN.endpoints, ALL, pause=lambda: next(pauses)())
    assert told(report) == {}


def test_a_file_that_a_run_replaces_meanwhile_is_no_damage(
    lake: Path, cut: Layout
) -> None:
    again = [gained(date(2024, 11, 29), 0, 99)]
    put(lake, cut, [answer(ONE, "getusersummary", "2024-11-29", "2024-11-29", again)])
    newest = segments.name(max(segments.numbers(lake / layout.CELLS)))
    path, aside = lake / layout.CELLS / newest, lake / "aside"
    path.rename(aside)
    (lake / layout.SPOOL / "000000000009-g.spool").touch()
    report = verify(
        lake, KNOWN.endpoints, ALL, pause=lambda: aside.rename(path) and None
    )
    assert told(report) == {}


def test_what_a_dead_run_left_is_waited_for_once(lake: Path) -> None:
    (lake / layout.SPOOL / "000000000009-g.spool").touch()
    for name in ("getusersummary", "getupstreammsgweek"):
        data_file(lake, name).unlink()
    pauses: list[None] = []
    report = verify(lake, KNOWN.endpoints, ALL, pause=lambda: pauses.append(None))
    assert told(report) == {Kind.MISSING: 2}
    assert len(pauses) == PAUSES


def test_a_path_in_the_ledger_that_is_no_data_files(lake: Path) -> None:
    odd = "data/endpoint=getusersummary/part-0.parquet"
    file = DataFile(
        path=odd, endpoint="getusersummary", rows=1, bytes=1, sha256="", run_id="r2"
    )
    commit(lake, files=[file])
    report = verified(lake)
    assert [(one.kind, one.path) for one in report.damage] == [(Kind.MISPLACED, odd)]


def test_what_no_run_explains_is_not_waited_for(lake: Path) -> None:
    data_file(lake).unlink()

    def pause() -> None:
        raise AssertionError("nobody writes")

    assert told(verify(lake, KNOWN.endpoints, ALL, pause=pause)) == {Kind.MISSING: 1}


def test_no_lake_and_a_lost_ledger_are_usage_errors(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no lake"):
        verified(tmp_path / "nothing")
    for path in lake.glob("ledger/*/*.parquet"):
        path.unlink()
    with pytest.raises(UsageError, match="ledger is lost"):
        verified(lake)


def test_an_endpoint_that_left_the_catalogue_is_still_looked_at(lake: Path) -> None:
    fewer = {
        name: one for name, one in KNOWN.endpoints.items() if name != "getusersummary"
    }
    assert told(verify(lake, fewer, ALL)) == {}
    data_file(lake).unlink()
    assert told(verify(lake, fewer, ALL, pause=lambda: None)) == {Kind.MISSING: 1}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration of a healthy lake of directories and days."""
    grown(tmp_path / "lake", LAYOUTS[0])
    path = tmp_path / "accounts.toml"
    path.write_text(f'[[accounts]]\nappid = "{ONE}"\nname = "brand-a"\nsecret = "s"\n')
    path.chmod(0o600)
    return path


def harvester(file: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "harvester", "-c", str(file), "verify", *arguments]
    return subprocess.run(command, capture_output=True, check=False)


def test_the_command_says_that_all_is_well(file: Path) -> None:
    done = harvester(file)
    said = b"14 files, 28 rows, 14 cells held: 0 damaged, 0 findings\n"
    assert (done.returncode, done.stdout.splitlines()[-1] + b"\n") == (0, said)
    assert b"secret" not in done.stdout


def test_the_command_names_what_is_damaged_and_exits_with_3(file: Path) -> None:
    path = data_file(file.with_name("lake"))
    path.unlink()
    done = harvester(file)
    place = path.relative_to(file.with_name("lake")).as_posix().encode()
    first = b"damage: " + place + b": is missing; the ledger has 2 rows in it"
    assert (done.returncode, done.stdout.splitlines()[0]) == (3, first)


def test_json_is_one_object(file: Path) -> None:
    path = data_file(file.with_name("lake"))
    path.write_bytes(b"")
    done = harvester(file, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 3
    assert (found["damage_count"], found["findings"], found["findings_count"]) == (
        1,
        [],
        0,
    )
    assert found["damage"][0]["kind"] == "bytes"
    assert found["damage"][0]["path"].endswith("date=2024-11-29/part-0.parquet")
    assert found["damage"][0]["endpoint"] == "getusersummary"
    assert (found["files"], found["rows"], found["cells"]) == (14, 26, 14)


def test_a_selection_is_by_name_and_endpoint_and_day(file: Path) -> None:
    data_file(file.with_name("lake")).unlink()
    assert harvester(file, "--account", "brand-*").returncode == 3
    assert harvester(file, "--account", TWO).returncode == 0
    assert harvester(file, "--endpoint", "message").returncode == 0
    assert harvester(file, "--since", "2024-11-30").returncode == 0
    assert harvester(file, "--until", "2024-11-29").returncode == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("--account", "brand-z"),
        ("--endpoint", "getusersumary"),
        ("--since", "yesterday"),
        ("--since", "2024-12-02", "--until", "2024-12-01"),
        ("--rebuild",),
        ("--refetch", "--since", "2024-12-02"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], file: Path
) -> None:
    done = harvester(file, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert len(done.stderr.splitlines()) == 1


def test_the_repairs_are_told(file: Path) -> None:
    lake = file.with_name("lake")
    for path in lake.glob("ledger/*/*.parquet"):
        path.unlink()
    assert harvester(file).returncode == 2
    rebuilt = harvester(file, "--rebuild", "--json")
    assert rebuilt.returncode == 0
    assert json.loads(rebuilt.stdout)["rebuilt"] == {
        "files": 14, "rows": 28, "cells": 14, "set_aside": [],
    }  # fmt: skip
    data_file(lake).write_bytes(b"")
    refetched = harvester(file, "--refetch")
    assert refetched.returncode == 3
    assert b"refetched: 1 cells, 0 kept\n" in refetched.stdout
    assert harvester(file).returncode == 0


def test_a_repair_waits_for_no_run(file: Path) -> None:
    with Store.open(file.with_name("lake"), LAYOUTS[0], RECIPE):
        for repair in ("--rebuild", "--refetch"):
            assert harvester(file, repair).returncode == 7
        assert harvester(file).returncode == 0
