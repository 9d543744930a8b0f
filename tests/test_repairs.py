"""`verify --rebuild` and `--refetch`: what they mend, and what they leave alone."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from by_hand import (
    FETCHED,
    KNOWN,
    LAYOUTS,
    ONE,
    RECIPE,
    TWO,
    acknowledge,
    answer,
    data_file,
    gained,
    grown,
    put,
    rewrite,
    week,
)

from harvester import dates, settling
from harvester.errors import LockedError, UsageError
from harvester.lake import layout
from harvester.lake.layout import Layout
from harvester.lake.ledger import segments
from harvester.lake.ledger.ledger import Ledger
from harvester.lake.store import Store
from harvester.lake.verify.problems import Kind, Report
from harvester.lake.verify.rebuilding import Maker, Rebuilt, rebuild
from harvester.lake.verify.refetching import Refetched, refetch
from harvester.lake.verify.snapshot import Selection
from harvester.lake.verify.verification import verify
from harvester.plan import Outcome, Policy

MAKER = Maker(run_id="mend", endpoints=KNOWN.endpoints, version=KNOWN.version)
POLICY = Policy(
    since=dates.parse("2014-12-01"),
    until=dates.parse("2024-12-09"),
    now=datetime(2025, 1, 20, 12, tzinfo=UTC),
    ready_at=time(8),
    recheck_empty_days=3,
    refresh_days=(1, 2, 3, 7),
)


@pytest.fixture(
    params=(LAYOUTS[0], LAYOUTS[-1]), ids=lambda cut: f"{cut.buckets}-{cut.date}"
)
def cut(request: pytest.FixtureRequest) -> Layout:
    return request.param


@pytest.fixture
def lake(tmp_path: Path, cut: Layout) -> Path:
    return grown(tmp_path / "lake", cut)


def told(root: Path) -> dict[Kind, int]:
    return dict(verify(root, KNOWN.endpoints, Selection(), pause=lambda: None).counts)


def refetched(root: Path) -> Refetched:
    return refetch(root, KNOWN.endpoints, Selection(), "mend")[1]


def held(root: Path, appid: str, endpoint: str = "getusersummary") -> dates.Days:
    known = Ledger.load(root).known(appid)[endpoint]
    return dates.of(
        (one.first, one.last) for one in known if one.outcome is Outcome.HELD
    )


def missing(
    root: Path, appid: str, first: str, last: str, endpoint: str = "getusersummary"
) -> dates.Days:
    """What a run would ask of these days."""
    known = Ledger.load(root).known(appid).get(endpoint, [])
    wanted = ((dates.parse(first), dates.parse(last)),)
    return settling.missing(KNOWN.endpoints[endpoint], known, wanted, POLICY)


def lose_ledger(root: Path) -> None:
    for path in root.glob("ledger/*/*.parquet"):
        path.unlink()


def span(first: str, last: str) -> dates.Days:
    return ((dates.parse(first), dates.parse(last)),)


@pytest.mark.parametrize("cut", LAYOUTS, ids=lambda cut: f"{cut.buckets}-{cut.date}")
def test_a_lost_ledger_is_made_again_from_the_data(cut: Layout, tmp_path: Path) -> None:
    lake = grown(tmp_path / "lake", cut)
    before = {path: path.read_bytes() for path in lake.glob("data/*/*/*/*")}
    known = held(lake, ONE)
    lose_ledger(lake)
    done = rebuild(lake, MAKER)
    assert done == Rebuilt(files=len(before), rows=28, cells=14)
    assert told(lake) == {}
    assert held(lake, ONE) == known
    assert held(lake, TWO, "getupstreammsgweek") == span("2024-11-25", "2024-12-02")
    assert {path: path.read_bytes() for path in lake.glob("data/*/*/*/*")} == before


def test_after_a_rebuild_only_what_was_empty_is_asked_again(lake: Path) -> None:
    lose_ledger(lake)
    rebuild(lake, MAKER)
    assert missing(lake, ONE, "2024-11-29", "2024-12-07") == span(
        "2024-12-04", "2024-12-07"
    )


def test_after_a_rebuild_cells_that_move_are_asked_again(tmp_path: Path) -> None:
    name = "getarticletotaldetail"
    figures = {one.name: 1 for one in KNOWN.endpoints[name].fields if one.cumulative}
    detail = {"stat_date": "2025-12-01", **figures}
    article = {
        "ref_date": "2025-12-01",
        "msgid": "1_1",
        "publish_type": 0,
        "detail_list": [detail],
    }
    record = answer(ONE, name, "2025-12-01", "2025-12-01", [article])
    put(tmp_path, Layout(), [record])
    lose_ledger(tmp_path)
    rebuild(tmp_path, MAKER)
    assert held(tmp_path, ONE, name) == span("2025-12-01", "2025-12-01")
    later = replace(
        POLICY, until=dates.parse("2026-01-30"), now=datetime(2026, 2, 1, tzinfo=UTC)
    )
    known = Ledger.load(tmp_path).known(ONE)[name]
    wanted = span("2025-12-01", "2025-12-01")
    assert settling.missing(KNOWN.endpoints[name], known, wanted, later) == wanted


def test_a_run_goes_on_after_a_rebuild(lake: Path, cut: Layout) -> None:
    lose_ledger(lake)
    rebuild(lake, MAKER)
    again = [gained(date(2024, 12, 1), source, 9) for source in (0, 1, 2)]
    put(
        lake,
        cut,
        [
            answer(
                ONE, "getusersummary", "2024-12-01", "2024-12-01", again, fetched_at=9
            )
        ],
    )
    report = verify(lake, KNOWN.endpoints, Selection())
    assert (dict(report.counts), report.rows) == ({}, 29)


def test_a_damaged_ledger_is_set_aside_and_made_again(lake: Path) -> None:
    folder = lake / layout.CELLS
    path = folder / segments.name(segments.numbers(folder)[-1])
    path.write_bytes(path.read_bytes()[:-9])
    rebuild(lake, MAKER)
    assert told(lake) == {}
    assert (lake / "rejected/mend" / f"ledger~cells~{path.name}").exists()


def test_a_data_file_that_the_ledger_lacks_is_added(lake: Path, cut: Layout) -> None:
    known = Ledger.load(lake).known(ONE)
    put(
        lake,
        cut,
        [
            answer(
                ONE,
                "getusersummary",
                "2024-12-09",
                "2024-12-09",
                [gained(date(2024, 12, 9), 0, 1)],
            )
        ],
    )
    for place in (layout.CELLS, layout.FILES):
        (lake / place / segments.name(segments.numbers(lake / place)[-1])).unlink()
    assert told(lake) == {Kind.FOREIGN: 1}
    assert rebuild(lake, MAKER) == Rebuilt(files=1, rows=1, cells=1)
    assert told(lake) == {}
    assert (
        Ledger.load(lake).known(ONE)["getinterfacesummary"]
        == known["getinterfacesummary"]
    )


def test_a_rebuild_sets_aside_what_nobody_can_read(lake: Path) -> None:
    path = data_file(lake)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2] + b"\xff" + good[len(good) // 2 + 1 :])
    bad = path.read_bytes()
    lose_ledger(lake)
    done = rebuild(lake, MAKER)
    assert [(lake / place).read_bytes() for place in done.set_aside] == [bad]
    assert not path.exists()
    assert told(lake) == {}


def test_there_is_nothing_to_rebuild_in_a_healthy_lake(lake: Path) -> None:
    with pytest.raises(UsageError, match="nothing to rebuild"):
        rebuild(lake, MAKER)


def test_a_rebuild_needs_a_lake_and_its_lock(
    lake: Path, cut: Layout, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no lake"):
        rebuild(tmp_path / "none", MAKER)
    with Store.open(lake, cut, RECIPE), pytest.raises(LockedError):
        rebuild(lake, MAKER)


def test_a_broken_file_is_set_aside_and_its_cells_are_asked_again(
    lake: Path, cut: Layout
) -> None:
    path = data_file(lake)
    bad = path.read_bytes()[:-1]
    path.write_bytes(bad)
    done = refetched(lake)
    assert [(lake / place).read_bytes() for place in done.set_aside] == [bad]
    assert (done.kept, done.cells > 0, path.exists()) == (0, True, False)
    assert told(lake) == {}
    first, last = "2024-11-29", "2024-12-03"
    asked = {appid: missing(lake, appid, first, last) for appid in (ONE, TWO)}
    assert sum(map(dates.size, asked.values())) == done.cells
    put(
        lake,
        cut,
        [
            answer(
                appid,
                "getusersummary",
                dates.text(start),
                dates.text(end),
                [
                    gained(date.fromordinal(day), source, 3)
                    for day in range(start, end + 1)
                    for source in (0, 1)
                ],
                fetched_at=2 * FETCHED,
            )
            for appid, days in asked.items()
            for start, end in days
        ],
    )
    report = verify(lake, KNOWN.endpoints, Selection())
    assert (dict(report.counts), report.rows, report.cells) == ({}, 28, 14)


def test_cells_in_other_files_of_the_partition_stay_held(tmp_path: Path) -> None:
    lake, cut = grown(tmp_path / "lake", Layout(0, "month")), Layout(0, "month")
    later = answer(
        ONE,
        "getusersummary",
        "2024-12-08",
        "2024-12-08",
        [gained(date(2024, 12, 8), 0, 1)],
    )
    put(lake, cut, [later])
    path = (
        lake
        / f"data/endpoint=getusersummary/account={ONE}/month=2024-12/part-0.parquet"
    )
    path.unlink()
    assert refetched(lake) == Refetched(cells=3)
    assert missing(lake, ONE, "2024-11-29", "2024-12-08") == span(
        "2024-12-01", "2024-12-03"
    )


def test_rows_that_went_or_came_twice_are_asked_again(tmp_path: Path) -> None:
    lake = grown(tmp_path / "lake", Layout(0, "day"))
    first, second, *_ = sorted(
        lake.glob(f"data/endpoint=getusersummary/account={ONE}/*/*")
    )
    rewrite(lake, first, lambda table: table.slice(0, 0))
    twin = second.with_name("part-1.parquet")
    twin.write_bytes(second.read_bytes())
    acknowledge(lake, twin)
    rewrite(lake, data_file(lake, "getupstreammsgweek"), lambda table: table.slice(1))
    assert refetched(lake) == Refetched(cells=3)
    asked = missing(lake, ONE, "2024-11-29", "2024-12-05")
    assert asked == span("2024-11-29", "2024-11-30")
    rows = [
        gained(date.fromordinal(day), source, 3)
        for day in dates.each(asked)
        for source in (0, 1)
    ]
    again = answer(ONE, "getusersummary", "2024-11-29", "2024-11-30", rows)
    put(lake, Layout(0, "day"), [again, week(ONE, "2024-11-25")])
    report = verify(lake, KNOWN.endpoints, Selection())
    assert (dict(report.counts), report.rows) == ({}, 28)


@pytest.mark.parametrize("outcome", ["denied", "retired"])
def test_what_wechat_no_longer_serves_stays_as_it_is(
    outcome: str, tmp_path: Path
) -> None:
    lake, cut = grown(tmp_path / "lake", Layout(0, "day")), Layout(0, "day")
    refusal = answer(
        ONE,
        "getusersummary",
        "2024-12-08",
        "2024-12-08",
        [],
        outcome=outcome,
        pages=(),
        fetched_at=2 * FETCHED,
    )
    put(lake, cut, [refusal])
    path = data_file(lake)
    path.write_bytes(path.read_bytes()[:-1])
    before = held(lake, ONE)
    assert refetched(lake) == Refetched(kept=1)
    assert path.exists()
    assert held(lake, ONE) == before


def test_an_endpoint_that_left_the_catalogue_stays_as_it_is(tmp_path: Path) -> None:
    lake = grown(tmp_path / "lake", Layout(0, "day"))
    data_file(lake).unlink()
    fewer = {
        name: one for name, one in KNOWN.endpoints.items() if name != "getusersummary"
    }
    assert refetch(lake, fewer, Selection(), "mend")[1] == Refetched(kept=1)


def test_a_refetch_of_a_healthy_lake_changes_nothing(lake: Path) -> None:
    before = Ledger.load(lake).sequence
    report, done = refetch(lake, KNOWN.endpoints, Selection(), "mend")
    assert isinstance(report, Report)
    assert (done, Ledger.load(lake).sequence) == (Refetched(), before)


def test_a_refetch_takes_the_lock_and_whole_files(
    lake: Path, cut: Layout, tmp_path: Path
) -> None:
    with Store.open(lake, cut, RECIPE), pytest.raises(LockedError):
        refetched(lake)
    with pytest.raises(UsageError, match="whole files"):
        refetch(lake, KNOWN.endpoints, Selection(accounts=frozenset({ONE})), "mend")
    with pytest.raises(UsageError, match="no lake"):
        refetched(tmp_path / "none")
