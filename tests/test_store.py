"""A lake opened for writing: killed anywhere, run again, and nothing lost or doubled."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lakes
import orjson
import pytest
from lakes import ENDPOINT, FIRST, LAYOUTS, appid, record, refusal, rows

from harvester.errors import LockedError, StorageError, UsageError
from harvester.lake import layout, syncing
from harvester.lake.build import commit
from harvester.lake.durable import Disk
from harvester.lake.layout import Layout
from harvester.lake.spool import Record
from harvester.lake.store import Store

WEEK = range(FIRST, FIRST + 7)
LATER = lakes.MOMENT + 60_000_000

BEFORE = [
    record(1, FIRST, FIRST + 2, rows(WEEK[:3], sources=4)),
    record(4, FIRST, FIRST, rows([FIRST])),
]
"""What an earlier run put into the lake."""

AFTER = [
    record(  # replaces, shrinks, leaves what an empty day had, and adds
        1,
        FIRST,
        FIRST + 4,
        {**rows([FIRST], seed=2, sources=4), **rows([FIRST + 1]), **rows(WEEK[3:5])},
        fetched_at=LATER,
    ),
    record(2, FIRST, FIRST + 2, rows([FIRST, FIRST + 2]), fetched_at=LATER),
    refusal(3, FIRST, FIRST + 6, "denied", code="48001", fetched_at=LATER),
    record(5, FIRST, FIRST, {}, pages=(b"<html>",), fetched_at=LATER),
]
"""What the run that dies brought."""

TRUTH: lakes.Truth = {
    1: {
        **rows([FIRST], seed=2, sources=4),
        **rows([FIRST + 1]),
        **rows([FIRST + 2], sources=4),
        **rows(WEEK[3:5]),
    },
    2: rows([FIRST, FIRST + 2]),
    4: rows([FIRST]),
}

OUTCOMES = {
    1: dict.fromkeys(WEEK[:5], "held"),
    2: {FIRST: "held", FIRST + 1: "empty", FIRST + 2: "held"},
    3: dict.fromkeys(WEEK, "denied"),
    4: {FIRST: "held"},
    5: {FIRST: "failed"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake"


class Killed(BaseException):
    """Stands for a SIGKILL: nothing the code does may depend on catching it."""


class Steps:
    """Counts what reaches the disk, and stops everything at the chosen step."""

    NAMES = (
        "open",
        "write",
        "fsync",
        "fdatasync",
        "rename",
        "mkdir",
        "unlink",
        "ftruncate",
    )

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.done: list[str] = []

    @contextmanager
    def until(self, stop: int) -> Iterator[None]:
        """Stops at the step with this number, half way where it is a write."""
        self.done = []
        with self._monkeypatch.context() as patched:
            for name in self.NAMES:
                patched.setattr(os, name, self._counted(name, getattr(os, name), stop))
            sync = self._counted("syncfs", syncing.sync, stop)
            patched.setattr(syncing, "sync", sync)
            yield

    def _counted(
        self, name: str, real: Callable[..., Any], stop: int
    ) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            if len(self.done) >= stop:
                if name == "write" and len(self.done) == stop:
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                self.done.append(name)
                raise Killed
            self.done.append(name)
            return real(*arguments, **named)

        return step


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


def prepared(root: Path, cut: Layout) -> None:
    """A lake with an earlier run's cells, and a dead run's answers in the spool."""
    with lakes.opened(root, cut) as store:
        store.put_away("g", BEFORE)
        store.build("g")
        store.put_away("g", AFTER[:2])
        store.put_away("other", AFTER[2:])


def check(root: Path) -> None:
    assert lakes.held(root) == lakes.expected(TRUTH)
    lakes.check_files(root)
    ledger = lakes.Ledger.load(root)
    assert {number: lakes.outcomes(ledger, number) for number in OUTCOMES} == OUTCOMES


def recover(root: Path, cut: Layout) -> None:
    with Store.open(root, cut, lakes.recipe(run_id="run-2")) as store:
        store.recover()


def die(steps: Steps, stop: int, work: Callable[[Store], object], store: Store) -> bool:
    """Does the work until the step; says whether it came so far."""
    with steps.until(stop), suppress(Killed):
        work(store)
    store._lock.release()  # as the kernel does
    return len(steps.done) > stop


def rebuild(store: Store) -> None:
    store.recover()


@pytest.mark.parametrize("cut", LAYOUTS, ids=str)
def test_a_run_may_die_at_every_step_of_a_build(
    tmp_path: Path, cut: Layout, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "FILES", 3)
    prepared(tmp_path / "prepared", cut)
    stride = {LAYOUTS[0]: 5, LAYOUTS[3]: 2}.get(cut, 11)
    for stop in range(0, 1000, stride):
        root = tmp_path / f"at-{stop}"
        shutil.copytree(tmp_path / "prepared", root)
        store = Store.open(root, cut, lakes.recipe(run_id="run-2"))
        died = die(steps, stop, rebuild, store)
        recover(root, cut)
        check(root)
        shutil.rmtree(root)
        if not died:
            break
    assert stop > 60


def test_a_recovery_may_die_as_well(
    tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "FILES", 3)
    prepared(tmp_path / "prepared", LAYOUTS[3])
    for first in range(3, 130, 11):
        root = tmp_path / f"at-{first}"
        shutil.copytree(tmp_path / "prepared", root)
        for stop in (first, 90 - first // 2, first // 2):
            store = Store.open(root, LAYOUTS[3], lakes.recipe(run_id="run-2"))
            die(steps, stop, rebuild, store)
        recover(root, LAYOUTS[3])
        check(root)


def test_another_memory_after_a_crash_leaves_no_file_behind(
    tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead run cut a partition in two, the next one does not."""
    cut = LAYOUTS[3]
    truth = {number: rows(WEEK, seed=number) for number in range(1, 9)}
    prepared = tmp_path / "prepared"
    with lakes.opened(prepared, cut) as store:
        records = [record(n, FIRST, FIRST + 6, its) for n, its in truth.items()]
        for one in records:
            store.put_away("g", [one])
    monkeypatch.setattr("harvester.lake.build.sweep.BATCH", 2)
    for stop in range(0, 200, 3):
        root = tmp_path / f"at-{stop}"
        shutil.copytree(prepared, root)
        with monkeypatch.context() as patched:
            patched.setattr("harvester.lake.build.sweep.MEGABYTE", 100)
            store = Store.open(root, cut, lakes.recipe())
            died = die(steps, stop, lambda store: store.build("g"), store)
        recover(root, cut)
        assert lakes.held(root) == lakes.expected(truth)
        lakes.check_files(root)
        if not died:
            break
    assert stop > 20


