"""A third-party platform in processes: pushes, vault, lake; and a guest that mints nothing."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rehearsal import AS_OF, Project, Row, days, held, sandboxed, truth

from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import (
    AES_KEY,
    CALLBACK_TOKEN,
    PLATFORM,
    Settings,
    appids,
)

LISTED = appids(1, 1)[0]
NEW = "wx0123456789abcdef"
SINCE = "2026-01-17"
WANTED = days(SINCE, "2026-01-19")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A `harvester` that goes on beside us, and ends in good order on SIGTERM."""
    with subprocess.Popen(
        [sys.executable, "-m", "harvester", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            _, errors = running.communicate(timeout=30)
        assert running.returncode == 0, errors


def told(url: str, message: Any = None) -> str:
    """What is answered, whatever the status."""
    body = None if message is None else json.dumps(message).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=30) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


def comes_about(url: str, words: str) -> None:
    """Waits until the address says so."""
    deadline = time.monotonic() + 30
    said = ""
    while time.monotonic() < deadline:
        said = told(url)
        if words in said:
            return
        time.sleep(0.05)
    raise AssertionError(f"{words} is not in {said}")


def configured(folder: Path, url: str) -> Project:
    project = Project(folder, url, accounts=[], text=f"""
[platform]
appid = "{PLATFORM}"
secret = "s"
callback_token = "{CALLBACK_TOKEN}"
encoding_aes_key = "{AES_KEY}"
[harvest]
endpoints = ["getusersummary"]
recheck_empty_days = 0
[[accounts]]
appid = "{LISTED}"
[[accounts]]
appid = "{NEW}"
""")  # fmt: skip
    project.write()
    return project


def expected(appid: str) -> list[Row]:
    """What the account's statistics are, by the seed alone."""
    return truth(Sandbox(Settings()), "getusersummary", [appid], WANTED)


def test_from_a_pushed_ticket_and_an_authorisation_to_the_lake(tmp_path: Path) -> None:
    port = free_port()
    sandbox = (
        *("sandbox", "--accounts", "1", "--strict", "--rotate-refresh-tokens"),
        *("--as-of", AS_OF, "--ticket-seconds", "3600"),
        *("--callback-url", f"http://127.0.0.1:{port}/wechat/events"),
    )
    with process(tmp_path, *sandbox) as box:
        assert box.stdout is not None
        url = json.loads(box.stdout.readline())["url"]
        told(f"{url}/sandbox/settings", {"pushing": False})
        project = configured(tmp_path, url)
        serve = ("serve", "--port", str(port), "--metrics-port", "0")
        with process(tmp_path, *serve) as receiver:
            assert receiver.stderr is not None
            said = [receiver.stderr.readline() for _ in range(2)]
            health = said[1].split()[1].removesuffix("/healthz,")
            comes_about(f"{health}/healthz", '"status": "ok"')  # it asked for a ticket
            told(f"{url}/sandbox/authorise", {"appid": NEW, "sets": [2]})
            comes_about(f"{health}/metrics", 'codes_total{outcome="granted"} 1.0')
            first = project.run("--since", SINCE)
            told(f"{url}/sandbox/authorise", {"appid": NEW, "sets": [2, 7]})
            comes_about(f"{health}/metrics", 'codes_total{outcome="granted"} 2.0')
        stats = json.loads(told(f"{url}/sandbox/stats"))
        second = project.run("--since", "2026-01-14")
    assert first["outcome"] == second["outcome"] == "complete"
    for appid in (LISTED, NEW):
        rows = [
            row
            for row in held(project, "getusersummary")
            if dict(row)["account"] == appid
        ]
        assert [row for row in rows if str(dict(row)["ref_date"]) >= SINCE] == expected(
            appid
        )
    assert stats["push_answers"]["success"] == 3
    assert (
        stats["by_token_call"]
        == {
            "api_authorizer_token": 1,  # of the account that was listed; the new one's came by its code
            "api_component_token": 1,
            "api_query_auth": 2,
        }
    )
    assert stats["by_other_call"] == {
        "api_get_authorizer_list": 1,
        "api_start_push_ticket": 1,
    }
    assert first["token_refreshes"] == 1
    assert second["token_refreshes"] == 0  # what was granted anew is used as it is


def test_a_guest_reads_tokens_and_mints_none(tmp_path: Path) -> None:
    first, second, third = appids(1, 3)
    with sandboxed(Settings(accounts=3, faults=(f"expired-token@{first}",))) as box:
        box.revoke(third)
        text = f'[platform]\nappid = "{PLATFORM}"\ntoken_url = "{box.url}/token/{{appid}}"\n'
        entries = "".join(
            f'[[accounts]]\nappid = "{one}"\n' for one in (first, second, third)
        )
        project = Project(tmp_path, box.url, accounts=[], text=text + entries)
        selection = ("--since", SINCE, "--endpoint", "user")
        summary = project.run(*selection, check=3)
        project.harvester("check", "--all", check=3)
        assert summary["accounts"] == {"done": 2, "partial": 0, "failed": 1}
        (failure,) = summary["failures"]
        assert failure["decision"] == "account_gone"
        assert "the token server does not know the account" in failure["message"]
        assert {name for name, _ in box.token_calls} == {"token_server"}
        assert {name for name, _ in box.tally.other_calls} <= {"quota_get"}
        assert (
            box.token_calls["token_server", first] == 3
        )  # once more after the rejection
        assert summary["token_refreshes"] == 0
