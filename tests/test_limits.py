"""An account is asked evenly, more slowly after a complaint, and recovers."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.api.limits import SLOWEST, STEP_SECONDS, Pace


class Leaping(selectors.DefaultSelector):
    """Instead of waiting it moves the loop's clock."""

    leapt = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.leapt += (timeout or 0.0) + 1e-7  # time stands still for nobody
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.leaping = Leaping()
        super().__init__(self.leaping)

    def time(self) -> float:
        return self.leaping.leapt


def run(scene: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(scene())


def now() -> float:
    return asyncio.get_running_loop().time()


async def starts(pace: Pace, calls: int) -> list[float]:
    """The moments at which so many calls, all waiting at once, may start."""
    moments: list[float] = []

    async def one() -> None:
        await pace.wait()
        moments.append(now())

    await asyncio.gather(*(one() for _ in range(calls)))
    return moments


@pytest.mark.parametrize("rate", [0.05, 0.5, 1.0, 10.0])
def test_calls_are_spaced_evenly_and_never_in_bursts(rate: float) -> None:
    async def scene() -> list[float]:
        return await starts(Pace(rate), 20)

    moments = run(scene)
    assert moments == pytest.approx([i / rate for i in range(20)], rel=1e-3, abs=1e-3)


def test_a_starved_loop_does_not_catch_up_in_a_burst() -> None:
    async def scene() -> list[float]:
        pace = Pace(10)
        await starts(pace, 3)
        asyncio.get_running_loop().leaping.leapt += 2.0  # type: ignore[attr-defined]
        before = now()
        return [moment - before for moment in await starts(pace, 4)]

    assert run(scene) == pytest.approx([0.0, 0.1, 0.2, 0.3], abs=1e-3)


def test_slower_halves_the_rate_down_to_a_floor() -> None:
    async def scene() -> list[float]:
        pace = Pace(1.0)
        rates = []
        for _ in range(6):
            pace.slower()
            rates.append(pace.rate)
        return rates

    assert run(scene) == [0.5, 0.25, 0.125, 0.0625, SLOWEST, SLOWEST]


def test_a_rate_below_the_floor_stays_as_it_was_configured() -> None:
    async def scene() -> float:
        pace = Pace(0.01)
        pace.slower()
        return pace.rate

    assert run(scene) == 0.01


def test_calls_that_complain_together_slow_down_once() -> None:
    async def scene() -> float:
        pace = Pace(8.0)
        seen = pace.rate
        for _ in range(4):
            pace.slower(seen)
        return pace.rate

    assert run(scene) == 4.0


def test_who_waits_already_waits_at_the_slower_rate() -> None:
    async def scene() -> list[float]:
        pace = Pace(1.0)
        await pace.wait()
        waiting = asyncio.create_task(starts(pace, 3))
        await asyncio.sleep(0.5)
        pace.slower()
        return await waiting

    assert run(scene) == pytest.approx([3.0, 5.0, 7.0], abs=0.01)


def test_success_raises_the_rate_step_by_step_up_to_the_configured_one() -> None:
    async def scene() -> list[float]:
        pace = Pace(8.0)
        pace.slower()
        pace.slower()
        rates = [pace.rate]
        for _ in range(3):
            pace.faster()
            rates.append(pace.rate)
            await asyncio.sleep(STEP_SECONDS)
        pace.faster()
        assert not pace.slowed
        return [*rates, pace.rate]

    assert run(scene) == [2.0, 2.0, 4.0, 8.0, 8.0]


@settings(deadline=None, max_examples=30)
@given(
    st.floats(0.05, 50),
    st.lists(st.sampled_from(["slower", "faster", "wait"]), max_size=30),
)
def test_the_configured_rate_is_never_exceeded(rate: float, moves: list[str]) -> None:
    async def scene() -> list[float]:
        pace = Pace(rate)
        moments = []
        for move in moves:
            if move == "wait":
                await pace.wait()
                moments.append(now())
            else:
                getattr(pace, move)()
        return moments

    moments = run(scene)
    gaps = [after - before for before, after in pairwise(moments)]
    assert all(gap >= 0.999 / rate for gap in gaps)
