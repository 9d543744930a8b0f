"""From missing days to calls: the fewest, newest first, streamed."""

import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester import dates, plan
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days, Granularity
from harvester.plan import Call, Phase, Policy

TODAY = dates.parse("2024-12-08")
YESTERDAY = TODAY - 1
EARLIEST = dates.parse("2014-12-01")
BOUNDARY = TODAY - 35


def endpoint(
    span: int = 7,
    granularity: Granularity = Granularity.DAY,
    *,
    name: str = "getusersummary",
    earliest: int = EARLIEST,
) -> Endpoint:
    return Endpoint(
        id=name,
        family="user",
        path=f"/datacube/{name}",
        en="test",
        span=span,
        safe_span=1,
        granularity=granularity,
        earliest=earliest,
        key=("ref_date",),
        fields=(),
    )


WEEKLY = endpoint(30, Granularity.WEEK, name="getupstreammsgweek")
MONTHLY = endpoint(30, Granularity.MONTH, name="getupstreammsgmonth")

POLICY = Policy(
    since=EARLIEST,
    until=YESTERDAY,
    now=datetime(2024, 12, 8, 8, 0, tzinfo=dates.CHINA),
)

recent_days = st.frozensets(st.integers(TODAY - 60, YESTERDAY), max_size=40)
spans = st.integers(1, 30)


def planned(
    days: Days,
    span: int = 7,
    policy: Policy = POLICY,
    phase: Phase | None = None,
) -> list[Call]:
    return list(plan.calls("wx0", endpoint(span), days, policy, phase))


def ranges(calls: Iterable[Call]) -> list[dates.Range]:
    return [(call.first, call.last) for call in calls]


def owned(calls: Iterable[Call]) -> list[int]:
    return sorted(day for call in calls for day in dates.each(call.owned))


def days(*written: str) -> Days:
    return dates.singles(map(dates.parse, written))


# What is wanted


def test_wanted_days_begin_at_the_endpoints_earliest_and_end_at_what_is_ready() -> None:
    late = endpoint(earliest=dates.parse("2025-11-01"))
    assert plan.wanted(endpoint(), 1, dates.LAST_DAY, YESTERDAY) == (
        (EARLIEST, YESTERDAY),
    )
    assert plan.wanted(endpoint(), TODAY - 9, TODAY - 5, YESTERDAY) == (
        (TODAY - 9, TODAY - 5),
    )
    assert plan.wanted(late, EARLIEST, dates.LAST_DAY, YESTERDAY) == ()


def test_weeks_and_months_are_chosen_by_their_label() -> None:
    since, until = dates.parse("2024-10-01"), dates.parse("2024-11-25")
    weeks = plan.wanted(WEEKLY, since, until, YESTERDAY)
    assert weeks[0] == days("2024-10-07")[0], "09-30 is before `since`"
    assert weeks[-1] == days("2024-11-25")[0], "its Sunday is after `until`, but ready"
    assert plan.wanted(MONTHLY, since, until, YESTERDAY) == days(
        "2024-10-01", "2024-11-01"
    )


def test_a_week_is_wanted_after_its_sunday_and_a_month_after_its_last_day() -> None:
    assert plan.wanted(WEEKLY, TODAY - 6, TODAY, TODAY) == days("2024-12-02")
    assert plan.wanted(WEEKLY, TODAY - 6, TODAY, TODAY - 1) == ()
    november = dates.parse("2024-11-30")
    assert plan.wanted(MONTHLY, november - 31, TODAY, november) == days("2024-11-01")
    assert plan.wanted(MONTHLY, november - 29, TODAY, november - 1) == ()


def test_a_policy_knows_what_is_ready_and_what_is_fresh_at_its_moment() -> None:
    assert (POLICY.last_ready, POLICY.fresh_from) == (YESTERDAY, TODAY - 35)
    early = replace(POLICY, now=POLICY.now - timedelta(microseconds=1))
    assert (early.last_ready, early.fresh_from) == (TODAY - 2, TODAY - 35)


