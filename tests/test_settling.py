"""Which cells are asked again, by what the ledger knows of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester import dates, plan, settling
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days, Granularity
from harvester.plan import Known, Outcome, Policy

EARLIEST = dates.parse("2014-12-01")
TODAY = dates.parse("2024-12-08")
NINE = datetime(2024, 12, 8, 9, 0, tzinfo=dates.CHINA).astimezone(UTC)
"""The run's moment. A cell of `TODAY − n` has the age n."""

POLICY = Policy(since=EARLIEST, until=dates.LAST_DAY, now=NINE)


def endpoint(
    settle_days: int = 0, granularity: Granularity = Granularity.DAY, span: int = 7
) -> Endpoint:
    return Endpoint(
        id="getarticletotal",
        family="article",
        path="/datacube/getarticletotal",
        en="test",
        span=span,
        safe_span=1,
        granularity=granularity,
        earliest=EARLIEST,
        settle_days=settle_days,
        key=("ref_date",),
        fields=(),
    )


PLAIN = endpoint()
TOTAL = endpoint(7, Granularity.PUBLISH_DAY, span=1)
DETAIL = endpoint(30, Granularity.PUBLISH_DAY, span=1)


def known(
    outcome: Outcome,
    age: int,
    fetched_at: datetime = NINE,
    next_try_at: datetime | None = None,
) -> Known:
    """One cell of this age today."""
    return Known(TODAY - age, TODAY - age, outcome, fetched_at, next_try_at)


def asked(
    one: Endpoint, entries: Sequence[Known], policy: Policy = POLICY
) -> list[int]:
    """The ages of the cells asked, of those the entries speak of."""
    days = dates.of((entry.first, entry.last) for entry in entries)
    missing = settling.missing(one, entries, days, policy)
    return [TODAY - day for day in dates.each(missing)]


def at(age: int, day: int = TODAY) -> datetime:
    """Nine o'clock on the morning when `day` has this age."""
    return NINE + timedelta(days=day + age - TODAY)


# Held and settled


def test_what_the_ledger_does_not_know_is_missing() -> None:
    wanted = ((TODAY - 9, TODAY - 1),)
    assert settling.missing(PLAIN, [], wanted, POLICY) == wanted
    held = [Known(TODAY - 5, TODAY - 3, Outcome.HELD, NINE)]
    assert settling.missing(PLAIN, held, wanted, POLICY) == (
        (TODAY - 9, TODAY - 6),
        (TODAY - 2, TODAY - 1),
    )


def test_nothing_wanted_is_nothing_missing() -> None:
    assert settling.missing(PLAIN, [known(Outcome.FAILED, 3)], (), POLICY) == ()


def test_a_plain_cell_is_settled_by_its_first_fetch() -> None:
    later = replace(POLICY, now=NINE + timedelta(days=100))
    assert asked(PLAIN, [known(Outcome.HELD, 1)], later) == []


def test_a_day_fetched_before_it_was_ready_is_asked_once_more() -> None:
    at_seven = known(Outcome.HELD, 1, NINE - timedelta(hours=2))
    assert asked(PLAIN, [at_seven]) == [1]
    assert asked(PLAIN, [replace(at_seven, fetched_at=NINE)]) == []


def test_a_refresh_asks_held_and_empty_cells_again_and_no_others() -> None:
    entries = [
        known(Outcome.HELD, 400),
        known(Outcome.EMPTY, 300),
        known(Outcome.UNAVAILABLE, 200),
        known(Outcome.PENDING, 100, next_try_at=NINE + timedelta(hours=1)),
    ]
    assert asked(PLAIN, entries) == []
    assert asked(PLAIN, entries, replace(POLICY, refresh=True)) == [400, 300]


# Moving cells


def looks(
    one: Endpoint,
    moments: Iterable[datetime],
    outcome: Outcome = Outcome.HELD,
    policy: Policy = POLICY,
) -> list[int]:
    """The ages at which runs at these moments ask the cell of `TODAY`."""
    entries: list[Known] = []
    ages = []
    for moment in moments:
        run = replace(policy, now=moment)
        wanted = plan.wanted(one, TODAY, TODAY, run.last_ready)
        if settling.missing(one, entries, wanted, run):
            ages.append(dates.china_day(moment) - TODAY)
            entries = [Known(TODAY, TODAY, outcome, moment)]
    return ages


def nightly(days: int, hour: int = 9) -> list[datetime]:
    return [at(age) + timedelta(hours=hour - 9) for age in range(days)]


