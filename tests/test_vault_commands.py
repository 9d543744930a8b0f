"""The `vault` commands: secrets by stdin, none on the screen, and exit codes that tell."""

import asyncio
import io
import json
import logging
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
import typer
from vaults import KEY, OTHER_KEY

from harvester import cli
from harvester.api.vault.records import Stored
from harvester.api.vault.vault import opened
from harvester.commands import vault as commands
from harvester.secret import Secret

APPID = "wx00000000000000aa"
PLATFORM = "wxffffffffffffffff"
REFRESH = "refreshtoken@@@0123456789"
TICKET = "ticket@@@0123456789"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


def write(folder: Path, platform: str = 'secret = "s"', vault: str = "") -> None:
    path = folder / "accounts.toml"
    path.touch(0o600)
    path.write_text(
        f'[platform]\nappid = "{PLATFORM}"\n{platform}\n[vault]\n{vault}\n'
        f'[[accounts]]\nappid = "{APPID}"\n'
    )


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    group = typer.Typer(rich_markup_mode=None)
    for function in (
        commands.put_ticket,
        commands.put_refresh_token,
        commands.verify,
        commands.backup,
        commands.forget,
    ):
        group.command(function.__name__.replace("_", "-"))(function)
    app = cli._group("harvester", "For the tests.")
    app.callback()(cli._before_the_command)
    app.add_typer(group, name="vault")
    monkeypatch.setattr(cli, "app", app)

    def run(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            cli.main(["vault", *arguments])
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers = handlers
    logging.captureWarnings(False)
    structlog.reset_defaults()


def stored(folder: Path, name: str = APPID, *keys: Secret) -> Stored:
    async def read() -> Stored:
        async with opened(f"sqlite:///{folder}/vault.db", keys=keys) as vault:
            return await vault.read(name)

    return asyncio.run(read())


def ticket(folder: Path) -> str:
    async def read() -> str:
        async with opened(f"sqlite:///{folder}/vault.db") as vault:
            return (await vault.ticket(PLATFORM)).value

    return asyncio.run(read())


def test_a_ticket_comes_from_stdin(run: Run, folder: Path) -> None:
    ended = run("put-ticket", stdin="ticket@@@canary\n")
    assert ended.code == 0
    assert "canary" not in ended.out + ended.err
    assert ticket(folder) == "ticket@@@canary"


def test_a_refresh_token_comes_from_stdin(run: Run, folder: Path) -> None:
    ended = run("put-refresh-token", APPID, stdin="refreshtoken@@@canary\n")
    assert ended.code == 0
    assert "canary" not in ended.out + ended.err
    assert stored(folder).refresh_token == "refreshtoken@@@canary"


@pytest.mark.parametrize("command", [["put-ticket"], ["put-refresh-token", APPID]])
@pytest.mark.parametrize("stdin", ["", " \n", "can ary", "can\x07ary", "canary" * 999])
def test_what_is_no_secret_is_refused_and_not_repeated(
    run: Run, folder: Path, command: list[str], stdin: str
) -> None:
    ended = run(*command, stdin=stdin)
    assert ended.code == 2
    assert "stdin" in ended.err
    assert "canary" not in ended.err
    assert not (folder / "vault.db").exists()


@pytest.mark.parametrize("command", ["put-refresh-token", "forget"])
@pytest.mark.parametrize("appid", ["wx1", "WX00000000000000AA", "brand-a"])
def test_what_is_no_appid_is_refused(run: Run, command: str, appid: str) -> None:
    ended = run(command, appid, stdin=REFRESH)
    assert ended.code == 2
    assert "no appid" in ended.err


def test_a_guest_needs_no_ticket_and_no_refresh_token(run: Run, folder: Path) -> None:
    write(folder, 'token_url = "http://127.0.0.1/{appid}"')
    for command in (["put-ticket"], ["put-refresh-token", APPID]):
        ended = run(*command, stdin=TICKET)
        assert ended.code == 2
        assert "of no use here" in ended.err
    assert not (folder / "vault.db").exists()


def test_a_configured_ticket_comes_first_and_that_is_said(
    run: Run, folder: Path
) -> None:
    write(folder, 'secret = "s"\nticket = "configured"')
    ended = run("put-ticket", stdin=TICKET)
    assert ended.code == 0
    assert "comes first" in ended.err


def test_a_vault_is_verified_and_what_it_lacks_is_said(run: Run) -> None:
    run("put-refresh-token", APPID, stdin=REFRESH)
    ended = run("verify")
    assert ended.code == 0
    assert "accounts" in ended.out
    assert "no ticket is known" in ended.err
    found = json.loads(run("verify", "--json").out)
    assert found["accounts"] == found["refresh_tokens"] == 1
    assert found["ok"] is False
    assert [one["message"] for one in found["findings"]] == ["no ticket is known"]
    run("put-ticket", stdin=TICKET)
    found = json.loads(run("verify", "--json").out)
    assert (found["ok"], found["encrypted"], found["plain"]) == (True, False, 0)
    assert 0 <= found["ticket_age"] < 100


def test_a_wrong_key_exits_4_and_says_what_to_do(run: Run, folder: Path) -> None:
    write(folder, vault=f'key = "{KEY.reveal()}"')
    run("put-refresh-token", APPID, stdin=REFRESH)
    for vault in ("", f'key = "{OTHER_KEY.reveal()}"'):
        write(folder, vault=vault)
        for command in (["verify"], ["forget", APPID]):
            ended = run(*command)
            assert ended.code == 4
            assert "[vault] key" in ended.err
    assert stored(folder, APPID, KEY).refresh_token == REFRESH


def test_what_is_no_key_exits_2(run: Run, folder: Path) -> None:
    write(folder, vault='key = "canary-no-key"')
    ended = run("verify")
    assert ended.code == 2
    assert "openssl rand -base64 32" in ended.err
    assert "canary" not in ended.err


def test_plain_secrets_are_counted_and_encrypted_on_request(
    run: Run, folder: Path
) -> None:
    run("put-refresh-token", APPID, stdin=REFRESH)
    run("put-ticket", stdin=TICKET)
    write(folder, vault=f'key = "{KEY.reveal()}"')
    found = json.loads(run("verify", "--json").out)
    assert (found["plain"], found["unreadable"]) == (3, 0)
    assert "--reseal" in found["findings"][0]["what_to_do"]
    found = json.loads(run("verify", "--reseal", "--json").out)
    assert (found["plain"], found["ok"]) == (0, True)
    assert b'refresh"' not in (folder / "vault.db").read_bytes()


def test_a_single_secret_that_no_key_opens_exits_4(run: Run, folder: Path) -> None:
    write(folder, vault=f'key = "{KEY.reveal()}"')
    run("put-refresh-token", APPID, stdin=REFRESH)
    database = sqlite3.connect(folder / "vault.db")
    database.execute(
        "UPDATE document SET content = replace(content, 'gAAAA', 'gBBBB')"
        " WHERE name = ?",
        (APPID,),
    )
    database.commit()
    database.close()
    ended = run("verify", "--json")
    assert ended.code == 4
    assert json.loads(ended.out)["unreadable"] == 2
    assert "key" in ended.err


def test_a_backup_is_a_vault(run: Run, folder: Path) -> None:
    run("put-refresh-token", APPID, stdin=REFRESH)
    ended = run("backup", "copy.db", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["encrypted"] is False
    assert "nothing in it is encrypted" in ended.err
    copy = folder / "copy.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    run("put-refresh-token", APPID, stdin="refreshtoken@@@newer")
    copy.rename(folder / "vault.db")
    for journal in ("vault.db-wal", "vault.db-shm"):
        (folder / journal).unlink(missing_ok=True)
    assert stored(folder).refresh_token == REFRESH


def test_a_backup_never_overwrites_a_file(run: Run, folder: Path) -> None:
    (folder / "copy.db").write_text("mine")
    ended = run("backup", "copy.db")
    assert ended.code == 2
    assert (folder / "copy.db").read_text() == "mine"
    ended = run("backup", "nowhere/copy.db")
    assert ended.code == 6
    assert not list(folder.glob(".copy*"))


def test_an_account_is_forgotten(run: Run, folder: Path) -> None:
    run("put-refresh-token", APPID, stdin=REFRESH)
    assert run("forget", APPID).code == 0
    assert stored(folder) == Stored()
    ended = run("forget", APPID)
    assert ended.code == 2
    assert "knows nothing" in ended.err


def test_every_command_explains_itself(run: Run) -> None:
    for command in ("put-ticket", "put-refresh-token", "verify", "backup", "forget"):
        assert len(run(command, "--help").out) > 100