# Windows


def test_a_week_or_month_stands_alone_unless_windows_are_wide() -> None:
    assert plan.longest(WEEKLY, wide=False) == 1
    assert plan.longest(WEEKLY, wide=False, narrowed=15) == 1
    assert plan.longest(MONTHLY, wide=True) == 30
    assert plan.longest(MONTHLY, wide=True, narrowed=15) == 15
    assert plan.longest(endpoint(7), wide=False) == 7


def test_a_narrower_span_is_believed_and_a_wider_one_is_not() -> None:
    assert plan.longest(endpoint(7), wide=False, narrowed=3) == 3
    assert plan.longest(endpoint(7), wide=False, narrowed=9) == 7


def test_wide_windows_run_from_the_first_label_to_the_last_inside() -> None:
    weeks = plan.wanted(WEEKLY, dates.parse("2024-01-01"), TODAY, YESTERDAY)
    mondays = [first for first, _ in weeks]
    wide = list(dates.cover(weeks, plan.longest(WEEKLY, wide=True)))
    assert wide[0] == (mondays[0], mondays[4]), "five Mondays lie in 29 days"
    months = plan.wanted(MONTHLY, dates.parse("2024-01-01"), TODAY, YESTERDAY)
    spread = list(dates.cover(months, plan.longest(MONTHLY, wide=True)))
    assert spread[:2] == [
        (dates.parse("2024-01-01"), dates.parse("2024-01-01")),
        (dates.parse("2024-02-01"), dates.parse("2024-03-01")),
    ]
    single = plan.longest(MONTHLY, wide=False)
    assert list(dates.cover(months, single)) == list(months)


# Calls


def fewest(wanted: list[int], span: int) -> int:
    """The minimum by dynamic programming: the last window may begin at any day."""
    best = [0]
    for end, last in enumerate(wanted):
        reachable = [start for start in range(end + 1) if last - wanted[start] < span]
        best.append(1 + min(best[start] for start in reachable))
    return best[-1]


@given(recent_days, spans)
def test_calls_own_every_wanted_day_once_and_nothing_else(
    inside: frozenset[int], span: int
) -> None:
    wanted = dates.singles(inside)
    calls = planned(wanted, span)
    assert owned(calls) == sorted(inside)
    for call in calls:
        window = ((call.first, call.last),)
        assert call.owned == dates.intersect(wanted, window)
        assert call.last - call.first < span
        assert call.last <= YESTERDAY
    assert ranges(calls) == sorted(ranges(calls), reverse=True)


@given(recent_days, spans)
def test_the_number_of_calls_is_the_smallest_possible(
    inside: frozenset[int], span: int
) -> None:
    wanted = dates.singles(inside)
    number = fewest(sorted(inside), span)
    assert len(planned(wanted, span)) == number
    assert plan.count_calls(endpoint(span), wanted, POLICY) == number


def test_a_call_names_its_account_and_owns_only_what_is_missing() -> None:
    missing = days("2024-12-01", "2024-12-02", "2024-12-04", "2024-12-07")
    (call,) = planned(missing)
    assert (call.appid, call.endpoint.id) == ("wx0", "getusersummary")
    assert ranges([call]) == [(TODAY - 7, YESTERDAY)]
    assert call.owned == missing


def test_calls_follow_the_believed_span_and_the_wide_windows_of_the_policy() -> None:
    wanted = ((TODAY - 6, YESTERDAY),)
    narrow = replace(POLICY, narrowed={"getusersummary": 2, "getuserread": 1})
    assert len(planned(wanted, policy=narrow)) == 3
    weeks = plan.wanted(WEEKLY, TODAY - 76, TODAY, YESTERDAY)
    wide = replace(POLICY, wide_windows=True)
    assert plan.count_calls(WEEKLY, weeks, POLICY) == len(weeks) == 10
    assert plan.count_calls(WEEKLY, weeks, wide) == 2
    first = next(plan.calls("wx0", WEEKLY, weeks, wide))
    assert first.owned == weeks[5:]


