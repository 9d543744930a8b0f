"""The write-ahead spool: what was acknowledged is there, what was torn is not."""

import errno
import os
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.errors import StorageError
from harvester.lake import spool
from harvester.lake.durable import Disk
from harvester.lake.spool import Record, Spool, read_chunk, read_segment, scan

DAYS = st.integers(735_000, 745_000)
RECORDS = st.builds(
    Record,
    appid=st.sampled_from(["wx0000000000000001", "wx0000000000000002", "*"]),
    endpoint=st.sampled_from(["getuserread", "getusersummary", "getarticletotal"]),
    first=DAYS,
    last=DAYS,
    owned=st.lists(st.tuples(DAYS, DAYS), max_size=3).map(tuple),
    outcome=st.sampled_from(["answered", "denied", "failed"]),
    fetched_at=st.integers(0, 2**53),
    run_id=st.text(max_size=9),
    attempts=st.integers(0, 9),
    code=st.text(max_size=9),
    rid=st.text(max_size=9),
    message=st.text(max_size=9),
    next_try_at=st.none() | st.integers(0, 2**53),
    pages=st.lists(st.binary(max_size=40), max_size=3).map(tuple),
)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for name in ("spool", "tmp", "data"):
        (tmp_path / name).mkdir()
    return tmp_path


def a_record(number: int, **changed: Any) -> Record:
    values: dict[str, Any] = {
        "appid": "wx0000000000000001",
        "endpoint": "getuserread",
        "first": 739_000 + number,
        "last": 739_002 + number,
        "owned": ((739_000 + number, 739_002 + number),),
        "outcome": "answered",
        "fetched_at": number,
        "run_id": "run-1",
        "pages": (b"page %d " % number * 20,),
    }
    return Record(**{**values, **changed})


def only_file(lake: Path) -> Path:
    (path,) = (lake / "spool").iterdir()
    return path


@settings(max_examples=60)
@given(
    batches=st.lists(st.lists(RECORDS, min_size=1, max_size=6), min_size=1, max_size=4)
)
def test_every_record_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Record]]
) -> None:
    lake = tmp_path_factory.mktemp("lake")
    for name in ("spool", "tmp"):
        (lake / name).mkdir()
    written = Spool(Disk(lake))
    for batch in batches:
        written.append("group", batch)
    written.close()
    found = list(read_segment(only_file(lake)))
    key = attrgetter("endpoint")
    for batch in batches:  # endpoint after endpoint within each
        part, found = found[: len(batch)], found[len(batch) :]
        assert sorted(part, key=key) == sorted(batch, key=key)
    assert found == []


def test_an_endpoints_chunks_are_read_alone(lake: Path) -> None:
    written = Spool(Disk(lake))
    written.append(
        "g", [a_record(1), a_record(2, endpoint="getusersummary"), a_record(3)]
    )
    (segment,) = written.seal("g")
    chunks = {chunk.endpoint: chunk for chunk in segment.chunks}
    assert set(chunks) == {"getuserread", "getusersummary"}
    found = list(read_chunk(segment.path, chunks["getuserread"]))
    assert [record.fetched_at for record in found] == [1, 3]
    assert (chunks["getuserread"].first, chunks["getuserread"].last) == (
        739_001,
        739_003,
    )
    assert chunks["getuserread"].raw > chunks["getuserread"].stored


def test_what_the_writer_remembers_is_what_a_scan_finds(lake: Path) -> None:
    written = Spool(Disk(lake))
    for number in range(4):
        endpoints = ("getuserread", "getusersummary")[: number % 2 + 1]
        written.append("g", [a_record(number, endpoint=name) for name in endpoints])
    (segment,) = written.seal("g")
    found = scan(segment.path)
    assert (found.chunks, found.size, found.group) == (
        segment.chunks,
        segment.size,
        "g",
    )


def test_a_frame_torn_at_any_byte_is_left_out(lake: Path) -> None:
    written = Spool(Disk(lake))
    written.append("g", [a_record(1)])
    sound = only_file(lake).stat().st_size
    written.append("g", [a_record(2), a_record(3)])
    written.close()
    path = only_file(lake)
    whole = path.read_bytes()
    for length in range(sound, len(whole)):
        path.write_bytes(whole[:length])
        assert [record.fetched_at for record in read_segment(path)] == [1]


