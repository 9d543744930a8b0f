"""The sandbox as a tool: its command, its made-up accounts, its documentation."""

import csv
import io
import json
import signal
import subprocess
import sys
import tomllib
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harvester.errors import UsageError
from harvester.sandbox.faults import table
from harvester.sandbox.rehearsal import rehearsal
from harvester.sandbox.settings import Settings, appids

ROOT = Path(__file__).parents[1]
COMMAND = """
import asyncio, sys
from pathlib import Path
from harvester.sandbox.app import serve
from harvester.sandbox.settings import Settings
asyncio.run(serve(Settings(accounts=3), Path(sys.argv[1])))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_listens_and_ends_on_a_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/sandbox/stats", timeout=10) as response:
            assert json.load(response)["calls"] == 0
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")
    config = tomllib.loads((tmp_path / "accounts.toml").read_text(encoding="utf-8"))
    assert config["api"]["url"] == url


def test_a_rehearsal_is_a_configuration_with_so_many_accounts(tmp_path: Path) -> None:
    settings = Settings(port=8765, accounts=10_000, seed=3)
    path = rehearsal(settings, tmp_path / "rehearsal")
    config = tomllib.loads(path.read_text(encoding="utf-8"))
    assert config == {
        "accounts_file": "accounts.csv",
        "api": {"url": "http://127.0.0.1:8765", "fallback_urls": []},
        "lake": {"path": "lake", "buckets": 20, "date": "month"},
    }
    text = (path.parent / "accounts.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["appid"] for row in rows] == appids(3, 10_000)
    assert all(row["secret"] and row["name"] for row in rows)
    assert len(set(appids(3, 10_000))) == 10_000
    assert path.stat().st_mode & 0o077 == 0


def test_a_rehearsal_of_a_platform_has_no_secrets_of_accounts(tmp_path: Path) -> None:
    settings = Settings(port=1, accounts=3, callback_url="http://127.0.0.1:2/push")
    path = rehearsal(settings, tmp_path)
    config = tomllib.loads(path.read_text(encoding="utf-8"))
    assert config["platform"] == {
        "appid": settings.platform,
        "secret": "sandbox-platform-secret",
        "callback_token": settings.callback_token,
        "encoding_aes_key": settings.aes_key,
    }
    text = (path.parent / "accounts.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [set(row) for row in rows] == [{"appid", "name"}] * 3


def test_a_few_accounts_have_a_directory_each(tmp_path: Path) -> None:
    path = rehearsal(Settings(port=1, accounts=5), tmp_path)
    assert tomllib.loads(path.read_text(encoding="utf-8"))["lake"]["buckets"] == 0


def test_a_rehearsal_never_overwrites_another_configuration(tmp_path: Path) -> None:
    rehearsal(Settings(port=1, accounts=5), tmp_path)
    rehearsal(Settings(port=1, accounts=5), tmp_path)
    before = (tmp_path / "accounts.csv").read_bytes()
    with pytest.raises(UsageError, match="choose an empty folder"):
        rehearsal(Settings(port=1, accounts=6), tmp_path)
    assert (tmp_path / "accounts.csv").read_bytes() == before
    with pytest.raises(UsageError, match="port"):
        rehearsal(Settings(accounts=5), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 70_000},
        {"accounts": -1},
        {"latency_ms": -1},
        {"token_seconds": 0},
        {"as_of": datetime(2026, 1, 1)},  # noqa: DTZ001 - the very slip that is refused
        {"early": "late"},
        {"platform": "wx"},
        {"aes_key": "short"},
        {"callback_url": "127.0.0.1"},
        {"ticket_seconds": 0},
        {"component_overlap": -1},
    ],
)
def test_settings_that_cannot_be_are_a_usage_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Settings(**wrong)


def test_the_documentation_lists_every_fault_as_it_is() -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
    assert table() in page, (
        "paste harvester.sandbox.faults.table() into docs/sandbox.md"
    )
