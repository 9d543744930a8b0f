"""China's calendar and sets of days, against plain `datetime` and Python's sets."""

import time as clock
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harvester import dates
from harvester.dates import Days, Granularity

MONDAY = date(2014, 12, 1).toordinal()
EIGHT = time(8)

DAY, WEEK, MONTH = Granularity.DAY, Granularity.WEEK, Granularity.MONTH

granularities = st.sampled_from(Granularity)
ordinals = st.integers(date(2012, 1, 1).toordinal(), date(2033, 1, 1).toordinal())
moments = st.integers(1_400_000_000, 2_400_000_000).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)
members = st.frozensets(st.integers(1, 40))
spans = st.integers(1, 12)


def china(*when: int) -> datetime:
    return datetime(*when, tzinfo=dates.CHINA)  # type: ignore[arg-type,misc]


def day(written: str) -> int:
    return date.fromisoformat(written).toordinal()


def is_canonical(days: Days) -> bool:
    """Sorted, none empty, none touching its neighbour."""
    flat = [end for pair in days for end in pair]
    return flat == sorted(flat) and all(a[1] + 1 < b[0] for a, b in pairwise(days))


# Sets of days


@given(members)
def test_a_set_of_days_holds_exactly_its_days(inside: frozenset[int]) -> None:
    days = dates.singles(inside)
    assert is_canonical(days)
    assert list(dates.each(days)) == sorted(inside)
    assert dates.size(days) == len(inside)
    assert {d for d in range(42) if dates.contains(days, d)} == inside


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_ranges_in_any_order_become_one_set(ranges: list[dates.Range]) -> None:
    days = dates.of(ranges)
    assert is_canonical(days)
    expected = {d for first, last in ranges for d in range(first, last + 1)}
    assert set(dates.each(days)) == expected


@given(members, members)
def test_set_operations_are_those_of_sets(a: frozenset[int], b: frozenset[int]) -> None:
    left, right = dates.singles(a), dates.singles(b)
    assert dates.union(left, right) == dates.singles(a | b)
    assert dates.subtract(left, right) == dates.singles(a - b)
    assert dates.intersect(left, right) == dates.singles(a & b)


# Windows


@given(members, spans)
def test_windows_hold_every_wanted_day_and_begin_and_end_on_one(
    inside: frozenset[int], span: int
) -> None:
    windows = list(dates.cover(dates.singles(inside), span))
    covered = [d for first, last in windows for d in range(first, last + 1)]
    assert inside <= set(covered)
    assert covered == sorted(set(covered)), "ascending, and none overlaps another"
    assert all(first in inside and last in inside for first, last in windows)
    assert all(last - first < span for first, last in windows)


def fewest(inside: frozenset[int], span: int) -> int:
    """The minimum by trying every window that holds the first day, and every other."""

    @cache
    def cost(left: frozenset[int]) -> int:
        if not left:
            return 0
        starts = range(min(left) - span + 1, max(left) + 1)
        reached = {left - set(range(start, start + span)) for start in starts}
        return 1 + min(cost(rest) for rest in reached if min(left) not in rest)

    return cost(inside)


@given(st.frozensets(st.integers(1, 16), max_size=10), st.integers(1, 6))
def test_no_choice_of_windows_needs_fewer(inside: frozenset[int], span: int) -> None:
    assert len(list(dates.cover(dates.singles(inside), span))) == fewest(inside, span)


@given(members, spans)
def test_the_newest_first_and_the_count_are_those_of_cover(
    inside: frozenset[int], span: int
) -> None:
    days = dates.singles(inside)
    windows = list(dates.cover(days, span))
    assert list(dates.newest_first(days, span)) == windows[::-1]
    assert dates.count_windows(days, span) == len(windows)


@pytest.mark.parametrize(
    ("wanted", "span", "expected"),
    [
        ((), 7, []),
        (((1, 14),), 7, [(1, 7), (8, 14)]),
        (((1, 15),), 7, [(1, 7), (8, 14), (15, 15)]),
        (((1, 1), (3, 3), (7, 9)), 7, [(1, 7), (8, 9)]),
        (((1, 1), (9, 9)), 7, [(1, 1), (9, 9)]),
        (((1, 2), (4, 5), (6 + 3, 9)), 5, [(1, 5), (9, 9)]),
        (((1, 3),), 1, [(1, 1), (2, 2), (3, 3)]),
    ],
)
def test_windows_by_example(
    wanted: Days, span: int, expected: list[dates.Range]
) -> None:
    assert list(dates.cover(wanted, span)) == expected


