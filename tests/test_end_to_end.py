"""The whole job, as a process, against the sandbox: the lake equals the world."""

import json
from datetime import date
from pathlib import Path

import pytest
from rehearsal import EVERY, TODAY, Project, days, held, sandboxed, truth

LAYOUTS = [(0, "day"), (0, "month"), (3, "day"), (3, "month")]

WEEKLY = ("getupstreammsgweek", "getupstreammsgdistweek")
MONTHLY = ("getupstreammsgmonth", "getupstreammsgdistmonth")


def labels(endpoint: str, first: str, last: str) -> list[date]:
    """The labels whose period was over on the day of the tests."""
    every = days(first, last)
    if endpoint in WEEKLY:
        return [d for d in every if d.weekday() == 0 and (TODAY.date() - d).days > 6]
    if endpoint in MONTHLY:
        return [d for d in every if d.day == 1 and d < date(2026, 1, 1)]
    return every


@pytest.mark.parametrize(("buckets", "unit"), LAYOUTS)
def test_every_endpoint_arrives_row_by_row_in_every_layout(
    tmp_path: Path, buckets: int, unit: str
) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url)
        project.text = f'[lake]\nbuckets = {buckets}\ndate = "{unit}"\n[harvest]\nrecheck_empty_days = 0\n'
        planned = project.plan("--since", "2025-12-29")
        summary = project.run("--since", "2025-12-29")
        assert summary["outcome"] == "complete"
        assert summary["calls"] == planned["calls"]
        assert sum(box.calls.values()) == planned["calls"]
        assert summary["files"] <= planned["files"]  # empty cells have none
        for endpoint in EVERY:
            wanted = labels(endpoint, "2025-12-29", "2026-01-19")
            expected = truth(box, endpoint, project.accounts, wanted)
            assert held(project, endpoint) == expected, endpoint
        assert project.run("--since", "2025-12-29")["calls"] == 0


def test_a_rehearsal_by_the_book_works(tmp_path: Path) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url)
        done = project.harvester("status", "--json")
        assert json.loads(done.stdout)["accounts"] == 2
