"""`plan`, `status`, `check` and `demo`: what they say, and that they change nothing."""

import json
from pathlib import Path

import pytest
from rehearsal import AS_OF, TODAY, Project, sandboxed

from harvester.sandbox.settings import Settings, appids

WEEK = ("--as-of", AS_OF, "--since", "2026-01-13")


def status(project: Project, *arguments: str) -> dict[str, object]:
    done = project.harvester("status", "--json", *WEEK, *arguments)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_plan_spends_nothing_and_writes_nothing(tmp_path: Path) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url)
        plan = project.plan("--since", "2026-01-13", "--endpoint", "user")
        assert plan["calls"] == 4
        assert plan["cells"] == 28
        assert plan["by_endpoint"] == {"getusersummary": 2, "getusercumulate": 2}
        assert plan["by_account_max"] == 2
        assert plan["token_refreshes"] == 2
        assert not box.log
        assert [path.name for path in tmp_path.iterdir()] == ["accounts.toml"]


def test_a_plan_for_people_says_when_nothing_is_missing(tmp_path: Path) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url)
        project.run("--since", "2026-01-13", "--endpoint", "getusercumulate")
        done = project.harvester("plan", *WEEK, "--endpoint", "getusercumulate")
        assert "a run would make no call" in done.stderr


def test_a_layout_of_too_many_files_is_warned_of(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9", accounts=appids(1, 40))
    done = project.harvester("plan", *WEEK, "--endpoint", "user")
    assert "files a year" not in done.stderr
    done = project.harvester("plan", *WEEK)
    assert "files a year" in done.stderr


def test_status_counts_what_is_held_and_names_who_is_behind(tmp_path: Path) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url)
        done, behind = project.accounts
        project.run("--since", "2026-01-13", "--endpoint", "user", "--account", done)
        found = status(project, "--endpoint", "user")
        assert found["accounts"] == 2
        assert found["accounts_behind"] == 1
        assert found["worst"] == [{"account": behind, "cells_behind": 14}]
        summary, cumulate = found["endpoints"]  # type: ignore[misc]
        assert summary["endpoint"] == "getusersummary"
        assert summary["held"] == cumulate["held"] == 7
        assert summary["complete_until"] is None
        mine = status(project, "--endpoint", "user", "--account", done)
        assert {one["complete_until"] for one in mine["endpoints"]} == {"2026-01-19"}  # type: ignore[attr-defined]


def test_status_lists_accounts_and_missing_cells(tmp_path: Path) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url)
        done, behind = project.accounts
        project.run("--since", "2026-01-13", "--endpoint", "user", "--account", done)
        accounts = status(project, "--endpoint", "user", "--by", "account")["rows"]
        assert {line["account"]: line["behind"] for line in accounts} == {  # type: ignore[attr-defined]
            done: 0,
            behind: 14,
        }
        missing = status(project, "--endpoint", "user", "--missing")["rows"]
        assert missing == [
            {
                "account": behind,
                "endpoint": endpoint,
                "outcome": "missing",
                "first_date": "2026-01-13",
                "last_date": "2026-01-19",
            }
            for endpoint in ("getusersummary", "getusercumulate")
        ]


def test_status_of_a_lake_that_is_not_there_yet_makes_none(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9")
    assert status(project)["accounts_behind"] == 2
    assert not project.lake.exists()


def test_a_healthy_installation_passes_the_check(tmp_path: Path) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url)
        found = json.loads(project.harvester("check", "--json").stdout)
        assert found["ok"] is True
        subjects = [one["subject"] for one in found["findings"]]
        assert subjects == [
            "configuration",
            "lake",
            "vault",
            *project.accounts,
            "clock",
        ]
        assert not box.calls


def test_the_check_names_the_account_whose_secret_is_wrong(tmp_path: Path) -> None:
    with sandboxed() as box:
        sick = appids(1, 2)[0]
        box.require(sick, secret="another")
        project = Project(tmp_path, box.url)
        done = project.harvester("check", "--json", check=3)
        (wrong,) = [one for one in json.loads(done.stdout)["findings"] if not one["ok"]]
        assert wrong["subject"] == sick
        assert "secret" in wrong["what_to_do"]


def test_the_check_says_which_address_to_whitelist(tmp_path: Path) -> None:
    with sandboxed(Settings(faults=("bad-own-ip@*/stable_token",))) as box:
        done = Project(tmp_path, box.url).harvester("check", check=4)
        assert "whitelist" in done.stdout


def test_the_check_can_stay_offline(tmp_path: Path) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9")
    done = project.harvester("check", "--offline", "--json")
    subjects = [one["subject"] for one in json.loads(done.stdout)["findings"]]
    assert subjects == ["configuration", "lake"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--endpoint", "getuserread2"), "getuserread"),
        (("--account", "wxnobody*"), "matches none"),
        (("--since", "2026-01-13", "--until", "2026-01-12"), "after until"),
        (("--since", "13.1.2026"), "--since"),
        (("--since", "2014-11-30"), "2014-12-01"),
        (("--as-of", "2026-01-20T12:00:00"), "offset"),
        (("--only", "stale"), "fresh or backfill"),
    ],
)
def test_a_wish_that_names_nothing_is_an_error_of_usage(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    project = Project(tmp_path, "http://127.0.0.1:9")
    done = project.harvester("run", *arguments, check=2)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not project.lake.exists()


def test_a_named_until_that_is_not_ready_says_come_back_later(tmp_path: Path) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url)
        today = TODAY.date().isoformat()
        selection = ("--since", "2026-01-18", "--until", today, "--endpoint", "user")
        summary = project.run(*selection, check=5)
        assert summary["outcome"] == "pending"
        assert summary["complete_until"]["getusersummary"] == "2026-01-19"


def test_the_demo_does_the_whole_job_and_keeps_its_lake(tmp_path: Path) -> None:
    project = Project(tmp_path, "", written=True)
    first = project.harvester("demo")
    assert "complete:" in first.stderr
    assert "getusersummary" in first.stdout
    assert (tmp_path / "demo-lake" / "lake.json").exists()
    again = project.harvester("demo")
    assert "complete:" in again.stderr
    asked = project.harvester(
        "-c",
        "demo-lake/accounts.toml",
        "query",
        "SELECT count(*) AS n FROM getusercumulate",
        "--json",
    )
    assert json.loads(asked.stdout)


def test_the_demo_replaces_no_lake_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "demo-lake").mkdir()
    (tmp_path / "demo-lake" / "mine.txt").write_text("keep me")
    done = Project(tmp_path, "", written=True).harvester("demo", check=2)
    assert "no demo's lake" in done.stderr
    assert (tmp_path / "demo-lake" / "mine.txt").exists()
