"""Answers on their way to disk: durable in small groups, then built into files.

The loop hands records over and goes on; one thread makes them durable, another
builds files. Whoever starts a call holds a slot until its answer is durable, so
that a crash costs a bounded number of calls whatever the disk does.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol

import anyio
from anyio import CapacityLimiter, Event, Semaphore, to_thread

from harvester.lake.build.builder import Built
from harvester.lake.spool import Record

MOST = 256
"""Answers that may be neither durable nor refused."""

BATCH = 128
SETTLE_SECONDS = 1.0
"""A batch is made durable when it is this large, or its first answer this old."""

EARLY_BYTES = 256 * 1024 * 1024
"""Payload of a group from which its files are built before its last account is in."""

RECORD_BYTES = 4096
"""What a record counts beside its payload, so that small ones add up as well."""

BACKLOG = 4
"""Groups that may wait to be built before calls wait for the disk."""


class Shelf(Protocol):
    """What the lake offers: both calls block and belong in a thread."""

    def put_away(self, group: str, records: Sequence[Record]) -> None: ...

    def build(self, group: str, *, wanted: Callable[[], bool]) -> Built: ...


class Intake:
    """The two queues between the calls and the disk."""

    def __init__(
        self, shelf: Shelf, built: Callable[[Built], None], *, most: int = MOST
    ) -> None:
        self._shelf = shelf
        self._built = built
        self._slots = Semaphore(most, fast_acquire=True)
        self._pending: list[tuple[str, Record]] = []
        self._held_slots = 0
        self._unbuilt: Counter[str] = Counter()
        self._finished: list[str] = []
        self._to_build: deque[str] = deque()
        self._something = Event()
        self._enough = Event()
        self._buildable = Event()
        self._caught_up = Event()
        self._closing = False
        self._hurry = False

    async def slot(self) -> None:
        """Waits until one more answer may be under way."""
        while len(self._to_build) > BACKLOG:
            await self._caught_up.wait()
        await self._slots.acquire()

    def put(self, group: str, record: Record, *, slot: bool = True) -> None:
        """Takes a record; `slot`: in place of the slot that its call holds."""
        self._pending.append((group, record))
        self._held_slots += slot
        self._unbuilt[group] += RECORD_BYTES + sum(map(len, record.pages))
        self._something.set()
        if len(self._pending) >= BATCH:
            self._enough.set()
        if self._unbuilt[group] > EARLY_BYTES:
            self.build(group)

    def release(self) -> None:
        """Gives a slot back: the call ended without anything to keep."""
        self._slots.release()

    def build(self, group: str) -> None:
        """Builds the group's files once all that was put so far is durable."""
        if self._unbuilt.pop(group, 0):
            self._finished.append(group)
            self._something.set()

    def build_all(self) -> None:
        """Builds every group that something was put into since it was built."""
        for group in list(self._unbuilt):
            self.build(group)

    def hurry(self) -> None:
        """Leaves to the next run what is not built yet."""
        self._hurry = True

    def close(self) -> None:
        """Nothing more will come."""
        self._closing = True
        self._something.set()
        self._enough.set()

    async def run(self) -> None:
        """Makes durable and builds until closed. Raises StorageError."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep)
            tasks.start_soon(self._build)

    async def _keep(self) -> None:
        thread = CapacityLimiter(1)
        while self._pending or self._finished or not self._closing:
            await self._something.wait()
            with anyio.move_on_after(SETTLE_SECONDS):
                await self._enough.wait()
            self._something, self._enough = Event(), Event()
            batch, self._pending = self._pending, []
            slots, self._held_slots = self._held_slots, 0
            groups, self._finished = self._finished, []
            if batch:
                await to_thread.run_sync(self._put_away, batch, limiter=thread)
            for _ in range(slots):
                self._slots.release()
            self._to_build.extend(groups)
            self._buildable.set()
            if self._closing:
                self.close()
        self._to_build.append("")
        self._buildable.set()

    def _put_away(self, batch: list[tuple[str, Record]]) -> None:
        for group in Counter(name for name, _ in batch):
            records = [record for name, record in batch if name == group]
            self._shelf.put_away(group, records)

    async def _build(self) -> None:
        thread = CapacityLimiter(1)
        while True:
            while not self._to_build:
                self._buildable = Event()
                await self._buildable.wait()
            group = self._to_build.popleft()
            if not group:
                return
            if not self._hurry:
                self._built(
                    await to_thread.run_sync(self._files, group, limiter=thread)
                )
            self._caught_up.set()
            self._caught_up = Event()

    def _files(self, group: str) -> Built:
        return self._shelf.build(group, wanted=lambda: not self._hurry)
