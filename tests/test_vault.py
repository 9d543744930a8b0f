"""The vault: what it has held it still holds, whoever else writes."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harvester.api.vault import KEPT_REFRESH_TOKENS, Minted, Stored, Vault, opened
from harvester.errors import StorageError, UsageError

NAME = "wx00000000000000aa"


class Clock:
    """Epoch seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def vault(tmp_path: Path, clock: Clock) -> AsyncIterator[Vault]:
    vault = Vault(tmp_path / "vault.db", clock)
    yield vault
    vault.close()


@pytest.fixture
async def other(vault: Vault, tmp_path: Path, clock: Clock) -> AsyncIterator[Vault]:
    """Another process's view of the same file."""
    other = Vault(tmp_path / "vault.db", clock)
    yield other
    other.close()


def minted(token: str, refresh_token: str = "", until: float = 2e6) -> Minted:
    return Minted(
        token=token, learned_at=1e6, expires_at=until, refresh_token=refresh_token
    )


async def test_nothing_is_known_at_first(vault: Vault) -> None:
    assert await vault.read(NAME) == Stored()
    assert await vault.previous(NAME) == ()


async def test_what_is_stored_is_there_for_everybody(
    vault: Vault, other: Vault
) -> None:
    stored = await vault.store(NAME, 0, minted("token", "refresh"))
    assert stored == await other.read(NAME)
    assert (stored.token, stored.refresh_token) == ("token", "refresh")
    assert stored.generation == 1


async def test_it_outlives_the_process(tmp_path: Path) -> None:
    first = Vault(tmp_path / "vault.db")
    await first.store(NAME, 0, minted("token"))
    first.close()
    second = Vault(tmp_path / "vault.db")
    assert (await second.read(NAME)).token == "token"
    second.close()


async def test_an_older_result_never_overwrites_a_newer_one(
    vault: Vault, other: Vault
) -> None:
    slow = await vault.read(NAME)
    await other.store(NAME, slow.generation, minted("newer", "newer refresh"))
    kept = await vault.store(NAME, slow.generation, minted("older", "older refresh"))
    assert (kept.token, kept.refresh_token) == ("newer", "newer refresh")
    assert kept == await other.read(NAME)


async def test_a_refresh_token_that_came_too_late_is_still_known(vault: Vault) -> None:
    await vault.store(NAME, 0, minted("newer", "newer refresh"))
    await vault.store(NAME, 0, minted("older", "older refresh"))
    assert await vault.previous(NAME) == ("older refresh", "newer refresh")


async def test_an_empty_refresh_token_keeps_the_old_one(vault: Vault) -> None:
    await vault.store(NAME, 0, minted("first", "refresh"))
    stored = await vault.store(NAME, 1, minted("second", ""))
    assert (stored.token, stored.refresh_token) == ("second", "refresh")
    await vault.put_refresh_token(NAME, "")
    await vault.seed(NAME, "")
    assert (await vault.read(NAME)).refresh_token == "refresh"


async def test_an_empty_token_is_never_stored(vault: Vault) -> None:
    await vault.store(NAME, 0, minted("token"))
    with pytest.raises(ValueError, match="empty"):
        await vault.store(NAME, 1, minted(""))
    assert (await vault.read(NAME)).token == "token"


async def test_the_last_refresh_tokens_are_kept_newest_first(vault: Vault) -> None:
    for number in range(9):
        await vault.store(NAME, number, minted("token", f"refresh {number}"))
    kept = await vault.previous(NAME)
    assert kept == tuple(f"refresh {n}" for n in range(8, 8 - KEPT_REFRESH_TOKENS, -1))


async def test_a_configured_refresh_token_seeds_once(vault: Vault) -> None:
    await vault.seed(NAME, "configured")
    assert (await vault.read(NAME)).refresh_token == "configured"
    generation = (await vault.read(NAME)).generation
    await vault.store(NAME, generation, minted("token", "rotated"))
    await vault.seed(NAME, "configured")
    assert (await vault.read(NAME)).refresh_token == "rotated"


async def test_a_changed_configured_value_seeds_again(vault: Vault) -> None:
    await vault.seed(NAME, "configured")
    await vault.store(NAME, 1, minted("token", "rotated"))
    await vault.seed(NAME, "configured anew")
    stored = await vault.read(NAME)
    assert stored.refresh_token == "configured anew"
    assert await vault.previous(NAME) == ("configured anew", "rotated", "configured")


async def test_the_vaults_own_refresh_token_wins_over_a_first_seed(
    vault: Vault,
) -> None:
    await vault.put_refresh_token(NAME, "authorised")
    await vault.seed(NAME, "configured")
    assert (await vault.read(NAME)).refresh_token == "authorised"
    assert "configured" in await vault.previous(NAME)


async def test_a_result_fetched_before_a_newer_authorisation_is_turned_away(
    vault: Vault, other: Vault
) -> None:
    leased = await vault.lease(NAME, 20)
    assert leased is not None
    await other.put_refresh_token(NAME, "authorised anew")
    kept = await vault.store(NAME, leased.generation, minted("token", "old"))
    assert (kept.token, kept.refresh_token) == ("", "authorised anew")


async def test_one_holder_at_a_time_has_the_lease(vault: Vault, other: Vault) -> None:
    assert await vault.lease(NAME, 20) is not None
    assert await other.lease(NAME, 20) is None
    assert await vault.lease(NAME, 20) is not None
    assert await other.lease("another", 20) is not None


