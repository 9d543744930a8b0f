"""The vault in a file: made whole, refused rather than repaired, shared by processes."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from vaults import minted

from harvester.api.vault.credential import KEPT_REFRESH_TOKENS
from harvester.api.vault.sqlite import SqliteStore
from harvester.api.vault.vault import Vault, opened
from harvester.errors import StorageError, UsageError

NAME = "wx00000000000000aa"


@pytest.fixture
async def vault(tmp_path: Path) -> AsyncIterator[Vault]:
    async with opened(f"sqlite:///{tmp_path}/vault.db") as vault:
        yield vault


@pytest.fixture
async def other(vault: Vault, tmp_path: Path) -> AsyncIterator[Vault]:
    """Another process's view of the same file."""
    async with opened(f"sqlite:///{tmp_path}/vault.db") as other:
        yield other


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    vault = Vault(SqliteStore(tmp_path / "vault.db"))
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()
    }
    vault.close()
    assert modes["vault.db"] == 0o600
    assert set(modes.values()) == {0o600}
    assert all(name.startswith("vault.db") for name in modes)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "vault.db"
    Vault(SqliteStore(path)).close()
    path.chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        Vault(SqliteStore(path))


def test_an_empty_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    path.touch(0o600)
    with pytest.raises(StorageError, match="backup"):
        Vault(SqliteStore(path))
    assert path.stat().st_size == 0


def test_a_missing_file_beside_its_journal_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "vault.db-wal").write_bytes(b"journal")
    with pytest.raises(StorageError, match="journal"):
        Vault(SqliteStore(tmp_path / "vault.db"))
    assert not (tmp_path / "vault.db").exists()


@pytest.mark.parametrize("damage", ["cut", "text", "flipped"])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "vault.db"
    Vault(SqliteStore(path)).close()
    good = path.read_bytes()
    bad = {
        "cut": good[:4096],
        "text": b"not a database at all" * 500,
        "flipped": good[:4100] + b"\xff" * 4000 + good[8100:],
    }[damage]
    path.write_bytes(bad)
    with pytest.raises(StorageError, match="vault"):
        Vault(SqliteStore(path))
    assert path.read_bytes() == bad


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE theirs (a)")
    database.commit()
    database.close()
    path.chmod(0o600)
    with pytest.raises(UsageError, match="not a vault"):
        Vault(SqliteStore(path))


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    Vault(SqliteStore(path)).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(UsageError, match="version"):
        Vault(SqliteStore(path))


FIRST_LAYOUT = """
CREATE TABLE credential (
    name TEXT PRIMARY KEY, token TEXT NOT NULL, learned_at REAL NOT NULL,
    expires_at REAL NOT NULL, generation INTEGER NOT NULL, refresh_token TEXT NOT NULL,
    seed TEXT NOT NULL, lease_holder TEXT NOT NULL, lease_until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE refresh_token (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, value TEXT NOT NULL,
    learned_at REAL NOT NULL, UNIQUE (name, value)
);
CREATE TABLE ticket (
    platform TEXT PRIMARY KEY, value TEXT NOT NULL, learned_at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO credential VALUES
    ('wx00000000000000aa', 'token', 1e6, 2e6, 7, 'refresh', 'seed', 'holder', 9e9);
INSERT INTO refresh_token VALUES
    (1, 'wx00000000000000aa', 'older', 1), (2, 'wx00000000000000aa', 'refresh', 2);
INSERT INTO ticket VALUES ('wxffffffffffffffff', 'ticket', 1e6);
PRAGMA application_id = 0x68617276;
PRAGMA user_version = 1;
"""


async def test_a_vault_of_the_first_layout_is_taken_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    database = sqlite3.connect(path)
    database.executescript(FIRST_LAYOUT)
    database.close()
    path.chmod(0o600)
    for _ in range(2):
        async with opened(f"sqlite:///{path}") as vault:
            stored = await vault.read(NAME)
            assert (stored.token, stored.refresh_token) == ("token", "refresh")
            assert (stored.generation, stored.expires_at) == (7, 2e6)
            assert await vault.previous(NAME) == ("refresh", "older")
            ticket = await vault.ticket("wxffffffffffffffff")
            assert (ticket.value, ticket.created_at) == ("ticket", 1e6)
            assert await vault.lease(NAME, 20) is not None
            await vault.release(NAME)


