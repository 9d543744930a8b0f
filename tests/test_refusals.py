"""Errors are decisions: what the ledger, the summary and the exit code say of each.

Two accounts, three days; the fault strikes the first account alone, and the other
one's rows must arrive as if nothing had happened.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from rehearsal import TODAY, Project, days, held, sandboxed, truth

from harvester.sandbox.settings import Settings, appids

SICK, WELL = appids(1, 2)
SINCE = "2026-01-17"
WANTED = days(SINCE, "2026-01-19")
SELECTION = (
    "--since",
    SINCE,
    "--endpoint",
    "getusersummary",
    "--endpoint",
    "getbizsummary",
)


def cells(project: Project, appid: str) -> dict[str, set[str]]:
    """The outcomes of the account's cells, by endpoint."""
    found: dict[str, set[str]] = {}
    for (endpoint, account, _), outcome in project.outcomes().items():
        if account == appid:
            found.setdefault(endpoint, set()).add(outcome)
    return found


def code(summary: dict[str, Any]) -> str:
    """The code of the first failure."""
    first: str = summary["failures"][0]["code"]
    return first


@pytest.mark.parametrize(
    ("fault", "endpoint", "exit_code", "outcome", "shown"),
    [
        ("unknown-code", "getusersummary", 3, "failed", None),
        ("string-code", "getusersummary", 3, None, None),
        ("denied", "getusersummary", 3, "denied", "48001"),
        ("quota", "getusersummary", 5, "pending", "45009"),
        ("not-ready", "getusersummary", 5, "pending", "61503"),
        ("delayed", "getbizsummary", 5, "pending", None),
        ("unavailable", "getusersummary", 3, "unavailable", "61501"),
        ("retired", "getusersummary", 3, "retired", "47009"),
        ("fraction", "getusersummary", 3, "failed", "bad_value"),
        ("huge-integer", "getusersummary", 3, "failed", "bad_value"),
        ("boolean", "getusersummary", 3, "failed", "bad_value"),
        ("no-list", "getusersummary", 3, "failed", "no_rows"),
        ("only-outside", "getusersummary", 3, "failed", "bad_value"),
        ("html", "getusersummary", 3, "failed", "not_json"),
        ("redirect", "getusersummary", 3, "failed", "redirect"),
        ("http-404", "getusersummary", 3, "failed", "http_4xx"),
        ("huge-body", "getusersummary", 3, "failed", "too_large"),
    ],
)
def test_a_fault_of_one_endpoint_is_named_and_costs_nobody_else_anything(
    tmp_path: Path,
    fault: str,
    endpoint: str,
    exit_code: int,
    outcome: str | None,
    shown: str | None,
) -> None:
    with sandboxed(Settings(faults=(f"{fault}@{SICK}/{endpoint}",))) as box:
        project = Project(tmp_path, box.url)
        summary = project.run(*SELECTION, check=exit_code)
        if outcome is not None:
            assert cells(project, SICK)[endpoint] == {outcome}
        if shown is not None:
            assert code(summary) == shown
            examples = summary["failures"][0]["examples"]
            assert {example["account"] for example in examples} == {SICK}
        other = ({"getusersummary", "getbizsummary"} - {endpoint}).pop()
        assert held(project, other) == truth(box, other, project.accounts, WANTED)
        assert cells(project, WELL)[endpoint] == {"held"}


@pytest.mark.parametrize(
    "fault",
    [
        "busy*2",
        "http-502*2",
        "reset*2",
        "truncated*2",
        "expired-token",
        "narrow",
        "text-plain",
        "bom",
        "text-numbers",
        "duplicate-rows",
        "outside",
        "set-cookie",
        "empty-body*1",
    ],
)
def test_a_fault_that_passes_leaves_the_lake_as_it_should_be(
    tmp_path: Path, fault: str
) -> None:
    with sandboxed(Settings(faults=(fault.replace("*", f"@{SICK}*"),))) as box:
        project = Project(tmp_path, box.url)
        project.text = "[harvest]\nrecheck_empty_days = 0\n"
        summary = project.run(*SELECTION)
        assert summary["outcome"] == "complete"
        for endpoint in ("getusersummary", "getbizsummary"):
            assert held(project, endpoint) == truth(
                box, endpoint, project.accounts, WANTED
            )
        assert project.run(*SELECTION)["calls"] == 0


def test_a_permission_set_that_was_not_granted_costs_one_call(tmp_path: Path) -> None:
    with sandboxed() as box:
        box.grant(SICK, 2)
        project = Project(tmp_path, box.url)
        summary = project.run(
            "--since", SINCE, "--endpoint", "message", "--endpoint", "user", check=3
        )
        asked = {name: n for (name, appid), n in box.calls.items() if appid == SICK}
        assert sum(n for name, n in asked.items() if "upstream" in name) == 1
        found = cells(project, SICK)
        assert found.pop("getusersummary") == found.pop("getusercumulate") == {"held"}
        assert set.union(*found.values()) == {"denied"}
        assert summary["accounts"] == {"done": 1, "partial": 1, "failed": 0}
        again = project.run(
            "--since", SINCE, "--endpoint", "message", "--endpoint", "user"
        )
        assert again["calls"] == 0


