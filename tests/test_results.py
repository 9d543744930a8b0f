"""What a refusal means for the ledger: outcome, and when the cells are asked again."""

from datetime import UTC, datetime, timedelta

import pytest

from harvester import dates, results
from harvester.api.codes import Decision, Refusal
from harvester.catalogue.load import catalogue
from harvester.plan import Call, Outcome
from harvester.results import CONSEQUENCES, Stamp

NOW = datetime(2026, 1, 20, 4, 0, tzinfo=UTC)
STAMP = Stamp("run-1", timedelta(minutes=7))
DAY = dates.parse("2026-01-10")


def call(days: int = 7, endpoint: str = "getusersummary") -> Call:
    last = DAY + days - 1
    known = catalogue().endpoints[endpoint]
    return Call("wx0123456789abcdef", known, DAY, last, ((DAY, last),))


def refusal(decision: Decision) -> Refusal:
    return Refusal(decision=decision, code="1", message="m", attempts=2)


def test_every_decision_has_a_consequence() -> None:
    assert set(CONSEQUENCES) == set(Decision)


@pytest.mark.parametrize(
    ("decision", "outcome", "again"),
    [
        (Decision.FAIL, Outcome.FAILED, None),
        (Decision.RETRY, Outcome.FAILED, None),
        (Decision.NOT_READY, Outcome.PENDING, None),
        (Decision.EMPTY, Outcome.EMPTY, None),
        (Decision.DENY_ENDPOINT, Outcome.DENIED, timedelta(days=7)),
        (Decision.DENY_SET, Outcome.DENIED, timedelta(days=1)),
        (Decision.ACCOUNT_GONE, Outcome.DENIED, timedelta(days=1)),
        (Decision.PARK_ACCOUNT, Outcome.DENIED, timedelta(days=1)),
        (Decision.RETIRED, Outcome.RETIRED, timedelta(days=30)),
    ],
)
def test_a_refusal_names_the_outcome_and_when_to_ask_again(
    decision: Decision, outcome: Outcome, again: timedelta | None
) -> None:
    record = results.refused(call(), refusal(decision), STAMP, NOW)
    assert record is not None
    assert record.outcome == outcome
    expected = None if again is None else results.microseconds(NOW + again)
    assert record.next_try_at == expected
    assert record.run_id == "run-1"
    assert record.attempts == 2


def test_a_used_up_quota_waits_for_chinas_midnight_and_a_little_more() -> None:
    record = results.refused(call(), refusal(Decision.PARK_ENDPOINT), STAMP, NOW)
    assert record is not None
    midnight = datetime(2026, 1, 20, 16, 0, tzinfo=UTC)
    assert record.next_try_at == results.microseconds(midnight + timedelta(minutes=7))


def test_what_stops_the_run_says_nothing_of_the_cells() -> None:
    for decision in (Decision.STOP_PROCESS, Decision.STOP_EVERYTHING):
        assert results.refused(call(), refusal(decision), STAMP, NOW) is None


def test_too_wide_a_window_is_halved_newest_first() -> None:
    pieces = results.narrower(call(7))
    windows = [(piece.first - DAY, piece.last - DAY) for piece in pieces]
    assert windows == [(6, 6), (3, 5), (0, 2)]
    assert dates.of(day for piece in pieces for day in piece.owned) == call(7).owned


def test_too_wide_a_window_goes_to_the_safe_span_first() -> None:
    pieces = results.narrower(call(22, "getupstreammsgweek"))
    assert all(piece.first == piece.last for piece in pieces)


def test_a_single_date_cannot_be_narrowed() -> None:
    assert results.narrower(call(1)) == ()


def test_a_moment_is_kept_to_the_microsecond() -> None:
    moment = datetime(2026, 1, 20, 4, 0, 1, 234567, tzinfo=UTC)
    assert results.microseconds(moment) % 10_000_000 == 1_234_567
