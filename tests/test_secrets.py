"""No secret is seen: not in what a faulty installation prints, logs, reports and keeps.

All processes run at once, each with everything that can go wrong for it, at the most
talkative level. Then everything they left is searched: what they printed, the lake, the
reports, metrics, the encrypted vault and its backup, and the list of processes.
"""

import base64
import gzip
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
from rehearsal import AS_OF, Project, sandboxed
from vaults import KEY

from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings, appids

PLATFORM = "wxffffffffffffffff"
OWN, GRANTED, GUEST = appids(1, 6)[:2], appids(1, 6)[2:4], appids(1, 6)[4:]
SECRETS = {
    "PLATFORM_SECRET": "cafe0platformsecret0123456789abcd",
    "TICKET": "ticket@@@cafe0ticket-0123_456789+/=",
    "HEADER": "Bearer cafe0header.0123456789",
    "OWN": "cafe0accountsecret0123456789abcd",
    "REFRESH": "refreshtoken@@@cafe0refresh-0123456789",
    "CALLBACK": "cafe0callbacktoken0123456789",
    "AES": "cafe0aes0123456789cafe0aes0123456789cafe0ae",
    "VAULT_KEY": KEY.reveal(),
}

FAULTS = (
    f"echo-token@{OWN[0]}/getusersummary",
    f"expired-token@{OWN[1]}",
    f"rejected-token@{GRANTED[1]}/getusercumulate",
    f"bad-refresh-token@{GRANTED[0]}*2",
    f"redirect@{OWN[0]}/getuserread",
    f"html@{OWN[1]}/getuserread",
    f"cut@{GRANTED[1]}/getusershare",
    f"reset@{OWN[1]}/getusershare",
    f"unknown-code@{GUEST[0]}/getusersummary",
    f"no-list@{GUEST[0]}/getusercumulate",
    f"http-500@{GUEST[1]}",
)

PUSH_FAULTS = (
    "push-forged*1",
    "push-twice*1",
    "push-old*1",
    "push-dtd*1",
    "push-other-key*1",
    "push-incomplete*1",
    "bad-code*1",
)

HOPELESS = (
    f"wrong-secret@{OWN[1]}",
    "bad-ticket",
    "bad-own-ip",
    "http-502@*/token_server",
)


def configuration(url: str) -> str:
    def entry(appid: str, more: str) -> str:
        return f'[[accounts]]\nappid = "{appid}"\n{more}\n'

    return "".join(
        (
            f'[api]\nurl = "{url}"\nfallback_urls = []\n',
            "[limits]\ncalls_per_second = 1000\n",
            "[harvest]\nendpoints = ['user', 'getuserread', 'getusershare']\n",
            f'[platform]\nappid = "{PLATFORM}"\nsecret = {{ env = "PLATFORM_SECRET" }}\n',
            'ticket = { file = "ticket.txt" }\n',
            'callback_token = { env = "CALLBACK" }\nencoding_aes_key = { env = "AES" }\n',
            '[vault]\nkey = { env = "VAULT_KEY" }\n',
            *(entry(one, 'secret = { env = "OWN" }') for one in OWN),
            *(entry(one, 'refresh_token = { env = "REFRESH" }') for one in GRANTED),
            *(entry(one, f'token_url = "{url}/token/{{appid}}"') for one in GUEST),
        )
    )


def project(folder: Path, url: str) -> Project:
    made = Project(folder, url, environ=SECRETS, written=True)
    (folder / "ticket.txt").write_text(SECRETS["TICKET"])
    (folder / "accounts.toml").touch(0o600)
    (folder / "accounts.toml").write_text(configuration(url))
    return made


def marks(box: Sandbox) -> Iterator[str]:
    """What gives a secret away, in every spelling: its first characters that are its own."""
    platform = box.platform
    handed_out = (platform.tickets, platform.codes, platform.pre_auth_codes)
    tokens = list(platform.tokens._issued)
    codes = [value for vouchers in handed_out for value in vouchers._issued]
    refresh = [platform.accounts.refresh_token(one) for one in appids(1, 6)]
    for secret in (*tokens, *codes, *refresh, *SECRETS.values()):
        own = secret.rpartition("@@@")[2].removeprefix("Bearer ")
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        yield from (own[:14], quote(own, safe="")[:14], encoded[:20])


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Everything in the project, unpacked; of the vault what its file holds."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("accounts.toml", "ticket.txt"):
            yield path.name, unpacked(path)


def unpacked(path: Path) -> str:
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        return f"{file.read().to_pydict()}{file.schema_arrow.metadata}"
    held = path.read_bytes()
    if held[:2] == b"\x1f\x8b":
        held = gzip.decompress(held)
    return held.decode("utf-8", "replace")


def seen(box: Sandbox, places: list[tuple[str, str]]) -> list[str]:
    given_away = sorted(set(marks(box)))
    return [
        f"{mark} in {place}"
        for place, text in places
        for mark in given_away
        if mark in text
    ]


LOUD = ("--debug", "--log-level", "debug")
RUN = ("run", "--json", "--as-of", AS_OF, "--since", "2026-01-12")
SEVERAL = """
import sys
from harvester import cli
for words in sys.argv[1:]:
    try:
        cli.main([*LOUD, *words.split()])
    except SystemExit as ended:
        print(words, ended.code)
""".replace("LOUD", repr(LOUD))
BUGGY = """
import sys
from harvester import cli
from harvester.api.wire import Wire

async def data(self, method, path, body=None):
    raise KeyError(path)  # a bug, and the address in its message

Wire.data = data
cli.main(sys.argv[1:])
"""