def test_what_a_killed_append_acknowledged_is_there(
    tmp_path: Path, steps: Steps
) -> None:
    content = rows([FIRST])
    for stop in range(100):
        root = tmp_path / f"at-{stop}"
        store = lakes.opened(root)
        acknowledged: list[int] = []

        def put(store: Store, done: list[int] = acknowledged) -> None:
            for number in range(1, 4):
                store.put_away("g", [record(number, FIRST, FIRST, content)])
                done.append(number)

        died = die(steps, stop, put, store)
        recover(root, LAYOUTS[0])
        there = {row[0] for row in lakes.held(root)}
        assert {appid(number) for number in acknowledged} <= there
        lakes.check_files(root)
        if not died:
            break
    assert stop > 5


def test_a_lake_may_die_while_it_is_made(tmp_path: Path, steps: Steps) -> None:
    for stop in range(200):
        root = tmp_path / f"at-{stop}"
        with steps.until(stop), suppress(Killed):
            Store.open(root, LAYOUTS[0], lakes.recipe()).close()
        died = len(steps.done) > stop
        with lakes.opened(root) as store:
            store.put_away("g", [record(1, FIRST, FIRST, rows([FIRST]))])
            store.build("g")
        lakes.check_files(root)
        if not died:
            break
    assert stop > 20