def test_no_missing_days_are_no_calls() -> None:
    assert planned(()) == []
    assert plan.count_calls(endpoint(), (), replace(POLICY, only=Phase.FRESH)) == 0


@given(recent_days, spans, st.sampled_from([None, *Phase]))
def test_oldest_first_makes_the_same_calls_the_other_way_round(
    inside: frozenset[int], span: int, phase: Phase | None
) -> None:
    wanted = dates.singles(inside)
    ascending = planned(wanted, span, replace(POLICY, oldest_first=True), phase)
    assert ascending == planned(wanted, span, POLICY, phase)[::-1]


# Phases


@given(recent_days, spans)
def test_the_phases_part_the_calls_of_the_whole(
    inside: frozenset[int], span: int
) -> None:
    wanted = dates.singles(inside)
    fresh = planned(wanted, span, phase=Phase.FRESH)
    backfill = planned(wanted, span, phase=Phase.BACKFILL)
    assert fresh + backfill == planned(wanted, span)
    assert all(call.last >= BOUNDARY for call in fresh)
    assert all(call.last < BOUNDARY for call in backfill)


@given(recent_days, spans)
def test_backfill_is_the_same_once_the_fresh_days_are_held(
    inside: frozenset[int], span: int
) -> None:
    wanted = dates.singles(inside)
    got = dates.singles(owned(planned(wanted, span, phase=Phase.FRESH)))
    rest = dates.subtract(wanted, got)
    assert planned(rest, span) == planned(wanted, span, phase=Phase.BACKFILL)


@given(recent_days, spans)
def test_only_one_phase_cuts_the_days_before_the_windows(
    inside: frozenset[int], span: int
) -> None:
    wanted = dates.singles(inside)
    fresh = planned(wanted, span, replace(POLICY, only=Phase.FRESH))
    backfill = planned(wanted, span, replace(POLICY, only=Phase.BACKFILL))
    assert owned(fresh) == sorted(day for day in inside if day >= BOUNDARY)
    assert owned(backfill) == sorted(day for day in inside if day < BOUNDARY)
    assert all(call.first >= BOUNDARY for call in fresh)
    assert all(call.last < BOUNDARY for call in backfill)


def test_a_window_that_reaches_into_the_fresh_days_is_fresh() -> None:
    wanted = ((BOUNDARY - 6, BOUNDARY),)
    assert planned(wanted, phase=Phase.BACKFILL) == []
    assert ranges(planned(wanted, phase=Phase.FRESH)) == [(BOUNDARY - 6, BOUNDARY)]


def test_the_newest_month_is_fresh_on_the_morning_it_is_ready() -> None:
    morning = datetime(2025, 1, 1, 8, 0, tzinfo=dates.CHINA)
    policy = replace(POLICY, now=morning, until=dates.LAST_DAY, only=Phase.FRESH)
    months = plan.wanted(MONTHLY, EARLIEST, policy.until, policy.last_ready)
    (call,) = plan.calls("wx0", MONTHLY, months, policy)
    assert call.owned == days("2024-12-01")


def account(policy: Policy = POLICY) -> list[tuple[Endpoint, Days]]:
    """Seventeen endpoints, ten years."""
    shapes = [1] * 7 + [3, 7, 7, 7, 7, 15, 15, 30]
    every = [endpoint(span, name=f"get{i}") for i, span in enumerate(shapes)]
    return [
        (one, plan.wanted(one, EARLIEST, policy.until, policy.last_ready))
        for one in (WEEKLY, MONTHLY, *every)
    ]


@pytest.mark.parametrize("accounts", [1, 20])
def test_memory_does_not_grow_with_the_plan(accounts: int) -> None:
    missing = account()
    tracemalloc.start()
    count = 0
    for number in range(accounts):
        for one, wanted in missing:
            stream = plan.calls(f"wx{number}", one, wanted, POLICY)
            count += sum(1 for _ in islice(stream, 100))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > 1_100 * accounts
    assert peak < 500_000