# Labels


def slow_labels(granularity: Granularity, first: int, last: int) -> list[int]:
    days = [date.fromordinal(d) for d in range(first, last + 1)]
    if granularity is WEEK:
        days = [d for d in days if d.weekday() == 0]
    if granularity is MONTH:
        days = [d for d in days if d.day == 1]
    return [d.toordinal() for d in days]


def slow_end(granularity: Granularity, label: int) -> int:
    """The last day of the period, found by walking to the next one."""
    if granularity not in (WEEK, MONTH):
        return label
    return slow_labels(granularity, label + 1, label + 31)[0] - 1


@given(granularities, ordinals, st.integers(-40, 500))
def test_labels_are_days_mondays_and_firsts(
    granularity: Granularity, first: int, length: int
) -> None:
    last = first + length
    found = dates.labels(granularity, first, last)
    assert list(dates.each(found)) == slow_labels(granularity, first, last)


@given(granularities, ordinals)
@example(MONTH, day("2024-02-29"))
@example(MONTH, day("2023-02-28"))
@example(MONTH, day("2024-12-31"))
@example(WEEK, day("2024-12-31"))
def test_every_day_lies_in_the_period_of_its_label(
    granularity: Granularity, inside: int
) -> None:
    label = dates.label_of(granularity, inside)
    end = dates.period_end(granularity, label)
    assert label <= inside <= end == slow_end(granularity, label)
    assert dates.labels(granularity, label, label) == ((label, label),)


@given(granularities, ordinals, st.integers(0, 200))
def test_a_label_is_ready_when_its_whole_period_is(
    granularity: Granularity, first: int, length: int
) -> None:
    ready = first + length
    found = dates.each(dates.ready_labels(granularity, first, ready))
    candidates = slow_labels(granularity, first, ready)
    assert list(found) == [d for d in candidates if slow_end(granularity, d) <= ready]


def test_the_first_of_december_2014_is_a_monday_and_a_first() -> None:
    assert dates.labels(WEEK, MONDAY, MONDAY) == ((MONDAY, MONDAY),)
    assert dates.labels(MONTH, MONDAY, MONDAY) == ((MONDAY, MONDAY),)
    assert dates.ready_labels(WEEK, MONDAY, day("2014-12-06")) == ()
    assert dates.ready_labels(WEEK, MONDAY, day("2014-12-07")) == ((MONDAY, MONDAY),)
    assert dates.ready_labels(MONTH, MONDAY, day("2014-12-30")) == ()
    assert dates.ready_labels(MONTH, MONDAY, day("2014-12-31")) == ((MONDAY, MONDAY),)


@pytest.mark.parametrize(
    ("inside", "end"),
    [
        ("2024-02-01", "2024-02-29"),
        ("2023-02-28", "2023-02-28"),
        ("2100-02-01", "2100-02-28"),
        ("2024-12-31", "2024-12-31"),
        ("9999-12-01", "9999-12-31"),
    ],
)
def test_months_end_where_the_calendar_says(inside: str, end: str) -> None:
    assert dates.month_end(day(inside)) == day(end)


def test_a_set_that_begins_after_it_ends_is_empty_at_the_end_of_the_calendar() -> None:
    for granularity in Granularity:
        assert dates.labels(granularity, dates.LAST_DAY, MONDAY) == ()


# Moments


@pytest.mark.parametrize(
    ("moment", "ready"),
    [
        (china(2024, 12, 8, 7, 59, 59, 999999), "2024-12-06"),
        (china(2024, 12, 8, 8, 0), "2024-12-07"),
        (china(2024, 12, 8, 23, 59, 59), "2024-12-07"),
        (china(2024, 12, 9, 0, 0), "2024-12-07"),
        (china(2024, 3, 1, 8, 0), "2024-02-29"),
        (china(2025, 1, 1, 8, 0), "2024-12-31"),
        (datetime(2024, 12, 8, 0, 0, tzinfo=UTC), "2024-12-07"),
        (datetime(2024, 12, 7, 23, 59, tzinfo=UTC), "2024-12-06"),
    ],
)
def test_yesterday_is_complete_from_eight_in_china(
    moment: datetime, ready: str
) -> None:
    assert dates.last_ready_day(moment, EIGHT) == day(ready)


def test_ready_at_may_be_midnight_or_late() -> None:
    noon = china(2024, 12, 8, 12, 0)
    assert dates.last_ready_day(noon, time(0)) == day("2024-12-07")
    assert dates.last_ready_day(noon, time(12)) == day("2024-12-07")
    assert dates.last_ready_day(noon, time(12, 1)) == day("2024-12-06")