def test_contents_are_durable_before_names_and_names_before_the_ledger(
    root: Path, steps: Steps
) -> None:
    """A power cut may undo everything since the last sync, in any order."""
    with lakes.opened(root) as store:
        store.put_away("g", [record(1, FIRST, FIRST + 6, rows(WEEK))])
        with steps.until(10_000):
            store.build("g")
    plain = [name for name in steps.done if name not in ("open", "mkdir")]
    shape = [
        one
        for one, other in zip([*plain, ""], ["", *plain], strict=True)
        if one != other
    ]
    shape = [
        "sync" if name in ("syncfs", "fsync", "fdatasync") else name for name in shape
    ]
    joined = [
        one for one, other in zip(shape, ["", *shape], strict=False) if one != other
    ]
    assert [name for name in joined if name] == [
        "write",  # data files, and the ledger's segment of files
        "sync",
        "rename",
        "sync",
        "write",  # the ledger's segment of cells
        "sync",
        "rename",
        "sync",
        "unlink",  # the spool's segment
        "sync",
    ]


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import lakes, test_store
from harvester.lake import durable
from harvester.lake.store import Store
real, left = os.rename, [int(sys.argv[3])]
def rename(*arguments):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), 9)
    real(*arguments)
os.rename = rename
with Store.open(Path(sys.argv[1]), lakes.LAYOUTS[0], lakes.recipe(run_id="run-2")) as store:
    store.recover()
