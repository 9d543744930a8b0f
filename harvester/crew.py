"""Callers with nothing to do: they wait, and are woken one at a time.

One wake-up a finished call is enough, because whoever finds a call wakes the next
one; waking all of them would cost more than the call.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable

import anyio


class Crew:
    """Who rests. `next_at` says when a paced account's time comes, if one waits."""

    def __init__(self, next_at: Callable[[], float | None]) -> None:
        self._next_at = next_at
        self._idle: deque[anyio.Event] = deque()
        self._alarm: asyncio.Handle | None = None
        self._alarm_at = math.inf

    async def rest(self) -> None:
        """Waits until a call ends somewhere, or a paced account's time has come."""
        wake = anyio.Event()
        self._idle.append(wake)
        self._set_alarm()
        await wake.wait()

    def wake_one(self) -> None:
        """There may be something to do."""
        if self._idle:
            self._idle.popleft().set()

    def wake_all(self) -> None:
        """There will be nothing to do any more."""
        while self._idle:
            self.wake_one()

    def _set_alarm(self) -> None:
        at = self._next_at()
        if at is None or at >= self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm_at = math.inf
        self.wake_one()