def test_the_day_changes_at_midnight_in_china_and_not_in_utc() -> None:
    before = datetime(2024, 2, 28, 15, 59, 59, tzinfo=UTC)
    assert dates.china_day(before) == day("2024-02-28")
    assert dates.china_day(before + timedelta(seconds=1)) == day("2024-02-29")


def test_china_has_no_summer_time() -> None:
    assert dates.china_day(datetime(1988, 7, 1, 15, 59, tzinfo=UTC)) == day(
        "1988-07-01"
    )


@given(moments)
def test_the_next_midnight_is_the_first_moment_of_the_next_day(
    moment: datetime,
) -> None:
    midnight = dates.midnight_after(moment)
    assert midnight.tzinfo is UTC
    assert timedelta(0) < midnight - moment <= timedelta(days=1)
    assert dates.china_day(midnight) == dates.china_day(moment) + 1
    just_before = midnight - timedelta(microseconds=1)
    assert dates.china_day(just_before) == dates.china_day(moment)


@pytest.fixture(params=["Pacific/Kiritimati", "America/Los_Angeles", "UTC"])
def machine_zone(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    clock.tzset()
    yield
    monkeypatch.undo()
    clock.tzset()


@pytest.mark.usefixtures("machine_zone")
def test_the_machines_zone_changes_nothing() -> None:
    elsewhere = timezone(timedelta(hours=-11))
    moment = datetime(2024, 2, 28, 5, 0, tzinfo=elsewhere)  # 00:00 on 02-29 in China
    assert dates.china_day(moment) == day("2024-02-29")
    assert dates.last_ready_day(moment, EIGHT) == day("2024-02-27")
    assert dates.midnight_after(moment) == datetime(2024, 2, 29, 16, tzinfo=UTC)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone: 2024-12-08T09:00:00"):
        dates.china_day(datetime(2024, 12, 8, 9))  # noqa: DTZ001


# Spellings


@given(ordinals)
def test_days_are_read_as_they_are_written(when: int) -> None:
    assert dates.parse(dates.text(when)) == when
    assert dates.text(when) == date.fromordinal(when).isoformat()
    for name, write in dates.FORMATS.items():
        assert dates.PARSERS[name](write(when)) == when


@pytest.mark.parametrize(
    ("spelling", "value", "expected"),
    [
        ("YYYY-MM-DD", "2024-02-29", "2024-02-29"),
        ("YYYYMMDD", "20170306", "2017-03-06"),
        ("YYYYMMDD-YYYYMMDD", "20170306-20170312", "2017-03-06"),
        ("YYYYMMDD-YYYYMMDD", "20170306", "2017-03-06"),
        ("YYYYMM", "201703", "2017-03-01"),
    ],
)
def test_labels_are_read_in_every_spelling(
    spelling: str, value: str, expected: str
) -> None:
    assert dates.PARSERS[spelling](value) == day(expected)


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("YYYY-MM-DD", "20241207"),
        ("YYYY-MM-DD", "2024-W49-6"),
        ("YYYY-MM-DD", "2024-12-7"),
        ("YYYY-MM-DD", " 2024-12-07"),
        ("YYYY-MM-DD", "2024-12-07\n"),
        ("YYYY-MM-DD", "2024-12-07T00:00"),
        ("YYYY-MM-DD", "２０２４-12-07"),
        ("YYYY-MM-DD", "2023-02-29"),
        ("YYYY-MM-DD", "0000-01-01"),
        ("YYYY-MM-DD", ""),
        ("YYYYMMDD", "2024-12-07"),
        ("YYYYMMDD", "20241301"),
        ("YYYYMMDD-YYYYMMDD", "20170312-20170306"),
        ("YYYYMMDD-YYYYMMDD", "20170306-"),
        ("YYYYMMDD-YYYYMMDD", "20170306-2017031"),
        ("YYYYMM", "201713"),
        ("YYYYMM", "2017-03"),
        ("YYYYMM", "20170306"),
    ],
)
def test_every_other_spelling_is_refused(spelling: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"not a day|no such day|ends before"):
        dates.PARSERS[spelling](value)


def test_a_refused_day_is_quoted_and_cut_short() -> None:
    with pytest.raises(ValueError, match=r"^not a day: 'x{40}'$"):
        dates.parse("x" * 1000)


def test_arrow_counts_from_the_same_epoch() -> None:
    assert day("1970-01-01") == dates.EPOCH