def test_a_moving_cell_is_asked_at_its_ages_up_to_the_settled_one() -> None:
    assert looks(TOTAL, nightly(90)) == [1, 2, 3, 7]
    assert looks(DETAIL, nightly(90)) == [1, 2, 3, 7, 14, 30]


def test_before_eight_a_cell_is_a_day_younger() -> None:
    assert looks(TOTAL, nightly(90, hour=7)) == [2, 3, 4, 8]


def test_many_runs_a_day_ask_a_moving_cell_once() -> None:
    hourly = [at(0) + timedelta(hours=hour) for hour in range(40 * 24)]
    assert looks(DETAIL, hourly) == [1, 2, 3, 7, 14, 30]


def test_the_last_look_is_always_at_the_settled_age() -> None:
    seldom = replace(POLICY, refresh_days=(2, 9))
    assert looks(TOTAL, nightly(90), policy=seldom) == [1, 2, 7]
    assert looks(TOTAL, nightly(90), policy=replace(POLICY, refresh_days=())) == [1, 7]


def test_missed_nights_are_made_up_by_one_look() -> None:
    assert looks(DETAIL, [at(1), at(5), at(6), at(20), at(29), at(44)]) == [
        1,
        5,
        20,
        44,
    ]
    assert looks(DETAIL, [at(200), at(300)]) == [200]


def test_a_range_of_moving_cells_is_asked_in_part() -> None:
    week = [Known(TODAY - 14, TODAY - 8, Outcome.HELD, NINE - timedelta(days=7))]
    assert asked(TOTAL, week) == [13, 12, 11, 10, 9, 8], "14 was 7 days old"
    younger = [replace(week[0], fetched_at=NINE - timedelta(days=4))]
    assert asked(endpoint(14), younger) == [14, 10, 9, 8], "14, and past 7 since"


def test_a_run_that_looks_back_asks_nothing_again() -> None:
    """A rehearsal of an earlier day: the cells were fetched in its future."""
    entries = [known(Outcome.HELD, 5)]
    earlier = replace(POLICY, now=NINE - timedelta(days=2))
    assert asked(TOTAL, entries, earlier) == []


def brute(one: Endpoint, entry: Known, policy: Policy) -> list[int]:
    """Rules 1 and 2, cell by cell."""

    def age(end: int, moment: datetime) -> int:
        return dates.last_ready_day(moment, policy.ready_at) + 1 - end

    again = []
    settle = max(1, one.settle_days)
    marks = {a for a in policy.refresh_days if a <= settle} | {settle}
    for label in range(entry.first, entry.last + 1):
        if label != dates.label_of(one.granularity, label):
            continue
        end = dates.period_end(one.granularity, label)
        then, now = age(end, entry.fetched_at), age(end, policy.now)
        early = entry.outcome is Outcome.EMPTY and then < policy.recheck_empty_days
        if any(then < mark <= now for mark in marks) or (early and now >= 1):
            again.append(label)
    return again


@given(
    settle=st.integers(0, 12),
    granularity=st.sampled_from(Granularity),
    outcome=st.sampled_from([Outcome.HELD, Outcome.EMPTY]),
    first=st.integers(TODAY - 70, TODAY),
    length=st.integers(0, 40),
    fetched_hours=st.integers(0, 60 * 24),
    hours=st.integers(0, 60 * 24),
    ages=st.lists(st.integers(1, 14), max_size=4),
)
def test_ranges_are_judged_as_their_cells_would_be(
    settle: int,
    granularity: Granularity,
    outcome: Outcome,
    first: int,
    length: int,
    fetched_hours: int,
    hours: int,
    ages: list[int],
) -> None:
    one = endpoint(settle, granularity)
    now = NINE + timedelta(hours=hours)
    entry = Known(first, first + length, outcome, NINE + timedelta(hours=fetched_hours))
    policy = replace(POLICY, now=now, refresh_days=tuple(ages))
    wanted = plan.wanted(one, first, first + length, policy.last_ready)
    missing = list(dates.each(settling.missing(one, [entry], wanted, policy)))
    assert missing == brute(one, entry, policy)


# Empty cells


def test_a_young_empty_cell_is_asked_by_every_run_until_it_is_three_days_old() -> None:
    hourly = [at(1) + timedelta(hours=hour) for hour in (0, 1, 2)]
    moments = [*hourly, at(2), at(2), at(3), at(3), at(4), at(9)]
    assert looks(PLAIN, moments, Outcome.EMPTY) == [1, 1, 1, 2, 2, 3]