async def test_changes_that_wait_share_a_flush_and_fail_alone(vault: Vault) -> None:
    said: list[str] = []
    vault.documents.store.database.set_trace_callback(said.append)
    names = [f"wx{number:016x}" for number in range(50)]
    ended = await asyncio.gather(
        *(vault.store(name, 0, minted("token")) for name in names),
        vault.store(NAME, 0, minted("")),  # an empty token is none
        return_exceptions=True,
    )
    assert said.count("COMMIT") < 5
    assert isinstance(ended.pop(), ValueError)
    assert {one.token for one in ended} == {"token"}
    for name in names:
        assert (await vault.read(name)).token == "token"
    assert (await vault.read(NAME)).generation == 0


async def test_a_change_that_nobody_waits_for_any_more_is_not_made(
    vault: Vault, other: Vault
) -> None:
    other.documents.store.database.execute("BEGIN IMMEDIATE")
    first = asyncio.create_task(vault.put_refresh_token(NAME, "first"))
    await asyncio.sleep(0.05)  # it waits for the file
    second = asyncio.create_task(vault.put_refresh_token(NAME, "second"))
    third = asyncio.create_task(vault.put_refresh_token(NAME, "third"))
    await asyncio.sleep(0)
    second.cancel()
    other.documents.store.database.execute("ROLLBACK")
    await asyncio.gather(first, third)
    with pytest.raises(asyncio.CancelledError):
        await second
    assert await vault.previous(NAME) == ("third", "first")


async def test_a_read_only_vault_says_so(vault: Vault) -> None:
    vault.documents.store.database.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError, match="writable"):
        await vault.store(NAME, 0, minted("token"))


async def test_a_full_disk_says_so_and_loses_nothing(vault: Vault) -> None:
    await vault.store(NAME, 0, minted("token", "refresh"))
    (pages,) = vault.documents.store.database.execute("PRAGMA page_count").fetchone()
    vault.documents.store.database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="free some space"):
        await vault.store(NAME, 1, minted("x" * 100_000, "newer"))
    stored = await vault.read(NAME)
    assert (stored.token, stored.refresh_token) == ("token", "refresh")
    vault.documents.store.database.execute("PRAGMA max_page_count = 100000")
    assert (await vault.store(NAME, 1, minted("newer"))).token == "newer"


async def test_a_vault_that_another_process_holds_for_long_says_so(
    vault: Vault, other: Vault
) -> None:
    vault.documents.store.database.execute("PRAGMA busy_timeout = 1")
    other.documents.store.database.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="another process"):
        await vault.store(NAME, 0, minted("token"))
    other.documents.store.database.execute("ROLLBACK")
    assert (await vault.store(NAME, 0, minted("token"))).token == "token"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    Vault(SqliteStore(path)).close()
    path.chmod(0o400)
    with pytest.raises(StorageError, match="writable"):
        Vault(SqliteStore(path))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        Vault(SqliteStore(tmp_path / "nowhere" / "vault.db"))


def test_a_url_names_a_file_from_the_folder_or_from_the_root(tmp_path: Path) -> None:
    opened("sqlite:///vault.db", tmp_path).close()
    assert (tmp_path / "vault.db").exists()
    opened(f"sqlite:///{tmp_path}/other.db").close()
    assert (tmp_path / "other.db").exists()


@pytest.mark.parametrize("url", ["mysql://localhost", "sqlite:///", "vault.db", ""])
def test_another_kind_of_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="sqlite:///"):
        opened(url)


WRITER = """
import asyncio, sys
from pathlib import Path
from harvester.api.vault.sqlite import SqliteStore
from harvester.api.vault.vault import Vault
from harvester.api.vault.records import Minted

async def main(path, mark):
    vault = Vault(SqliteStore(path))
    for number in range(20):
        stored = await vault.read("shared")
        await vault.store("shared", stored.generation, Minted(
            token=f"{mark}{number}", learned_at=0, expires_at=0,
            refresh_token=f"refresh {mark}{number}"))
    vault.close()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def test_processes_that_make_and_write_one_vault_together_lose_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "vault.db"
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, mark]) for mark in "abc"
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    vault = Vault(SqliteStore(path))
    stored = asyncio.run(vault.read("shared"))
    assert 20 <= stored.generation <= 60
    assert len(asyncio.run(vault.previous("shared"))) == KEPT_REFRESH_TOKENS
    vault.close()
    assert sorted(tmp_path.iterdir()) == [path]
