"""How fast one account is asked: evenly, slower after a complaint, then faster again."""

import asyncio
from collections.abc import Callable

from aiolimiter import AsyncLimiter

SLOWEST = 0.05
"""Calls a second below which nobody is slowed down."""

STEP_SECONDS = 60.0
"""A slowed account has to do well this long before its rate doubles."""


class Pace:
    """Spaces the calls of one account evenly; rates below one a second work.

    A bucket of one call lets nothing through in bursts: a larger one lets up to
    2 × rate − 1 calls into its first second. Only `slower` and `faster` change the
    rate, and who waits at the old one waits again at the new one.
    """

    def __init__(
        self, calls_per_second: float, clock: Callable[[], float] | None = None
    ) -> None:
        self._most = calls_per_second
        self._clock = clock or asyncio.get_running_loop().time
        self._changed = 0.0
        self._prefill = False
        self._set(calls_per_second)

    @property
    def slowed(self) -> bool:
        """Whether it is slower than configured."""
        return self.rate < self._most

    async def wait(self) -> None:
        """Waits until the account may start its next call."""
        while True:
            limiter = self._limiter
            if self._prefill:  # a new bucket is empty and would let one through at once
                self._prefill = False
                await limiter.acquire()
            await limiter.acquire()
            if limiter is self._limiter:
                return

    def slower(self, seen: float | None = None) -> None:
        """Halves the rate, unless it is no longer the one that the caller has `seen`.

        Calls that were under way together complain together: one halving is meant.
        """
        if seen is None or seen == self.rate:
            self._change(max(min(SLOWEST, self._most), self.rate / 2))

    def faster(self) -> None:
        """Doubles the rate up to the configured one, once it has held for a while."""
        if self.slowed and self._clock() - self._changed >= STEP_SECONDS:
            self._change(min(self._most, self.rate * 2))

    def _change(self, rate: float) -> None:
        self._changed = self._clock()
        self._prefill = True
        self._set(rate)

    def _set(self, rate: float) -> None:
        self.rate = rate
        self._limiter = AsyncLimiter(1, 1 / rate)
