"""An endpoint that takes less than documented is believed for thirty days."""

import json
from datetime import timedelta
from pathlib import Path

from rehearsal import TODAY, Project, days, held, sandboxed, truth

from harvester.beliefs import Beliefs, remembered
from harvester.sandbox.settings import Settings, appids

SELECTION = ("--since", "2025-11-01", "--endpoint", "getinterfacesummary")
DAYS = 80


def test_a_narrower_span_that_worked_is_used_from_then_on(tmp_path: Path) -> None:
    with sandboxed(Settings(faults=("narrow@*/getinterfacesummary",))) as box:
        project = Project(tmp_path, box.url, accounts=appids(1, 2))
        project.text = "[harvest]\nrecheck_empty_days = 0\n"
        first = project.run(*SELECTION)
        assert first["narrowed"]["getinterfacesummary"]["span"] == 1
        refused = first["calls"] - 2 * DAYS
        assert refused <= 2 * 3 * 5, "a few windows fail, not every one"
        expected = truth(
            box,
            "getinterfacesummary",
            project.accounts,
            days("2025-11-01", "2026-01-19"),
        )
        assert held(project, "getinterfacesummary") == expected
        assert project.plan(*SELECTION, "--refresh")["calls"] == 2 * DAYS
        later = (TODAY + timedelta(days=31)).isoformat()
        planned = json.loads(
            project.harvester(
                "plan",
                "--json",
                "--as-of",
                later,
                *SELECTION,
                "--until",
                "2026-01-19",
                "--refresh",
            ).stdout
        )
        assert planned["calls"] == 2 * 3


def test_only_a_narrower_span_is_news() -> None:
    beliefs = Beliefs({}, {})
    assert beliefs.learn("e", 7, TODAY)
    assert not beliefs.learn("e", 7, TODAY)
    assert not beliefs.learn("e", 9, TODAY)
    assert beliefs.learn("e", 3, TODAY)
    assert beliefs.told() == {"e": {"span": 3, "since": TODAY.isoformat()}}


def test_a_summary_that_cannot_be_read_is_no_belief(tmp_path: Path) -> None:
    assert remembered(tmp_path / "runs", TODAY).spans == {}
    (tmp_path / "half.json").write_text('{"narrowed": ')
    assert remembered(tmp_path, TODAY).spans == {}
    (tmp_path / "half.json").write_text("[]")
    assert remembered(tmp_path, TODAY).spans == {}


def test_the_newest_summary_counts(tmp_path: Path) -> None:
    told = Beliefs({"e": 3}, {"e": TODAY}).told()
    (tmp_path / "run.json").write_text(json.dumps({"narrowed": told}))
    assert remembered(tmp_path, TODAY + timedelta(days=29)).spans == {"e": 3}
    assert remembered(tmp_path, TODAY + timedelta(days=30)).spans == {}