def started(made: Project, *arguments: str) -> "subprocess.Popen[str]":
    """A process of the project that goes on beside us."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=made.folder,
        env={"PATH": "/usr/bin:/bin", **made.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def harvester(made: Project, *arguments: str) -> "subprocess.Popen[str]":
    return started(made, "-m", "harvester", *arguments)


@contextmanager
def serving(made: Project, box: Sandbox) -> Iterator[tuple[str, str, list[str]]]:
    """`serve` with a sandbox that pushes to it: its addresses, and what it printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("serve", "--port", str(port), "--metrics-port", "0")
    said: list[str] = []
    with harvester(made, *LOUD, "--log-format", "json", *options) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        for line in lines:
            said.append(line)
            if line.startswith("Health: "):
                break
        url = f"http://127.0.0.1:{port}"
        box.change(callback_url=f"{url}/wechat/events")
        command = Path(f"/proc/{process.pid}/cmdline")
        if command.exists():
            said.append(command.read_text())
        try:
            yield url, line.split()[1].removesuffix("/healthz,"), said
        finally:
            box.change(callback_url="")
            process.send_signal(signal.SIGTERM)
            said += process.communicate(timeout=30)
        assert process.returncode == 0


def fetched(url: str, told: Any = None) -> str:
    """What is answered, whatever the status."""
    body = None if told is None else json.dumps(told).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=30) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


def pushed_badly(box: Sandbox, url: str, health: str) -> Iterator[str]:
    """Everything that may come to `serve`, and what it answers."""
    for fault in PUSH_FAULTS:
        box.faults.add(fault)
    for kind in (
        *("component_verify_ticket",) * 7,
        "authorized",
        "unauthorized",
        "new",
    ):
        yield fetched(f"{box.url}/sandbox/push", {"kind": kind, "appid": GRANTED[0]})
    for appid in ("wx00000000000000aa", "wx00000000000000bb"):
        code = box.scan(appid)
        yield fetched(f"{url}/authorized?auth_code={quote(code)}&expires_in=600")
    yield fetched(f"{url}/authorize")
    yield fetched(f"{health}/healthz")
    yield fetched(f"{health}/metrics")


def test_a_faulty_installation_shows_no_secret(tmp_path: Path) -> None:
    settings = Settings(
        accounts=6,
        faults=FAULTS,
        token_seconds=600,
        rotate_refresh_tokens=True,
        callback_token=SECRETS["CALLBACK"],
        aes_key=SECRETS["AES"],
    )
    folders = [tmp_path / name for name in ("faulty", "buggy", "hopeless")]
    for folder in folders:
        folder.mkdir()
    with (
        sandboxed(settings) as box,
        sandboxed(Settings(accounts=6)) as healthy,
        sandboxed(Settings(accounts=6, faults=HOPELESS)) as hopeless,
    ):
        boxes = (box, healthy, hopeless)
        faulty, buggy, stopped = (
            project(folder, one.url) for folder, one in zip(folders, boxes, strict=True)
        )
        running = [
            harvester(faulty, *LOUD, "--log-format", "json", *RUN),
            started(buggy, "-c", BUGGY, *LOUD, *RUN),
            harvester(stopped, *LOUD, *RUN),
        ]
        with serving(faulty, box) as (url, health, said):
            answers = list(pushed_badly(box, url, health))
            printed = [process.communicate(timeout=100) for process in running]
        several = (
            "config",
            "check --all",
            f"status --json --as-of {AS_OF}",
            "accounts list",
            "vault verify",
            "vault backup backup.db",
        )
        rest = started(faulty, "-c", SEVERAL, *several).communicate(timeout=100)
        struck = box.faults.fired()
        places = [
            (f"said {n}", text) for n, text in enumerate((*said, *answers, *rest))
        ]
        places += [(f"run {n}", "".join(both)) for n, both in enumerate(printed)]
        places += [place for folder in folders for place in texts(folder)]
        found = [mark for one in boxes for mark in seen(one, places)]
    assert found == []
    assert [process.returncode for process in running] == [3, 1, 4]
    assert json.loads(printed[0][0])["failures"]  # the run met the faults
    assert "KeyError" in printed[1][1]  # the traceback is there
    assert "the ticket is not valid" in json.loads(printed[2][0])["stopped"]
    assert "token_refresh" in printed[0][1]  # debug is really on
    assert {"backup.db", "vault.db"} <= {name for name, _ in places}
    refused = re.findall(r"refused: (\w+)", "".join(answers))
    assert set(refused) >= {"signature", "replay", "old", "content", "decryption"}
    assert [fault for fault in struck if not struck[fault]] == []


def test_the_search_itself_finds_what_is_there() -> None:
    with sandboxed(Settings(accounts=6)) as box:
        shown = quote(SECRETS["TICKET"], safe="")
        assert seen(box, [("somewhere", f"?ticket={shown}")])
        assert seen(box, [("somewhere", SECRETS["REFRESH"][10:40])])
        assert seen(box, [("somewhere", box.scan(OWN[0]))])