def test_a_torn_frame_whose_blocks_never_came_is_left_out(lake: Path) -> None:
    written = Spool(Disk(lake))
    written.append("g", [a_record(1)])
    written.close()
    path = only_file(lake)
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert [record.fetched_at for record in read_segment(path)] == [1]


@pytest.mark.parametrize("length", [0, 3, 8])
def test_a_segment_that_has_only_just_begun_is_empty(lake: Path, length: int) -> None:
    path = lake / "spool" / "000000000001-g.spool"
    path.write_bytes(b"HVSPOOL1"[:length])
    assert list(read_segment(path)) == []
    assert Spool(Disk(lake)).groups() == ["g"]


@pytest.mark.parametrize("place", ["start", "head", "middle"])
def test_damage_before_a_sound_frame_is_an_error_that_names_the_file(
    lake: Path, place: str
) -> None:
    written = Spool(Disk(lake))
    for number in range(3):
        written.append("g", [a_record(number)])
    written.close()
    path = only_file(lake)
    content = bytearray(path.read_bytes())
    content[{"start": 2, "head": 10, "middle": len(content) // 2}[place]] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match=rf"{path.name} is damaged at byte \d+"):
        list(read_segment(path))
    with pytest.raises(StorageError, match=path.name):
        Spool(Disk(lake))


def test_bytes_that_change_after_the_scan_are_noticed(lake: Path) -> None:
    written = Spool(Disk(lake))
    written.append("g", [a_record(1)])
    (segment,) = written.seal("g")
    content = bytearray(segment.path.read_bytes())
    content[-3] ^= 1
    segment.path.write_bytes(content)
    with pytest.raises(StorageError, match="is damaged"):
        list(read_chunk(segment.path, segment.chunks[0]))


def test_groups_are_apart_and_a_sealed_one_goes_on_in_a_new_segment(lake: Path) -> None:
    written = Spool(Disk(lake))
    written.append("a", [a_record(1)])
    written.append("b", [a_record(2)])
    sealed = written.seal("a")
    written.append("a", [a_record(3)])
    assert [
        record.fetched_at for one in sealed for record in read_segment(one.path)
    ] == [1]
    assert len(written.seal("a")) == 2
    written.retire(sealed)
    assert [path.name for path in sorted((lake / "spool").iterdir())] == [
        "000000000002-b.spool",
        "000000000003-a.spool",
    ]


def test_a_start_finds_what_a_dead_run_left_and_never_reuses_its_names(
    lake: Path,
) -> None:
    dead = Spool(Disk(lake))
    dead.append("b", [a_record(1)])
    dead.append("a", [a_record(2)])
    found = Spool(Disk(lake))
    assert found.groups() == ["b", "a"]
    found.append("b", [a_record(3)])
    assert len(found.seal("b")) == 2


def test_a_foreign_file_in_the_spool_is_left_alone(lake: Path) -> None:
    (lake / "spool" / "notes.txt").write_text("mine")
    assert Spool(Disk(lake)).groups() == []


@pytest.mark.parametrize("group", ["", "../a", "a/b", "A", ".a"])
def test_a_group_that_could_leave_the_spool_is_refused(lake: Path, group: str) -> None:
    with pytest.raises(ValueError, match="not a group's name"):
        Spool(Disk(lake)).append(group, [a_record(1)])


def test_segments_are_for_the_lakes_owner_alone(lake: Path) -> None:
    Spool(Disk(lake)).append("g", [a_record(1)])
    assert only_file(lake).stat().st_mode & 0o777 == 0o600


def test_a_full_disk_refuses_the_append_and_keeps_what_was_there(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Spool(Disk(lake))
    written.append("g", [a_record(1)])
    real = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(StorageError, match="the disk is full"):
            written.append("g", [a_record(2)])
    written.append("g", [a_record(3)])
    segments = written.seal("g")
    found = [record.fetched_at for one in segments for record in read_segment(one.path)]
    assert found == [1, 3]


def test_after_a_failed_sync_nothing_more_is_promised(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Spool(Disk(lake))
    written.append("g", [a_record(1)])

    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fails)
        with pytest.raises(StorageError, match="I/O error"):
            written.append("g", [a_record(2)])
    with pytest.raises(StorageError, match="I/O error"):
        written.append("g", [a_record(3)])


def test_a_segment_that_cannot_be_read_is_a_storage_error(lake: Path) -> None:
    path = lake / "spool" / "000000000001-g.spool"
    path.mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        spool.scan(path)
