"""No secret is seen: in what a faulty run prints and logs, in its reports, in its lake."""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
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
    f"wrong-secret@{PLATFORM}*1",
)

HOPELESS = (
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
    tokens = list(box.platform.tokens._issued)
    refresh = [box.platform.accounts.refresh_token(one) for one in appids(1, 6)]
    for secret in (*tokens, *refresh, *SECRETS.values()):
        own = secret.rpartition("@@@")[2].removeprefix("Bearer ")
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        yield from (own[:14], quote(own, safe="")[:14], encoded[:20])


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Everything in the project but the vault, unpacked."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name in ("accounts.toml", "ticket.txt"):
            continue
        if path.name.startswith("vault.db"):
            continue
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


@pytest.mark.parametrize("log", ["text", "json"])
def test_a_faulty_run_shows_no_secret(tmp_path: Path, log: str) -> None:
    settings = Settings(
        accounts=6, faults=FAULTS, token_seconds=600, rotate_refresh_tokens=True
    )
    with sandboxed(settings) as box:
        made = project(tmp_path, box.url)
        loud = ("--debug", "--log-level", "debug", "--log-format", log)
        until = ("--as-of", AS_OF, "--since", "2026-01-12")
        said = [
            made.harvester(*loud, *command, check=None)
            for command in (
                ("config",),
                ("check", "--all"),
                ("run", "--json", *until),
                ("status", "--json", *until),
                ("accounts", "list"),
            )
        ]
        struck = box.faults.fired()
        places = [(f"stdout {n}", one.stdout) for n, one in enumerate(said)]
        places += [(f"stderr {n}", one.stderr) for n, one in enumerate(said)]
        places += texts(tmp_path)
        assert seen(box, places) == []
    report = json.loads(said[2].stdout)
    assert report["failures"]  # the run met the faults
    assert len([text for text in struck if struck[text]]) >= len(FAULTS) - 2
    assert any("token_refresh" in one.stderr for one in said)  # debug is really on


def test_a_run_that_is_stopped_shows_no_secret(tmp_path: Path) -> None:
    with sandboxed(Settings(accounts=6, faults=HOPELESS)) as box:
        made = project(tmp_path, box.url)
        loud = ("--debug", "--log-level", "debug")
        said = [
            made.harvester(*loud, "run", "--json", "--as-of", AS_OF, check=4),
            made.harvester(*loud, "check", check=None),
        ]
        places = [(f"stdout {n}", one.stdout) for n, one in enumerate(said)]
        places += [(f"stderr {n}", one.stderr) for n, one in enumerate(said)]
        places += texts(tmp_path)
        assert seen(box, places) == []


def test_the_search_itself_finds_what_is_there(tmp_path: Path) -> None:
    with sandboxed(Settings(accounts=6)) as box:
        shown = quote(SECRETS["TICKET"], safe="")
        assert seen(box, [("somewhere", f"?ticket={shown}")])
        assert seen(box, [("somewhere", SECRETS["REFRESH"][10:40])])