def test_a_revoked_account_is_left_behind(tmp_path: Path) -> None:
    with sandboxed() as box:
        box.revoke(SICK)
        project = Project(tmp_path, box.url)
        summary = project.run("--since", SINCE, check=3)
        assert summary["accounts"]["failed"] == 1
        assert summary["accounts"]["done"] == 1
        assert sum(n for (_, appid), n in box.calls.items() if appid == SICK) <= 4
        assert set.union(*cells(project, SICK).values()) == {"denied"}


def test_when_every_account_is_refused_the_operator_must_act(tmp_path: Path) -> None:
    with sandboxed() as box:
        box.revoke(SICK)
        box.revoke(WELL)
        summary = Project(tmp_path, box.url).run("--since", SINCE, check=4)
        assert summary["accounts"]["failed"] == 2


def test_an_address_that_is_not_whitelisted_stops_the_run_and_is_named(
    tmp_path: Path,
) -> None:
    with sandboxed(Settings(faults=("bad-ip",))) as box:
        project = Project(tmp_path, box.url)
        summary = project.run("--since", SINCE, check=4)
        assert summary["outcome"] == "stopped"
        assert "add 127.0.0.1 to the platform's IP whitelist" in summary["stopped"]
        assert sum(box.calls.values()) <= 8


def test_a_wrong_secret_is_said_every_time_until_it_is_mended(tmp_path: Path) -> None:
    with sandboxed() as box:
        box.require(SICK, secret="another")
        project = Project(tmp_path, box.url)
        for _ in range(2):
            summary = project.run(*SELECTION, check=3)
            assert code(summary) == "40125"
        assert cells(project, SICK)["getusersummary"] == {"failed"}
        box.require(SICK)
        assert project.run(*SELECTION)["outcome"] == "complete"


def test_nobody_can_be_reached(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9")
    summary = project.run(*SELECTION, check=5)
    assert summary["outcome"] == "pending"
    assert summary["cells"]["held"] == 0


def test_a_clock_that_is_wrong_stops_the_run(tmp_path: Path) -> None:
    with sandboxed(Settings(faults=("skewed-date",))) as box:
        summary = Project(tmp_path, box.url).run("--since", SINCE, check=4)
        assert "clock" in summary["stopped"]


def test_a_retired_endpoint_is_probed_by_three_accounts_and_then_left_alone(
    tmp_path: Path,
) -> None:
    with sandboxed(Settings(faults=("retired@*/getuserread",))) as box:
        project = Project(tmp_path, box.url, accounts=appids(1, 8))
        summary = project.run("--since", SINCE, "--endpoint", "getuserread", check=3)
        assert sum(box.calls.values()) == 3
        assert summary["cells"]["retired"] == 8 * len(WANTED)
        again = project.run("--since", SINCE, "--endpoint", "getuserread")
        assert again["calls"] == 0


def test_empty_recent_days_are_asked_by_every_run_until_they_are_old(
    tmp_path: Path,
) -> None:
    with sandboxed(Settings(faults=("empty-list@*/getusersummary",))) as box:
        project = Project(tmp_path, box.url, accounts=[WELL])
        first = project.run("--since", "2026-01-10", "--endpoint", "getusersummary")
        assert first["cells"]["empty"] == 10
        again = project.run("--since", "2026-01-10", "--endpoint", "getusersummary")
        assert again["cells"]["empty"] == 2
        assert {
            day
            for (_, _, day), outcome in project.outcomes().items()
            if outcome == "empty"
        } == set(days("2026-01-10", "2026-01-19"))
        assert date(2026, 1, 19) in {day for _, _, day in project.outcomes()}


def test_an_account_known_to_be_refused_keeps_later_nights_green(
    tmp_path: Path,
) -> None:
    with sandboxed(Settings(faults=(f"punished@{SICK}",))) as box:
        project = Project(tmp_path, box.url)
        project.text = "[harvest]\nrecheck_empty_days = 0\n"
        families = ("--endpoint", "user", "--endpoint", "message", "--since", SINCE)
        project.run(*families, check=3)
        for ahead in (2, 4):
            moment = TODAY + timedelta(days=ahead)
            box.set_clock(lambda moment=moment: moment)  # type: ignore[misc]
            summary = project.run(*families, "--as-of", moment.isoformat())
            assert summary["outcome"] == "complete"
            assert summary["cells"]["denied"] > 0


def test_a_failed_second_look_leaves_what_is_held(tmp_path: Path) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url)
        project.run(*SELECTION)
        before = project.outcomes()
        for fault in ("unknown-code", "denied"):
            box.faults.clear()
            box.faults.add(f"{fault}@{SICK}/getusersummary")
            project.run(*SELECTION, "--refresh", check=3)
            assert project.outcomes() == before
        wanted = truth(box, "getusersummary", project.accounts, WANTED)
        assert held(project, "getusersummary") == wanted


def test_one_accounts_own_whitelist_stops_nobody_else(tmp_path: Path) -> None:
    with sandboxed(Settings(faults=(f"bad-own-ip@{SICK}/stable_token",))) as box:
        project = Project(tmp_path, box.url)
        summary = project.run(*SELECTION, check=3)
        assert summary["accounts"] == {"done": 1, "partial": 0, "failed": 1}
        assert "whitelist" in summary["failures"][0]["what_to_do"]
        assert cells(project, WELL)["getusersummary"] == {"held"}
