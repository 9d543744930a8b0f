"""One run at a time: a kernel lock on `<lake>/lock`, which dies with its holder."""

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from harvester.errors import LockedError, StorageError
from harvester.lake.layout import LOCK


class Lock:
    """Holds a lake until `release`, or until the process dies.

    Programs started meanwhile do not inherit it; forked workers do, and hold it
    with their parent.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, root: Path, run_id: str) -> Self:
        """Takes the lake at once, or raises LockedError naming who has it.

        The directory must exist. Raises StorageError when it cannot be written.
        """
        path = root / LOCK
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, 0o644)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written ({error.strerror})",
                "mend the directory's permissions, or name another lake",
            ) from error
        try:
            cls._hold(fd, root, run_id)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    @staticmethod
    def _hold(fd: int, root: Path, run_id: str) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sign(fd, run_id)
        except BlockingIOError:
            raise LockedError(
                f"the lake {root} is locked by {_holder(fd)}",
                "wait until it ends; a run that died holds no lock",
            ) from None
        except OSError as error:
            raise StorageError(
                f"{root / LOCK} cannot be locked ({error.strerror})",
                "use a file system with locks, and with room",
            ) from error

    def release(self) -> None:
        """Lets the next run in. Releasing twice does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _sign(fd: int, run_id: str) -> None:
    """Says who holds the lock: for the message that a second run prints."""
    content = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "run_id": run_id,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps(content).encode() + b"\n", 0)


def _holder(fd: int) -> str:
    try:
        who = json.loads(os.pread(fd, 4096, 0))
        return (
            f"run {who['run_id']} (process {who['pid']} on {who['host']}, "
            f"since {who['started_at']})"
        )
    except (OSError, ValueError, LookupError, TypeError):
        return "another run"
