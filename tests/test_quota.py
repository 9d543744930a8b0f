"""Quota is the owner's: it is asked for, shared, counted across runs, never cleared."""

from datetime import timedelta
from pathlib import Path

import pytest
from rehearsal import TODAY, Project, days, held, sandboxed, truth

from harvester import dates
from harvester.api.client import Quota
from harvester.api.codes import Decision, Refusal
from harvester.catalogue.load import catalogue
from harvester.plan import Call
from harvester.quota import Budget, QuotaRule, Quotas
from harvester.sandbox.settings import Settings, appids

DAY = dates.parse("2026-01-10")
KEY = ("wx0123456789abcdef", "getuserreadhour")
CALL = Call(KEY[0], catalogue().endpoints[KEY[1]], DAY, DAY, ((DAY, DAY),))
ASK = QuotaRule(daily=None, unknown=800, reserve=0.2)


async def admitted(budget: Budget, answer: Quota | Refusal, most: int = 10_000) -> int:
    """How many calls go through before the budget says no."""

    async def ask() -> Quota | Refusal:
        return answer

    count = 0
    while count < most and await budget.admits(CALL, ask):
        count += 1
    return count


async def test_a_small_plan_asks_nobody() -> None:
    budget = Budget(Quotas(ASK))
    budget.expect(KEY, 50, parked=False)

    async def never() -> Quota:
        raise AssertionError("it asked")

    assert await budget.admits(CALL, never)


async def test_a_large_plan_leaves_the_reserve_to_the_owner() -> None:
    budget = Budget(Quotas(ASK))
    budget.expect(KEY, 5000, parked=False)
    assert await admitted(budget, Quota(1000, 100, 900)) == 900 - 200


async def test_a_parked_endpoint_is_asked_for_however_small_the_plan() -> None:
    budget = Budget(Quotas(ASK))
    budget.expect(KEY, 3, parked=True)
    assert await admitted(budget, Quota(1000, 1000, 0)) == 0


async def test_where_asking_brings_no_answer_a_cautious_number_counts() -> None:
    budget = Budget(Quotas(ASK, {KEY: 300}))
    budget.expect(KEY, 5000, parked=False)
    refusal = Refusal(decision=Decision.FAIL, code="76021", message="unknown path")
    assert await admitted(budget, refusal) == 500


async def test_a_configured_number_counts_what_earlier_runs_used() -> None:
    rule = QuotaRule(daily=100, unknown=800, reserve=0.2)
    budget = Budget(Quotas(rule, {KEY: 60}))
    budget.expect(KEY, 90, parked=False)
    budget.expect(KEY, 90, parked=False)  # the second phase of the same run
    assert await admitted(budget, Quota(0, 0, 0)) == 40


async def test_retries_are_taken_off_as_well() -> None:
    rule = QuotaRule(daily=10, unknown=800, reserve=0.2)
    budget = Budget(Quotas(rule))
    budget.expect(KEY, 90, parked=False)
    budget.spend(CALL, 4)
    assert await admitted(budget, Quota(0, 0, 0)) == 7


SELECTION = ("--since", "2025-10-01", "--endpoint", "getuserreadhour")
PLANNED = 111


def test_a_backfill_finishes_by_daily_runs_without_using_the_quota_up(
    tmp_path: Path,
) -> None:
    with sandboxed(Settings(daily_quota=80)) as box:
        project = Project(tmp_path, box.url, accounts=appids(1, 1))
        project.text = "[harvest]\nrecheck_empty_days = 0\n"
        until = ("--until", "2026-01-19")
        first = project.run(*SELECTION, *until, check=5)
        assert first["calls"] == 64  # 80 less a fifth
        assert first["cells"]["pending"] == PLANNED - 64
        assert project.run(*SELECTION, *until, check=5)["calls"] == 0
        tomorrow = TODAY + timedelta(days=1)
        box.set_clock(lambda: tomorrow)
        done = project.run(*SELECTION, *until, "--as-of", tomorrow.isoformat())
        assert done["calls"] == PLANNED - 64
        wanted = days("2025-10-01", "2026-01-19")
        expected = truth(box, "getuserreadhour", project.accounts, wanted)
        assert held(project, "getuserreadhour") == expected
        assert box.tally.stats()["other_calls"] > 0
        assert "45009" not in {entry.outcome for entry in box.log}


def test_the_plan_says_who_will_not_finish_today_and_when_he_will(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9", accounts=appids(1, 1))
    project.text = "[limits]\ndaily_calls = 40\n"
    plan = project.plan(*SELECTION)
    assert plan["calls"] == PLANNED
    assert plan["calls_today"] == 40
    assert plan["unfinished_today"] == 1
    assert plan["latest"] == [
        {
            "account": project.accounts[0],
            "endpoint": "getuserreadhour",
            "calls": PLANNED,
            "finished_on": "2026-01-22",
        }
    ]


@pytest.mark.parametrize("runs", [3])
def test_a_configured_number_holds_over_all_runs_of_a_day(
    tmp_path: Path, runs: int
) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url, accounts=appids(1, 1))
        project.text = "[limits]\ndaily_calls = 40\ncalls_per_second = 1000\n"
        for _ in range(runs):
            project.run(*SELECTION, check=5)
        assert sum(box.calls.values()) == 40
