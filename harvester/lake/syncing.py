"""The three ways to make what was written durable, and which can be trusted where."""

import ctypes
import os
import platform
from collections.abc import Callable
from pathlib import Path

WHOLE_SYNC_REPORTS_ERRORS = (5, 8)
"""The Linux version from which a sync of the whole file system reports failures."""

WHOLE_SYNC_TYPES = frozenset({"ext4", "xfs", "btrfs", "f2fs"})
"""File systems where it is known to be durable; others are synced file by file."""


def sync(path: Path, how: Callable[[int], None]) -> None:
    """Opens the file or folder and syncs it with `os.fsync` or one like it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        how(fd)
    finally:
        os.close(fd)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    sync(path, os.fsync)


def whole_file_system(root: Path) -> Callable[[], None] | None:
    """Syncs all of the lake's file system in one go, where that can be trusted."""
    if not (
        _kernel() >= WHOLE_SYNC_REPORTS_ERRORS
        and file_system_type(root) in WHOLE_SYNC_TYPES
    ):
        return None
    syncfs = ctypes.CDLL(None, use_errno=True).syncfs

    def checked(fd: int) -> None:
        if syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")

    return lambda: sync(root, checked)


def _kernel() -> tuple[int, ...]:
    """The version of a Linux kernel; (0,) elsewhere."""
    if platform.system() != "Linux":
        return (0,)
    numbers = platform.release().split("-")[0].split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def file_system_type(root: Path) -> str:
    """The type of the file system that the folder is on, or nothing."""
    device = root.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return ""
    for line in mounts.splitlines():
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return ""
