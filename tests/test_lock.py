"""One run at a time."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harvester.errors import LockedError, StorageError
from harvester.lake.lock import Lock

HOLD = """
import sys
from pathlib import Path
from harvester.lake.lock import Lock
lock = Lock.take(Path(sys.argv[1]), "the-other-run")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_is_told_who_holds_the_lake(tmp_path: Path) -> None:
    Lock.take(tmp_path, "run-1")
    with pytest.raises(LockedError, match=rf"run run-1 \(process {os.getpid()} on "):
        Lock.take(tmp_path, "run-2")


def test_a_released_lake_can_be_taken_again(tmp_path: Path) -> None:
    lock = Lock.take(tmp_path, "run-1")
    lock.release()
    lock.release()
    Lock.take(tmp_path, "run-2").release()
    holder = json.loads((tmp_path / "lock").read_bytes())
    assert holder["run_id"] == "run-2"
    assert set(holder) == {"pid", "host", "run_id", "started_at"}


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match="the-other-run"):
            Lock.take(tmp_path, "run-1")
        other.kill()
        other.wait()
        Lock.take(tmp_path, "run-1").release()


def test_a_program_started_meanwhile_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = Lock.take(tmp_path, "run-1")
    command = [
        sys.executable,
        "-c",
        "import sys; print('up', flush=True); sys.stdin.read()",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        lock.release()
        Lock.take(tmp_path, "run-2").release()
        child.kill()


def test_a_holder_that_has_not_signed_yet_is_another_run(tmp_path: Path) -> None:
    lock = Lock.take(tmp_path, "run-1")
    (tmp_path / "lock").write_text("")
    with pytest.raises(LockedError, match="locked by another run"):
        Lock.take(tmp_path, "run-2")
    lock.release()


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with pytest.raises(StorageError, match=r"cannot be locked \(No locks available\)"):
        Lock.take(tmp_path, "run-1")


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="cannot be written"):
        Lock.take(tmp_path, "run-1")
    assert not (tmp_path / "elsewhere").exists()
