"""A run can be stopped or killed anywhere and run again: nothing lost, nothing doubled."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rehearsal import AS_OF, Project, days, held, sandboxed, truth

from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings, appids

SINCE = "2025-12-01"
SELECTION = ("--since", SINCE, "--endpoint", "user", "--endpoint", "interface")
ENDPOINTS = (
    "getusersummary",
    "getusercumulate",
    "getinterfacesummary",
    "getinterfacesummaryhour",
)
TWO_TIMES_256 = 512


def started(project: Project) -> subprocess.Popen[str]:
    """`harvester run`, under way."""
    project.write()
    command = [sys.executable, "-m", "harvester", "run", "--json", "--as-of", AS_OF]
    return subprocess.Popen(
        [*command, *SELECTION],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    """Looks until the condition holds; fails after half a minute."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def kill_after(box: Sandbox, process: subprocess.Popen[str], most: float) -> None:
    """Kills the run after so many calls, unless it has ended by itself."""
    wait_until(lambda: calls(box) > most or process.poll() is not None)
    process.kill()
    process.communicate(timeout=10)


def calls(box: Sandbox) -> int:
    return sum(box.calls.values())


def project(tmp_path: Path, box: Sandbox) -> Project:
    made = Project(tmp_path, box.url, accounts=appids(1, 6))
    made.text = "[harvest]\nrecheck_empty_days = 0\n"
    return made


def assert_complete(made: Project, box: Sandbox) -> None:
    """The lake equals the world, and a further run asks nothing."""
    for endpoint in ENDPOINTS:
        wanted = days(SINCE, "2026-01-19")
        assert held(made, endpoint) == truth(box, endpoint, made.accounts, wanted)
    assert made.run(*SELECTION)["calls"] == 0


@pytest.mark.parametrize(("name", "exit_code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_puts_away_what_was_fetched_and_a_rerun_gets_the_rest(
    tmp_path: Path, name: str, exit_code: int
) -> None:
    with sandboxed(Settings(latency_ms=40)) as box:
        made = project(tmp_path, box)
        planned = made.plan(*SELECTION)["calls"]
        process = started(made)
        wait_until(lambda: calls(box) > planned // 3)
        process.send_signal(getattr(signal, name))
        begun = time.monotonic()
        stdout, stderr = process.communicate(timeout=30)
        assert time.monotonic() - begun < 10
        assert process.returncode == exit_code, stderr
        summary = json.loads(stdout)
        assert summary["outcome"] == "interrupted"
        assert summary["cells"]["held"] > 0
        before = calls(box)
        made.run(*SELECTION)
        repeated = before + (calls(box) - before) - planned
        assert repeated <= 6 * 4  # only what was under way
        assert_complete(made, box)


def test_a_second_signal_stops_at_once_and_still_nothing_is_lost(
    tmp_path: Path,
) -> None:
    with sandboxed(Settings(faults=("silent@*/getinterfacesummaryhour",))) as box:
        made = project(tmp_path, box)
        process = started(made)
        wait_until(lambda: calls(box) > 20)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode == 130
        box.faults.clear()
        made.run(*SELECTION)
        assert_complete(made, box)


def test_a_killed_run_repeats_few_calls_and_doubles_nothing(tmp_path: Path) -> None:
    with sandboxed(Settings(latency_ms=10)) as box:
        made = project(tmp_path, box)
        planned = made.plan(*SELECTION)["calls"]
        for share in (0.2, 0.5, 0.8):
            kill_after(box, started(made), planned * share)
        made.run(*SELECTION)
        assert calls(box) <= planned + 3 * TWO_TIMES_256
        assert_complete(made, box)


def test_a_second_run_on_the_same_lake_is_told_who_holds_it(tmp_path: Path) -> None:
    with sandboxed(Settings(faults=("silent",))) as box:
        made = project(tmp_path, box)
        process = started(made)
        wait_until(lambda: calls(box) > 0)
        second = made.harvester("run", *SELECTION, check=7)
        assert f"process {process.pid}" in second.stderr
        process.kill()
        process.communicate(timeout=10)


def test_time_that_is_over_ends_the_run_in_good_order(tmp_path: Path) -> None:
    with sandboxed(Settings(latency_ms=100)) as box:
        made = project(tmp_path, box)
        summary = made.run(*SELECTION, "--max-minutes", "0.01", check=5)
        assert summary["outcome"] == "pending"
        assert "--max-minutes" in summary["stopped"]
        box.change(latency_ms=0)
        made.run(*SELECTION)
        assert_complete(made, box)


def test_a_run_that_would_spend_too_much_needs_a_yes(tmp_path: Path) -> None:
    with sandboxed() as box:
        made = project(tmp_path, box)
        made.text += "[limits]\nconfirm_calls = 10\ncalls_per_second = 1000\n"
        refused = made.harvester("run", *SELECTION, check=2)
        assert "--yes" in refused.stderr
        assert calls(box) == 0
        assert not made.lake.exists()
        made.run(*SELECTION, "--yes")
        assert_complete(made, box)


def test_refresh_asks_again_and_changes_nothing_that_is_the_same(
    tmp_path: Path,
) -> None:
    with sandboxed() as box:
        made = project(tmp_path, box)
        first = made.run(*SELECTION)
        again = made.run(*SELECTION, "--refresh")
        assert again["calls"] == first["calls"]
        assert sum(entry["rows_changed"] for entry in made.ledger()) == 0
        assert_complete(made, box)


def test_fresh_days_come_first_and_backfill_gets_the_rest(tmp_path: Path) -> None:
    with sandboxed() as box:
        made = project(tmp_path, box)
        fresh = made.run(*SELECTION, "--only", "fresh")
        assert fresh["complete_until"]["getusersummary"] is None
        assert {day.isoformat() >= "2025-12-16" for _, _, day in made.outcomes()} == {
            True
        }
        made.run(*SELECTION, "--only", "backfill")
        assert_complete(made, box)


def test_the_run_is_named_in_ledger_and_reports(tmp_path: Path) -> None:
    with sandboxed() as box:
        made = project(tmp_path, box)
        summary = made.run(*SELECTION, "--run-id", "night-1")
        kept = json.loads((made.lake / "runs" / "night-1.json").read_text())
        assert kept == summary
        assert {entry["run_id"] for entry in made.ledger()} == {"night-1"}
        assert made.harvester("run", "--run-id", "../x", check=2).returncode == 2


def test_a_signal_counts_even_when_the_run_was_ending_already(tmp_path: Path) -> None:
    faults = ("silent@*/getinterfacesummaryhour", "bad-ip@*/getusersummary")
    with sandboxed(Settings(faults=faults)) as box:
        made = project(tmp_path, box)
        process = started(made)
        wait_until(lambda: ("getusersummary", made.accounts[0]) in box.calls)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 143


def test_what_a_dead_run_failed_at_is_not_held_against_the_next(tmp_path: Path) -> None:
    with sandboxed(
        Settings(
            latency_ms=20,
            faults=("fraction@*/getusersummary", "silent@*/getinterfacesummaryhour"),
        )
    ) as box:
        made = project(tmp_path, box)
        process = started(made)
        wait_until(lambda: any((made.lake / "spool").glob("*.spool")))
        process.kill()
        process.communicate(timeout=10)
        box.faults.clear()
        assert made.run(*SELECTION)["outcome"] == "complete"
