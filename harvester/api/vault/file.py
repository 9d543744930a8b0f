"""The vault's file: made complete in one step, and refused rather than repaired."""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from harvester.api.vault import upgrade as vault_upgrade
from harvester.errors import StorageError, UsageError

_BUSY_SECONDS = 10.0
_APPLICATION = 0x68617276  # "harv"
_VERSION = 2

_SCHEMA = """
CREATE TABLE document (name TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
"""


_EMPTY = (
    f"PRAGMA journal_mode = WAL; BEGIN; {_SCHEMA}"
    f"PRAGMA application_id = {_APPLICATION};"
    f" PRAGMA user_version = {_VERSION}; COMMIT;"
)


def _make(path: Path) -> None:
    """An empty vault appears under its name in one step, complete."""
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists():  # SQLite would replay it into the new file
        todo = f"put a backup in its place, or delete {journal.name} as well"
        raise StorageError(f"vault {path}: it is gone, its journal is not", todo)
    with suppress(FileExistsError):  # another process was faster: as good
        _appear(path, lambda database: database.executescript(_EMPTY))


def _appear(path: Path, fill: Callable[[sqlite3.Connection], object]) -> None:
    """Raises FileExistsError."""
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        database = sqlite3.connect(beside, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = OFF")
            fill(database)
        finally:
            database.close()
        _flush(beside)
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
            version = _checked_version(path, database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")  # fails here when it is read-only
            database.execute("ROLLBACK")
            if version == 1:
                _upgrade(database)
        except BaseException:
            database.close()
            raise
    return database


def copy(database: sqlite3.Connection, path: Path) -> None:
    """The database at this moment appears under a new name. Raises UsageError."""
    _appear_new(path, database.backup)


def written(path: Path, documents: Iterable[tuple[str, bytes]]) -> None:
    """A vault with these documents appears under a new name. Raises UsageError."""

    def fill(database: sqlite3.Connection) -> None:
        database.executescript(_EMPTY)
        database.execute("BEGIN")
        for name, content in documents:
            put(database, name, content)
        database.execute("COMMIT")

    _appear_new(path, fill)


def put(database: sqlite3.Connection, name: str, content: bytes) -> None:
    """Replaces a document, inside the caller's transaction."""
    database.execute(
        "INSERT INTO document VALUES (?, ?) ON CONFLICT (name)"
        " DO UPDATE SET content = excluded.content",
        (name, content.decode()),
    )


def _appear_new(path: Path, fill: Callable[[sqlite3.Connection], object]) -> None:
    with told(path):
        try:
            _appear(path, fill)
        except FileExistsError:
            todo = "name a file that is not there yet"
            raise UsageError(f"{path} exists already", todo) from None


def _checked_version(path: Path, database: sqlite3.Connection) -> int:
    (damage,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if damage != "ok":
        raise sqlite3.DatabaseError(damage)
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise UsageError(f"vault {path}: not a vault", "give another path in [vault]")
    if version not in (1, _VERSION):
        raise UsageError(f"vault {path}: made by another version", "update harvester")
    return int(version)


def _upgrade(database: sqlite3.Connection) -> None:
    """Turns the first layout into this one, in one step."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA user_version").fetchone() == (1,):
            documents = list(vault_upgrade.documents(database))
            database.execute(_SCHEMA)
            for name, content in documents:
                put(database, name, content)
            for table in ("credential", "refresh_token", "ticket"):
                database.execute(f"DROP TABLE {table}")
            database.execute(f"PRAGMA user_version = {_VERSION}")


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