"""


def test_a_real_kill_between_two_files_loses_nothing(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    prepared(root, LAYOUTS[0])
    tests = str(Path(__file__).parent)
    for renames in (6, 2):
        command = [sys.executable, "-c", KILLED, str(root), tests, str(renames)]
        assert (
            subprocess.run(command, check=False, cwd=Path(tests).parent).returncode
            == -9
        )
    recover(root, LAYOUTS[0])
    check(root)


def failing(error: int, stop: int, real: Callable[..., Any]) -> Callable[..., Any]:
    left = [stop]

    def call(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(error, os.strerror(error))
        return real(*arguments, **named)

    return call


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("write", errno.ENOSPC, "the disk is full"),
        ("write", errno.EDQUOT, "the disk quota is used up"),
        ("rename", errno.EROFS, "the file system is read-only"),
        ("mkdir", errno.EACCES, "permission is denied"),
        ("fdatasync", errno.EIO, "the disk reports an I/O error"),
        ("fsync", errno.EIO, "the disk reports an I/O error"),
    ],
)
def test_a_disk_that_fails_is_told_in_plain_words_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: int, said: str
) -> None:
    prepared(tmp_path / "prepared", LAYOUTS[0])
    told: list[str] = []
    for stop in range(0, 100, 3):
        root = tmp_path / f"at-{stop}"
        shutil.copytree(tmp_path / "prepared", root)
        store = Store.open(root, LAYOUTS[0], lakes.recipe(run_id="run-2"))
        with monkeypatch.context() as patched, store:
            patched.setattr(os, name, failing(error, stop, getattr(os, name)))
            message = refused_by(store.recover)
        if not message:
            break
        told.append(message)
        recover(root, LAYOUTS[0])
        check(root)
    assert told
    for message in told:
        assert f"cannot be written: {said}" in message
        assert "nothing that was put away is lost" in message


def refused_by(work: Callable[[], object]) -> str:
    """What a StorageError said, if there was one."""
    try:
        work()
    except StorageError as refused:
        return str(refused)
    return ""


def test_a_file_size_limit_is_told_in_plain_words(root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    content = {day: [(n, n * day % 9973, n) for n in range(300)] for day in WEEK}
    with lakes.opened(root) as store:
        store.put_away("g", [record(1, FIRST, FIRST + 6, content)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
        try:
            with pytest.raises(
                StorageError, match="the limit for file sizes is reached"
            ):
                store.build("g")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list((root / "tmp").iterdir()) == []
    recover(root, LAYOUTS[0])
    assert lakes.held(root) == lakes.expected({1: content})


def test_after_a_failed_sync_the_store_writes_nothing_more(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lakes.opened(root) as store:
        store.put_away("g", [record(1, FIRST, FIRST + 6, rows(WEEK))])
        with monkeypatch.context() as patched:
            patched.setattr(syncing, "sync", failing(errno.EIO, 0, syncing.sync))
            with pytest.raises(StorageError, match="I/O error"):
                store.build("g")
        for work in (
            lambda: store.build("g"),
            lambda: store.put_away("g", [record(1, FIRST, FIRST, {})]),
            lambda: store.write_summary("run-1", {}),
        ):
            with pytest.raises(StorageError):
                work()
    recover(root, LAYOUTS[0])
    assert lakes.held(root) == lakes.expected({1: rows(WEEK)})


def test_a_torn_end_of_the_spool_is_passed_over(root: Path) -> None:
    with lakes.opened(root) as store:
        store.put_away("g", [record(1, FIRST, FIRST, rows([FIRST]))])
        store.put_away("g", [record(2, FIRST, FIRST, rows([FIRST]))])
    (segment,) = (root / "spool").iterdir()
    segment.write_bytes(segment.read_bytes()[:-5])
    recover(root, LAYOUTS[0])
    assert lakes.held(root) == lakes.expected({1: rows([FIRST])})
    lakes.check_files(root)


def test_a_dead_runs_answers_come_before_anything_else(root: Path) -> None:
    prepared(root, LAYOUTS[0])
    with Store.open(root, LAYOUTS[0], lakes.recipe(run_id="run-2")) as store:
        with pytest.raises(RuntimeError, match="recover"):
            store.put_away("g", [record(9, FIRST, FIRST, {})])
        built = store.recover()
        assert built.rows == 4 + 3 + 6 + 6
        assert built.shrunk == 2
        assert [failure.appid for failure in built.failures] == [appid(5)]
        store.put_away("g", [record(9, FIRST, FIRST, {})])
    check_left = list((root / "spool").iterdir())
    assert len(check_left) == 1


def test_a_second_recovery_builds_nothing(root: Path) -> None:
    prepared(root, LAYOUTS[0])
    recover(root, LAYOUTS[0])
    with Store.open(root, LAYOUTS[0], lakes.recipe(run_id="run-3")) as store:
        built = store.recover()
    assert (built.rows, built.files) == (0, 0)
    check(root)


def test_a_segment_whose_removal_was_lost_is_not_built_twice(root: Path) -> None:
    with lakes.opened(root) as store:
        store.put_away("g", [record(1, FIRST, FIRST + 2, rows(WEEK[:3]))])
        (segment,) = (root / "spool").iterdir()
        content = segment.read_bytes()
        store.build("g")
        newer = rows([FIRST], seed=8)
        store.put_away(
            "g", [record(1, FIRST, FIRST, newer, fetched_at=LATER, run_id="run-2")]
        )
        store.build("g")
    segment.write_bytes(content)
    recover(root, LAYOUTS[0])
    assert lakes.held(root) == lakes.expected({1: {**rows(WEEK[:3]), **newer}})
    lakes.check_files(root)


def test_a_dead_runs_file_that_nothing_names_is_set_aside(root: Path) -> None:
    """Its rows come again from the spool; the file itself is not thrown away."""
    prepared(root, LAYOUTS[3])
    partition = root / LAYOUTS[3].partition(ENDPOINT.id, appid(1), FIRST)
    content = (partition / "part-0.parquet").read_bytes()
    (partition / "part-7.parquet").write_bytes(content)
    recover(root, LAYOUTS[3])
    check(root)
    (aside,) = (root / "rejected" / "run-2").glob("*.parquet")
    assert aside.name.endswith("~part-7.parquet")
    assert aside.read_bytes() == content


def test_answers_are_put_away_while_files_are_built(root: Path) -> None:
    truth = {number: rows(WEEK, seed=number) for number in range(1, 41)}
    with lakes.opened(root, Layout(4, "day")) as store:
        for number in range(1, 21):
            store.put_away("a", [record(number, FIRST, FIRST + 6, truth[number])])
        thread = threading.Thread(target=store.build, args=["a"])
        thread.start()
        for number in range(21, 41):
            store.put_away("b", [record(number, FIRST, FIRST + 6, truth[number])])
        thread.join()
        store.build("b")
    assert lakes.held(root) == lakes.expected(truth)
    lakes.check_files(root)


def test_a_second_run_is_refused_and_changes_nothing(root: Path) -> None:
    with lakes.opened(root) as store:
        store.put_away("g", BEFORE)
        before = sorted(root.rglob("*"))
        with pytest.raises(LockedError, match="run run-1"):
            Store.open(root, LAYOUTS[0], lakes.recipe(run_id="run-2"))
        assert sorted(root.rglob("*")) == before
    recover(root, LAYOUTS[0])


def test_a_refused_start_leaves_the_lake_free(root: Path) -> None:
    lakes.opened(root).close()
    with pytest.raises(UsageError, match="harvester compact --buckets 3 --date day"):
        Store.open(root, LAYOUTS[2], lakes.recipe())
    lakes.opened(root).close()


def test_nothing_is_written_into_a_folder_that_is_no_lake(root: Path) -> None:
    root.mkdir()
    (root / "thesis.tex").touch()
    with pytest.raises(UsageError, match="is no lake"):
        Store.open(root, LAYOUTS[0], lakes.recipe())
    assert [path.name for path in root.iterdir()] == ["thesis.tex"]


def test_a_lake_is_made_only_where_one_is_wanted(root: Path) -> None:
    with pytest.raises(UsageError, match="there is no lake at"):
        Store.open(root, LAYOUTS[0], lakes.recipe(), create=False)
    assert not root.exists()
    lakes.opened(root).close()
    Store.open(root, LAYOUTS[0], lakes.recipe(), create=False).close()


def test_a_demos_lake_says_so(root: Path) -> None:
    Store.open(root, LAYOUTS[0], lakes.recipe(), demo=True).close()
    found = layout.read(root)
    assert found is not None
    assert found.demo


def test_a_lost_ledger_is_no_fresh_start(root: Path) -> None:
    with lakes.opened(root) as store:
        store.put_away("g", BEFORE)
        store.build("g")
    shutil.rmtree(root / "ledger")
    with pytest.raises(UsageError, match="the ledger is lost"):
        Store.open(root, LAYOUTS[0], lakes.recipe())
    assert not (root / "ledger").exists()


@pytest.mark.parametrize("place", ["", "file/lake"])
def test_a_lake_that_cannot_be_made_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").touch()
    if not place:
        monkeypatch.setattr(os, "mkdir", failing(errno.EACCES, 0, os.mkdir))
    with pytest.raises(StorageError, match="cannot be made"):
        Store.open(tmp_path / (place or "lake"), LAYOUTS[0], lakes.recipe())


def test_an_unwritable_lake_is_found_out_before_any_call(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lakes.opened(root).close()
    monkeypatch.setattr(os, "write", failing(errno.EROFS, 0, os.write))
    with pytest.raises(StorageError, match="the file system is read-only"):
        Store.open(root, LAYOUTS[0], lakes.recipe())


def test_tmp_on_another_device_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == root.parent.stat().st_dev:
        pytest.skip("there is only one device here")
    lakes.opened(root).close()
    elsewhere = shared / f"harvester-test-{os.getpid()}"
    elsewhere.mkdir()
    try:
        (root / "tmp").rmdir()
        (root / "tmp").symlink_to(elsewhere)
        with pytest.raises(StorageError, match="different devices"):
            Store.open(root, LAYOUTS[0], lakes.recipe())
    finally:
        shutil.rmtree(elsewhere)


def test_without_a_sync_of_the_whole_file_system_each_file_is_synced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncing, "file_system_type", lambda _: "nfs4")
    synced: list[Path] = []
    real = syncing.sync

    def noted(path: Path, sync: Callable[[int], None]) -> None:
        synced.append(path)
        real(path, sync)

    with lakes.opened(root) as store:
        store.put_away("g", [record(1, FIRST, FIRST + 6, rows(WEEK))])
        monkeypatch.setattr(syncing, "sync", noted)
        store.build("g")
    staged = [path for path in synced if path.parent == root / "tmp"]
    folders = {path for path in synced if path.parent.parent.parent == root / "data"}
    assert len(staged) == len(set(staged)) == 7 + 2
    assert len(folders) == 7
    assert root / "data" in synced


def test_a_sync_of_the_whole_file_system_that_fails_says_so(root: Path) -> None:
    lakes.opened(root).close()
    sync = syncing.whole_file_system(root)
    if sync is None:
        pytest.skip("it is not trusted here")
    root.rename(root.with_name("moved"))
    with pytest.raises(FileNotFoundError):
        sync()


def test_a_file_system_that_nobody_names_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: "22 27 9:99 / /x rw - ext4 y rw")
    assert syncing.file_system_type(tmp_path) == ""
    monkeypatch.setattr(Path, "read_text", failing(errno.ENOENT, 0, Path.read_text))
    assert syncing.file_system_type(tmp_path) == ""


@pytest.mark.parametrize(
    ("system", "release", "trusted"),
    [
        ("Linux", "6.18.44-x", True),
        ("Linux", "5.8.0", True),
        ("Linux", "5.4.0-90", False),
        ("Darwin", "24.1", False),
    ],
)
def test_a_sync_of_the_whole_file_system_is_trusted_where_it_reports_errors(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    system: str,
    release: str,
    trusted: bool,
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.release", lambda: release)
    monkeypatch.setattr(syncing, "file_system_type", lambda _: "ext4")
    assert (Disk(tmp_path)._sync_all is not None) == trusted


def test_a_summary_is_written_whole(root: Path) -> None:
    with lakes.opened(root) as store:
        store.write_summary("2024-12-07.a", {"calls": 7})
        assert json.loads((root / "runs" / "2024-12-07.a.json").read_bytes()) == {
            "calls": 7
        }
        with pytest.raises(UsageError):
            store.write_summary("../evil", {})


def test_the_ledger_is_folded_between_runs_and_knows_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvester.lake.store.SEGMENTS", 3)
    with lakes.opened(root) as store:
        for number, day in enumerate(WEEK):
            store.put_away("g", [record(1, day, day, rows([day]), fetched_at=number)])
            store.build("g", wanted=lambda: False)
            assert not store.fold(lambda *_: True)
            store.build("g")
        assert store.fold(lambda *_: True)
        (known,) = lakes.Ledger.load(root).known(appid(1))[ENDPOINT.id]
        assert (known.first, known.last) == (FIRST, FIRST + 6)
        again: Record = record(1, FIRST, FIRST, rows([FIRST], seed=2), fetched_at=99)
        store.put_away("g", [again])
        store.build("g")
    lakes.check_files(root)
    assert orjson.loads((root / "lake.json").read_bytes())["format"] == 1


def test_only_the_owner_sees_what_is_not_data(root: Path) -> None:
    lakes.opened(root).close()
    modes = {path.name: path.stat().st_mode for path in root.iterdir()}
    closed = {name for name, mode in modes.items() if mode & 0o077 == 0}
    assert closed == {"spool", "rejected", "tmp"}