async def test_a_lease_ends_with_the_result(vault: Vault, other: Vault) -> None:
    await vault.lease(NAME, 20)
    await vault.store(NAME, 0, minted("token"))
    leased = await other.lease(NAME, 20)
    assert leased is not None
    assert leased.token == "token"


async def test_a_lease_ends_when_it_is_given_back(vault: Vault, other: Vault) -> None:
    await vault.lease(NAME, 20)
    await other.release(NAME)
    assert await other.lease(NAME, 20) is None
    await vault.release(NAME)
    assert await other.lease(NAME, 20) is not None


async def test_a_dead_holders_lease_runs_out_and_its_late_result_is_turned_away(
    vault: Vault, other: Vault, clock: Clock
) -> None:
    dead = await vault.lease(NAME, 20)
    assert dead is not None
    clock.now += 19.9
    assert await other.lease(NAME, 20) is None
    clock.now += 0.2
    taken = await other.lease(NAME, 20)
    assert taken is not None
    await other.store(NAME, taken.generation, minted("alive"))
    late = await vault.store(NAME, dead.generation, minted("dead"))
    assert late.token == "alive"


async def test_a_lease_from_the_future_does_not_hold(
    vault: Vault, other: Vault, clock: Clock
) -> None:
    await vault.lease(NAME, 20)
    clock.now -= 86_400
    assert await other.lease(NAME, 20) is not None


async def test_tickets_are_kept_and_an_empty_one_changes_nothing(vault: Vault) -> None:
    assert await vault.ticket("wxplatform") == ""
    await vault.put_ticket("wxplatform", "first")
    await vault.put_ticket("wxplatform", "second")
    await vault.put_ticket("wxplatform", "")
    assert await vault.ticket("wxplatform") == "second"


def test_no_token_is_in_a_repr() -> None:
    assert "canary" not in repr(minted("canary", "canary"))
    assert "canary" not in repr(Stored(token="canary", refresh_token="canary"))


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.db")
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
    Vault(path).close()
    path.chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        Vault(path)


def test_an_empty_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    path.touch(0o600)
    with pytest.raises(StorageError, match="backup"):
        Vault(path)
    assert path.stat().st_size == 0


def test_a_missing_file_beside_its_journal_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "vault.db-wal").write_bytes(b"journal")
    with pytest.raises(StorageError, match="journal"):
        Vault(tmp_path / "vault.db")
    assert not (tmp_path / "vault.db").exists()


@pytest.mark.parametrize("damage", ["cut", "text", "flipped"])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "vault.db"
    Vault(path).close()
    good = path.read_bytes()
    bad = {
        "cut": good[:4096],
        "text": b"not a database at all" * 500,
        "flipped": good[:4100] + b"\xff" * 4000 + good[8100:],
    }[damage]
    path.write_bytes(bad)
    with pytest.raises(StorageError, match="vault"):
        Vault(path)
    assert path.read_bytes() == bad


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE theirs (a)")
    database.commit()
    database.close()
    path.chmod(0o600)
    with pytest.raises(UsageError, match="not a vault"):
        Vault(path)


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    Vault(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(UsageError, match="version"):
        Vault(path)


async def test_a_read_only_vault_says_so(vault: Vault) -> None:
    vault._database.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError, match="writable"):
        await vault.store(NAME, 0, minted("token"))


async def test_a_full_disk_says_so_and_loses_nothing(vault: Vault) -> None:
    await vault.store(NAME, 0, minted("token", "refresh"))
    (pages,) = vault._database.execute("PRAGMA page_count").fetchone()
    vault._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="free some space"):
        await vault.store(NAME, 1, minted("x" * 100_000, "newer"))
    stored = await vault.read(NAME)
    assert (stored.token, stored.refresh_token) == ("token", "refresh")
    vault._database.execute("PRAGMA max_page_count = 100000")
    assert (await vault.store(NAME, 1, minted("newer"))).token == "newer"


async def test_a_vault_that_another_process_holds_for_long_says_so(
    vault: Vault, other: Vault
) -> None:
    vault._database.execute("PRAGMA busy_timeout = 1")
    other._database.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="another process"):
        await vault.store(NAME, 0, minted("token"))
    other._database.execute("ROLLBACK")
    assert (await vault.store(NAME, 0, minted("token"))).token == "token"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    Vault(path).close()
    path.chmod(0o400)
    with pytest.raises(StorageError, match="writable"):
        Vault(path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        Vault(tmp_path / "nowhere" / "vault.db")


def test_a_url_names_a_file_from_the_folder_or_from_the_root(tmp_path: Path) -> None:
    opened("sqlite:///vault.db", tmp_path).close()
    assert (tmp_path / "vault.db").exists()
    opened(f"sqlite:///{tmp_path}/other.db").close()
    assert (tmp_path / "other.db").exists()


@pytest.mark.parametrize("url", ["redis://localhost", "sqlite:///", "vault.db", ""])
def test_another_kind_of_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="sqlite:///"):
        opened(url)


WRITER = """
import asyncio, sys
from pathlib import Path
from harvester.api.vault import Minted, Vault

async def main(path, mark):
    vault = Vault(path)
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
    vault = Vault(path)
    stored = asyncio.run(vault.read("shared"))
    assert 20 <= stored.generation <= 60
    assert len(asyncio.run(vault.previous("shared"))) == KEPT_REFRESH_TOKENS
    vault.close()
    assert sorted(tmp_path.iterdir()) == [path]
