"""Answers on their way to disk: bounded, durable before they are built, never lost."""

import threading
from collections.abc import Callable, Sequence

import anyio
import anyio.lowlevel
import pytest

from harvester.errors import StorageError
from harvester.intake import BACKLOG, Intake
from harvester.lake.build.builder import Built
from harvester.lake.spool import Record


class Shelf:
    """A lake in memory that says what it was asked, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def put_away(self, group: str, records: Sequence[Record]) -> None:
        if self.fails:
            raise StorageError("the disk is full")
        self.log.append(("durable", group, len(records)))

    def build(self, group: str, *, wanted: Callable[[], bool]) -> Built:
        self.gate.wait(5)
        if wanted():
            self.log.append(("built", group, 0))
        return Built(rows=1)


def record(pages: tuple[bytes, ...] = ()) -> Record:
    return Record(
        appid="wx0123456789abcdef",
        endpoint="getusersummary",
        first=1,
        last=1,
        owned=((1, 1),),
        outcome="answered",
        fetched_at=1,
        run_id="r",
        pages=pages,
    )


async def test_everything_is_durable_before_its_group_is_built() -> None:
    shelf, built = Shelf(), list[Built]()
    intake = Intake(shelf, built.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(intake.run)
        for group in ("a", "b", "a"):
            await intake.slot()
            intake.put(group, record())
        intake.build("a")
        intake.close()
    kinds = [(kind, group) for kind, group, _ in shelf.log]
    assert kinds.index(("durable", "a")) < kinds.index(("built", "a"))
    assert ("durable", "b") in kinds
    assert ("built", "b") not in kinds, "nobody asked for it"
    assert len(built) == 1


async def test_whatever_was_put_is_built_at_the_end() -> None:
    shelf = Shelf()
    intake = Intake(shelf, lambda _: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(intake.run)
        for group in ("a", "b"):
            await intake.slot()
            intake.put(group, record())
        intake.build_all()
        intake.close()
    assert {group for kind, group, _ in shelf.log if kind == "built"} == {"a", "b"}


async def test_no_more_answers_are_under_way_than_there_are_slots() -> None:
    shelf = Shelf()
    intake = Intake(shelf, lambda _: None, most=3)
    for _ in range(3):
        await intake.slot()
    with anyio.move_on_after(0) as waited:
        await intake.slot()
    assert waited.cancelled_caught
    intake.release()
    await intake.slot()


async def test_a_slot_comes_back_when_its_answer_is_durable() -> None:
    shelf = Shelf()
    intake = Intake(shelf, lambda _: None, most=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(intake.run)
        for _ in range(3):
            with anyio.fail_after(5):
                await intake.slot()
            intake.put("a", record())
        intake.close()
    assert sum(count for _, _, count in shelf.log) == 3


async def test_a_record_without_a_call_of_its_own_gives_no_slot_back() -> None:
    shelf = Shelf()
    intake = Intake(shelf, lambda _: None, most=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(intake.run)
        await intake.slot()
        intake.put("a", record(), slot=False)
        intake.close()
    with anyio.move_on_after(0) as waited:
        await intake.slot()
    assert waited.cancelled_caught


async def test_calls_wait_when_the_disk_falls_behind() -> None:
    shelf = Shelf()
    shelf.gate.clear()
    intake = Intake(shelf, lambda _: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(intake.run)
        for number in range(BACKLOG + 3):
            await intake.slot()
            intake.put(f"g{number}", record())
            intake.build(f"g{number}")
        with anyio.move_on_after(5) as waited:
            while True:
                with anyio.move_on_after(0.01) as held:
                    await intake.slot()
                if held.cancelled_caught:
                    break
                intake.release()
                await anyio.lowlevel.checkpoint()  # the disk's tasks have to run
        assert not waited.cancelled_caught
        shelf.gate.set()
        intake.close()


async def test_a_large_group_is_built_before_its_last_account_is_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harvester.intake.EARLY_BYTES", 10_000)
    shelf = Shelf()
    intake = Intake(shelf, lambda _: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(intake.run)
        for _ in range(4):
            await intake.slot()
            intake.put("a", record((b"x" * 4000,)))
        intake.close()
    assert ("built", "a", 0) in shelf.log


async def test_in_a_hurry_the_next_run_builds_what_is_left() -> None:
    shelf = Shelf()
    intake = Intake(shelf, lambda _: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(intake.run)
        await intake.slot()
        intake.put("a", record())
        intake.build_all()
        intake.hurry()
        intake.close()
    assert [kind for kind, _, _ in shelf.log] == ["durable"]


async def test_a_full_disk_ends_it_all() -> None:
    shelf = Shelf()
    shelf.fails = True
    intake = Intake(shelf, lambda _: None)
    with pytest.raises(ExceptionGroup) as met:  # noqa: PT012 - one group of tasks
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(intake.run)
            await intake.slot()
            intake.put("a", record())
            intake.close()
    assert met.group_contains(StorageError)
