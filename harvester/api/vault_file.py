"""The vault's file: made complete in one step, and refused rather than repaired."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from harvester.errors import StorageError, UsageError

_BUSY_SECONDS = 10.0
_APPLICATION = 0x68617276  # "harv"
_VERSION = 1

_SCHEMA = """
CREATE TABLE credential (
    name TEXT PRIMARY KEY,
    token TEXT NOT NULL DEFAULT '',
    learned_at REAL NOT NULL DEFAULT 0,
    expires_at REAL NOT NULL DEFAULT 0,
    generation INTEGER NOT NULL DEFAULT 0,
    refresh_token TEXT NOT NULL DEFAULT '',
    seed TEXT NOT NULL DEFAULT '',
    lease_holder TEXT NOT NULL DEFAULT '',
    lease_until REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE refresh_token (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    learned_at REAL NOT NULL,
    UNIQUE (name, value)
);
CREATE TABLE ticket (
    platform TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    learned_at REAL NOT NULL
) WITHOUT ROWID;
"""


def _make(path: Path) -> None:
    """An empty vault appears under its name in one step, complete."""
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists():  # SQLite would replay it into the new file
        todo = f"put a backup in its place, or delete {journal.name} as well"
        raise StorageError(f"vault {path}: it is gone, its journal is not", todo)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        database = sqlite3.connect(beside)
        database.executescript(
            f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN; {_SCHEMA}"
            f"PRAGMA application_id = {_APPLICATION};"
            f" PRAGMA user_version = {_VERSION}; COMMIT;"
        )
        database.close()
        _flush(beside)
        with suppress(FileExistsError):  # another process was faster: as good
            os.link(beside, path)
        _flush(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Makes a file's content, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def opened_file(path: Path) -> sqlite3.Connection:
    """The file at this path, made when it is absent.

    Raises UsageError when others can read it or it is no vault of ours, StorageError
    when it is empty, damaged or read-only.
    """
    with told(path):
        if not path.exists():
            _make(path)
        _check_mode(path)
        _check_size(path)
        database = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _check_content(path, database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")  # fails here when it is read-only
            database.execute("ROLLBACK")
        except BaseException:
            database.close()
            raise
    return database


def _check_content(path: Path, database: sqlite3.Connection) -> None:
    (damage,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if damage != "ok":
        raise sqlite3.DatabaseError(damage)
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise UsageError(f"vault {path}: not a vault", "give another path in [vault]")
    if version != _VERSION:
        raise UsageError(f"vault {path}: made by another version", "update harvester")


def _check_size(path: Path) -> None:
    if path.stat().st_size == 0:
        todo = "put a backup in its place, or delete it if it never held a token"
        raise StorageError(f"vault {path}: it is empty", todo)


def _check_mode(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise UsageError(f"vault {path}: others can read it", f"chmod 600 {path}")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turns what the disk and SQLite say into StorageError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"vault {path}: {error}", _mend(error)) from error
    except OSError as error:
        raise StorageError(f"vault {path}: {error.strerror}") from error


def _mend(error: sqlite3.Error) -> str:
    text = str(error)
    if "readonly" in text or "unable to open" in text:
        return "make the file and its folder writable"
    if "locked" in text:
        return "another process holds it: try again"
    if "full" in text:
        return "free some space"
    return "put a backup in its place"
