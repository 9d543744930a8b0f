"""Bytes that survive a power cut: staged, synced, renamed, and the names synced.

A file is made in `<lake>/tmp`, where nobody looks. A group of files is made durable
together, because a sync costs the same for one file as for hundreds; only then does
each get its name in one atomic step, and at last the names are made durable too.
Without the first sync a power cut leaves names without contents.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from secrets import token_hex

from harvester.errors import StorageError
from harvester.lake import syncing
from harvester.lake.layout import DATA, TMP

Move = tuple[Path, str]
"""A staged file, and the place in the lake that it gets."""

FEW = 4
"""Up to so many files each is synced alone: the others' dirty pages can wait."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_SAFE = "then run again: nothing that was put away is lost"

PLAIN: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", f"free some space, {_SAFE}"),
    errno.EDQUOT: ("the disk quota is used up", f"free some space, {_SAFE}"),
    errno.EFBIG: (
        "the limit for file sizes is reached",
        f"raise it (ulimit -f), {_SAFE}",
    ),
    errno.EROFS: ("the file system is read-only", f"make it writable, {_SAFE}"),
    errno.EIO: ("the disk reports an I/O error", f"check the disk, {_SAFE}"),
    errno.EACCES: ("permission is denied", f"mend the permissions, {_SAFE}"),
    errno.EPERM: ("permission is denied", f"mend the permissions, {_SAFE}"),
    errno.EMFILE: ("too many files are open", f"raise the limit (ulimit -n), {_SAFE}"),
}
"""What a failed write means for a person, and what to do about it."""


class Disk:
    """A lake's file system, for whoever holds the lake's lock.

    Every method raises StorageError in plain words. After a failed sync nobody
    knows what is on the disk: from then on every write is refused.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tmp = root / TMP
        self._mark = token_hex(4)  # a process's id comes again, in containers at once
        self._numbers = count()
        self._broken = False
        self._sync_all = syncing.whole_file_system(root)

    def stage(self, data: bytes | memoryview, mode: int = 0o644) -> Path:
        """Writes a new file in `tmp` and returns it; nothing is durable yet."""
        path = self._tmp / f"{self._mark}-{next(self._numbers)}"
        with self._writing(path):
            try:
                _write_new(path, data, mode)
            except OSError:
                with suppress(OSError):
                    path.unlink()
                raise
        return path

    def land(self, moves: Sequence[Move]) -> None:
        """Makes staged files durable, gives them their names, makes those durable.

        On a failure the files that have no name yet are removed, and those that
        have one stay: whoever repeats the work writes the same names again.
        """
        try:
            with self._syncing():
                self._sync_files([staged for staged, _ in moves])
            self.move(moves)
        except StorageError:
            self.discard(staged for staged, _ in moves)
            raise

    def move(self, moves: Sequence[Move]) -> None:
        """Gives durable files their new names, and makes those durable."""
        with self._writing(self.root):
            folders = self._rename(moves)
        with self._syncing():
            self._sync_folders(folders)

    def replace(self, place: str, data: bytes | memoryview, mode: int = 0o644) -> None:
        """Puts one small file in its place: durable on return, never half there."""
        self.land([(self.stage(data, mode), place)])

    def write_first(self, place: str, data: bytes) -> None:
        """Puts a small file in its place where there is no `tmp` yet."""
        new = self.root / f"{place}.new"
        with self._writing(new):
            new.unlink(missing_ok=True)
            _write_new(new, data, 0o644)
        with self._syncing():
            self._sync_files([new])
        self.move([(new, place)])

    def append(self, fd: int, data: bytes, folder: Path | None = None) -> None:
        """Writes at the end of an open file; durable on return.

        `folder` holds the file's name where that is new. A write that fails is
        taken back as far as the disk allows.
        """
        with self._writing(self.root):
            size = os.fstat(fd).st_size
            try:
                _write_all(fd, data)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(fd, size)
                raise
        with self._syncing():
            os.fdatasync(fd)
            if folder is not None:
                syncing.sync_folder(folder)

    def create(self, path: Path, mode: int) -> int:
        """Opens a new file for `append`."""
        with self._writing(path):
            return os.open(path, _NEW | os.O_APPEND, mode)

    def make_folder(self, place: str, mode: int = 0o755) -> Path:
        """The folder, made if it is not there, with its name made durable."""
        path = self.root / place
        with self._writing(path):
            changed = _made(path)
            if changed:
                path.chmod(mode)
        with self._syncing():
            self._sync_folders(set(changed))
        return path

    def remove(self, paths: Iterable[Path]) -> None:
        """Removes files for good; those that are gone already do no harm."""
        folders = set()
        with self._writing(self.root):
            for path in paths:
                path.unlink(missing_ok=True)
                folders.add(path.parent)
        with self._syncing():
            self._sync_folders(folders)

    def discard(self, staged: Iterable[Path]) -> None:
        """Removes staged files that are not wanted after all."""
        for path in staged:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes what dead runs left in `tmp`."""
        self.discard(list(self._tmp.iterdir()))

    def probe(self) -> None:
        """Raises StorageError unless the lake can be written and `tmp` serves it."""
        staged = self.stage(b"probe")
        with self._syncing():
            self._sync_files([staged])
        self.discard([staged])
        data = self.root / DATA
        if self._tmp.stat().st_dev != data.stat().st_dev:
            raise StorageError(
                f"{self._tmp} and {data} are on different devices",
                "put both on one: a file is finished by renaming it from one to the other",
            )

    def _sync_files(self, paths: Sequence[Path]) -> None:
        if self._sync_all and len(paths) > FEW:
            self._sync_all()
            return
        for path in paths:
            syncing.sync(path, os.fdatasync)

    def _sync_folders(self, folders: set[Path]) -> None:
        if self._sync_all and len(folders) > FEW:
            self._sync_all()
            return
        for folder in sorted(folders):
            syncing.sync_folder(folder)

    def _rename(self, moves: Sequence[Move]) -> set[Path]:
        """Returns the folders whose entries changed."""
        folders: set[Path] = set()
        for staged, place in moves:
            final = self.root / place
            if final.parent not in folders:
                folders.update(_made(final.parent))
                folders.add(final.parent)
            staged.rename(final)
        return folders

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        if self._broken:
            raise self._error(path, OSError(errno.EIO, "an earlier sync failed"))
        try:
            yield
        except OSError as error:
            self._broken = error.errno == errno.EIO
            raise self._error(path, error) from error

    @contextmanager
    def _syncing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._broken = True
            raise self._error(self.root, error) from error

    def _error(self, path: Path, error: OSError) -> StorageError:
        plain, todo = PLAIN.get(
            error.errno or 0, (error.strerror or str(error), f"mend it, {_SAFE}")
        )
        return StorageError(f"{path} cannot be written: {plain}", todo)


def _write_new(path: Path, data: bytes | memoryview, mode: int) -> None:
    fd = os.open(path, _NEW, mode)
    try:
        _write_all(fd, data)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes | memoryview) -> None:
    written = os.write(fd, data)
    rest = memoryview(data)
    while written < len(rest):
        rest = rest[written:]
        written = os.write(fd, rest)


def _made(folder: Path) -> list[Path]:
    """Makes the folder where it is missing; returns those whose entries changed."""
    try:
        folder.mkdir()
    except FileExistsError:
        return []
    except FileNotFoundError:
        above = _made(folder.parent)
        folder.mkdir()
        return [*above, folder.parent]
    return [folder.parent]