def test_an_early_empty_answer_is_checked_even_when_nights_were_missed() -> None:
    assert looks(PLAIN, [at(1), at(12), at(13)], Outcome.EMPTY) == [1, 12]


def test_an_old_empty_cell_is_known_at_once() -> None:
    assert looks(PLAIN, [at(3), at(4)], Outcome.EMPTY) == [3]
    never = replace(POLICY, recheck_empty_days=0)
    assert looks(PLAIN, [at(1), at(1), at(2)], Outcome.EMPTY, never) == [1]


def test_an_empty_publish_day_may_still_fill_until_it_is_settled() -> None:
    assert looks(TOTAL, nightly(40), Outcome.EMPTY) == [1, 2, 3, 7]


# Everything else


@pytest.mark.parametrize(
    ("next_try_at", "expected"),
    [(None, [3]), (NINE, [3]), (NINE + timedelta(seconds=1), [])],
)
def test_a_pending_cell_is_asked_from_its_next_try_on(
    next_try_at: datetime | None, expected: list[int]
) -> None:
    entry = Known(TODAY - 3, TODAY - 3, Outcome.PENDING, NINE, next_try_at, "45009")
    assert asked(PLAIN, [entry]) == expected


def test_a_failed_cell_is_always_asked_and_an_unavailable_one_never() -> None:
    entries = [known(Outcome.UNAVAILABLE, 5), known(Outcome.FAILED, 4)]
    assert asked(PLAIN, entries) == [4]


refused = pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.RETIRED])


@refused
def test_a_refused_endpoint_is_left_alone_until_its_next_try(outcome: Outcome) -> None:
    next_week = NINE + timedelta(days=7)
    entries = [known(Outcome.FAILED, 9), known(outcome, 3, next_try_at=next_week)]
    wanted = ((TODAY - 9, TODAY - 1),)
    assert settling.missing(PLAIN, entries, wanted, POLICY) == ()
    then = replace(POLICY, now=next_week)
    assert settling.missing(PLAIN, entries, wanted, then) == wanted


@refused
def test_a_refusal_without_a_next_try_stands(outcome: Outcome) -> None:
    later = replace(POLICY, now=NINE + timedelta(days=999))
    assert asked(PLAIN, [known(outcome, 3), known(Outcome.FAILED, 4)], later) == []


@refused
def test_an_answer_after_a_refusal_opens_the_endpoint(outcome: Outcome) -> None:
    week = NINE + timedelta(days=7)
    before = known(Outcome.HELD, 9, NINE - timedelta(days=1))
    after = known(Outcome.EMPTY, 9, NINE + timedelta(seconds=1))
    refusals = [known(outcome, 6, next_try_at=week), known(outcome, 5)]
    failed = known(Outcome.FAILED, 4)
    assert asked(PLAIN, [before, *refusals, failed]) == []
    assert asked(PLAIN, [after, *refusals, failed]) == [5, 4]


def test_the_latest_refusal_says_when_to_try_again() -> None:
    soon = known(Outcome.DENIED, 9, NINE - timedelta(days=2), next_try_at=NINE)
    late = known(Outcome.DENIED, 8, NINE, next_try_at=NINE + timedelta(days=1))
    assert settling.standing_refusal([late, soon]) is late
    assert asked(PLAIN, [soon, late]) == []


# Due


WANTED = ((TODAY - 9, TODAY - 1),)


def due(*entries: Known) -> list[int]:
    return [TODAY - day for day in dates.each(settling.due(entries, WANTED))]


def test_wanted_days_are_due_unless_known_to_be_out_of_reach() -> None:
    assert due() == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    reachable = [
        known(Outcome.HELD, 9),
        known(Outcome.EMPTY, 8),
        known(Outcome.PENDING, 7),
        known(Outcome.FAILED, 6),
    ]
    assert due(*reachable, known(Outcome.UNAVAILABLE, 5)) == [9, 8, 7, 6, 4, 3, 2, 1]


@refused
def test_the_new_days_of_a_refused_endpoint_are_not_due(outcome: Outcome) -> None:
    """A nightly run stays green although an account lacks a permission."""
    passed = NINE - timedelta(days=1)
    refusal = known(outcome, 5, NINE - timedelta(days=8), next_try_at=passed)
    held = known(Outcome.HELD, 9, NINE - timedelta(days=20))
    assert due(held, refusal, known(Outcome.FAILED, 7)) == [9]


