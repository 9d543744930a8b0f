"""How a run ended: the exit code's order, and the object that programs read."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from harvester import dates
from harvester.api.codes import Decision, Refusal, Scope
from harvester.catalogue.load import catalogue
from harvester.plan import Call, Outcome
from harvester.summary import Facts, exit_code, summary
from harvester.tally import EXAMPLES, Tally

NOW = datetime(2026, 1, 20, 4, 0, tzinfo=UTC)
DAY = dates.parse("2026-01-10")
FACTS = Facts(
    run_id="r",
    started_at=NOW,
    ended_at=NOW,
    calls=1,
    retries=0,
    token_refreshes=1,
    stopped="",
    stop_message="",
    accounts=2,
    until_not_ready=False,
    complete_until={"getusersummary": DAY, "getusercumulate": None},
    narrowed={},
    pending=0,
    accounts_behind=0,
)


def call(appid: str = "a", days: int = 3) -> Call:
    endpoint = catalogue().endpoints["getusersummary"]
    return Call(appid, endpoint, DAY, DAY + days - 1, ((DAY, DAY + days - 1),))


def refusal(decision: Decision, scope: Scope = Scope.REQUEST) -> Refusal:
    return Refusal(decision=decision, code="1", message="m", scope=scope, todo="t")


def away() -> Refusal:
    return Refusal(decision=Decision.RETRY, code="timeout", message="m", todo="t")


def tally(outcome: Outcome | None = None, **refused: Any) -> Tally:
    """One account answered; if told, another was refused."""
    made = Tally()
    made.answer(call("a"), 1)
    if outcome is not None:
        made.refuse(
            call("b"), refusal(Decision.FAIL, **refused), outcome, refused.pop("x", ())
        )
    return made


@pytest.mark.parametrize(
    ("made", "facts", "code"),
    [
        (tally(), {}, 0),
        (tally(Outcome.FAILED), {}, 3),
        (tally(Outcome.DENIED), {}, 3),
        (tally(Outcome.RETIRED), {}, 3),
        (tally(Outcome.PENDING), {}, 5),
        (tally(Outcome.EMPTY), {}, 0),
        (tally(), {"pending": 4}, 5),
        (tally(), {"until_not_ready": True}, 5),
        (tally(), {"stopped": "time"}, 5),
        (tally(), {"stopped": "refused"}, 4),
        (tally(), {"stopped": "clock"}, 4),
        (tally(Outcome.FAILED), {"stopped": "SIGTERM"}, 143),
        (tally(Outcome.FAILED), {"stopped": "SIGINT"}, 130),
        (tally(Outcome.FAILED), {"stopped": "storage"}, 6),
        (tally(Outcome.FAILED), {"pending": 4}, 3),
    ],
)
def test_the_worst_that_happened_is_the_exit_code(
    made: Tally, facts: dict[str, Any], code: int
) -> None:
    assert exit_code(made, replace(FACTS, **facts)) == code


def test_what_was_known_before_to_be_out_of_reach_is_not_held_against_the_run() -> None:
    made = tally()
    days = ((DAY, DAY + 2),)
    made.refuse(call("b"), refusal(Decision.DENY_ENDPOINT), Outcome.DENIED, days)
    assert exit_code(made, FACTS) == 0
    assert summary(made, FACTS)["cells"]["denied"] == 3
    assert summary(made, FACTS)["accounts"]["done"] == 2


def test_every_account_refused_needs_the_operator() -> None:
    made = Tally()
    for appid in ("a", "b"):
        gone = refusal(Decision.ACCOUNT_GONE, Scope.ACCOUNT)
        made.refuse(call(appid), gone, Outcome.DENIED, ())
    assert exit_code(made, FACTS) == 4
    assert exit_code(made, replace(FACTS, accounts=3)) == 3


def test_a_network_that_is_away_is_wechats_side() -> None:
    made = Tally()
    made.refuse(call("b"), away(), Outcome.FAILED, ())
    assert exit_code(made, FACTS) == 5
    made.answer(call("a"), 1)
    assert exit_code(made, FACTS) == 3, "others were reached"
    assert exit_code(made, replace(FACTS, stopped="outage")) == 3


def test_an_outage_at_the_end_leaves_the_rest_for_later() -> None:
    made = tally()
    made.refuse(call("b"), away(), Outcome.FAILED, ())
    assert exit_code(made, replace(FACTS, stopped="outage")) == 5


def test_failures_are_added_up_by_reason_with_a_few_examples() -> None:
    made = Tally()
    for number in range(EXAMPLES + 5):
        made.refuse(call(f"a{number}"), refusal(Decision.FAIL), Outcome.FAILED, ())
    (failure,) = summary(made, FACTS)["failures"]
    assert failure["count"] == 3 * (EXAMPLES + 5)
    assert len(failure["examples"]) == EXAMPLES
    assert failure["examples"][0] == {
        "account": "a0",
        "endpoint": "getusersummary",
        "first_date": "2026-01-10",
        "last_date": "2026-01-12",
        "rid": "",
    }


def test_the_object_names_every_outcome_and_writes_dates_as_text() -> None:
    found = summary(tally(), FACTS)
    assert set(found["cells"]) == {outcome.value for outcome in Outcome}
    assert found["complete_until"] == {
        "getusersummary": "2026-01-10",
        "getusercumulate": None,
    }
    assert found["accounts"] == {"done": 2, "partial": 0, "failed": 0}
