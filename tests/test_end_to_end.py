"""The whole job, as a process, against the sandbox: the lake equals the world."""

from datetime import date
from pathlib import Path

import pytest
from rehearsal import EVERY, TODAY, Project, days, held, sandboxed, truth

from harvester.sandbox.settings import Settings, appids

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


def test_a_label_that_a_wide_answer_leaves_out_is_asked_singly(tmp_path: Path) -> None:
    with sandboxed(Settings(faults=("empty-list@*/getupstreammsgweek*1",))) as box:
        project = Project(tmp_path, box.url, accounts=appids(1, 1))
        project.text = "[harvest]\nwide_windows = true\n"
        selection = ("--since", "2025-12-29", "--endpoint", "getupstreammsgweek")
        assert project.plan(*selection)["calls"] == 1
        summary = project.run(*selection)
        wanted = labels("getupstreammsgweek", "2025-12-29", "2026-01-19")
        assert summary["calls"] == 1 + len(wanted)
        expected = truth(box, "getupstreammsgweek", project.accounts, wanted)
        assert held(project, "getupstreammsgweek") == expected
        assert {*project.outcomes().values()} == {"held"}


def test_the_oldest_days_come_first_when_that_is_asked_for(tmp_path: Path) -> None:
    with sandboxed() as box:
        project = Project(tmp_path, box.url, accounts=appids(1, 1))
        project.text = '[harvest]\norder = "oldest-first"\n[limits]\nin_flight = 1\ncalls_per_second = 1000\n'
        project.run("--since", "2026-01-01", "--endpoint", "getuserreadhour")
        asked = [entry.place.first for entry in box.log if entry.place.first]
        assert asked == sorted(asked)
        assert len(asked) == 19


def test_a_platforms_accounts_are_harvested_by_refresh_token(tmp_path: Path) -> None:
    with sandboxed() as box:
        (tmp_path / "ticket.txt").write_text("ticket@@@1\n")
        (tmp_path / "accounts.toml").write_text(
            f'[api]\nurl = "{box.url}"\nfallback_urls = []\n'
            '[platform]\nappid = "wx00000000000000aa"\nsecret = "platform-secret"\n'
            'ticket = { file = "ticket.txt" }\ndiscover = false\n'
            + "".join(
                f'[[accounts]]\nappid = "{appid}"\nrefresh_token = "refresh-{appid}"\n'
                for appid in appids(1, 3)
            )
        )
        project = Project(tmp_path, box.url, accounts=appids(1, 3), written=True)
        summary = project.run("--since", "2026-01-10", "--endpoint", "user")
        assert summary["outcome"] == "complete"
        tokens = {name: 0 for name, _ in box.token_calls}
        for (name, _), count in box.token_calls.items():
            tokens[name] += count
        assert tokens == {"api_component_token": 1, "api_authorizer_token": 3}
        wanted = days("2026-01-10", "2026-01-19")
        expected = truth(box, "getusersummary", project.accounts, wanted)
        assert held(project, "getusersummary") == expected


def test_a_guest_reads_tokens_where_they_are_and_mints_none(tmp_path: Path) -> None:
    with sandboxed() as box:
        (tmp_path / "accounts.toml").write_text(
            f'[api]\nurl = "{box.url}"\nfallback_urls = []\n'
            f'[platform]\ntoken_url = "{box.url}/token/{{appid}}"\ndiscover = false\n'
            + "".join(f'[[accounts]]\nappid = "{appid}"\n' for appid in appids(1, 2))
        )
        project = Project(tmp_path, box.url, written=True)
        summary = project.run("--since", "2026-01-10", "--endpoint", "user")
        assert summary["outcome"] == "complete"
        assert {name for name, _ in box.token_calls} == {"token_server"}