@refused
def test_an_endpoint_that_answers_again_is_due_but_for_its_refused_days(
    outcome: Outcome,
) -> None:
    refusal = known(outcome, 5, NINE - timedelta(days=1))
    assert due(refusal, known(Outcome.HELD, 9)) == [9, 8, 7, 6, 4, 3, 2, 1]


# A plan and its success


outcomes = st.sampled_from([Outcome.HELD, Outcome.PENDING, Outcome.FAILED])


@st.composite
def ledgers(draw: st.DrawFn) -> list[Known]:
    """Disjoint entries within the last sixty days, fetched when they were ready."""
    starts = sorted(draw(st.sets(st.integers(1, 60), max_size=8)), reverse=True)
    entries = []
    for start, following in pairwise([*starts, 0]):
        last = draw(st.integers(following + 1, start))
        fetched = at(draw(st.integers(1, last)), TODAY - last)
        outcome = draw(outcomes)
        entries.append(Known(TODAY - start, TODAY - last, outcome, fetched))
    return entries


@given(ledgers(), st.sampled_from([PLAIN, TOTAL, DETAIL]))
def test_plan_and_held_are_the_wanted_and_after_success_nothing_is_left(
    entries: list[Known], one: Endpoint
) -> None:
    wanted = plan.wanted(one, TODAY - 60, dates.LAST_DAY, POLICY.last_ready)
    missing = settling.missing(one, entries, wanted, POLICY)
    planned = _owned(one, missing)
    held = dates.of((e.first, e.last) for e in entries if e.outcome is Outcome.HELD)
    assert planned == missing
    assert dates.union(planned, held) == wanted
    if one is PLAIN:
        assert dates.intersect(planned, held) == ()
    after = [Known(*pair, Outcome.HELD, NINE) for pair in planned]
    rest = [
        Known(*pair, entry.outcome, entry.fetched_at)
        for entry in entries
        for pair in dates.subtract(((entry.first, entry.last),), planned)
    ]
    assert settling.missing(one, [*after, *rest], wanted, POLICY) == ()


def _owned(one: Endpoint, missing: Days) -> Days:
    calls = plan.calls("wx0", one, missing, POLICY)
    return dates.of(pair for call in calls for pair in call.owned)


@given(
    st.lists(st.integers(0, 50 * 24), min_size=1, max_size=12),
    st.sampled_from([PLAIN, TOTAL, DETAIL]),
    st.sampled_from([Outcome.HELD, Outcome.EMPTY]),
)
def test_whatever_nights_runs_fall_on_the_last_look_is_settled(
    hours: list[int], one: Endpoint, outcome: Outcome
) -> None:
    moments = [at(0) + timedelta(hours=hour) for hour in sorted(hours)]
    ages = looks(one, [*moments, at(60), at(61)], outcome)
    assert ages[-1] >= max(one.settle_days, 1)
    assert 61 not in ages


# What the ledger may join


@pytest.mark.parametrize(
    ("one", "outcome", "fetched_at_age", "expected"),
    [
        (PLAIN, Outcome.HELD, 1, True),
        (PLAIN, Outcome.HELD, 0, False),
        (TOTAL, Outcome.HELD, 6, False),
        (TOTAL, Outcome.HELD, 7, True),
        (PLAIN, Outcome.EMPTY, 2, False),
        (PLAIN, Outcome.EMPTY, 3, True),
        (PLAIN, Outcome.UNAVAILABLE, 0, True),
        (PLAIN, Outcome.FAILED, 99, False),
        (PLAIN, Outcome.DENIED, 99, False),
        (PLAIN, Outcome.PENDING, 99, False),
    ],
)
def test_what_no_run_asks_again_is_settled(
    one: Endpoint, outcome: Outcome, fetched_at_age: int, expected: bool
) -> None:
    day = TODAY - 50
    entry = Known(day, day, outcome, at(fetched_at_age, day))
    assert settling.settled(one, entry, POLICY) is expected
    later = replace(POLICY, now=NINE + timedelta(days=400))
    if expected:
        assert settling.missing(one, [entry], ((day, day),), later) == ()


def test_a_range_is_settled_when_its_newest_day_is() -> None:
    day = TODAY - 50
    entry = Known(day - 9, day, Outcome.HELD, at(6, day))
    assert not settling.settled(TOTAL, entry, POLICY)
    assert settling.settled(PLAIN, entry, POLICY)
