"""Splitting dates into windows and planning, beside a naive loop over days.

    python benchmarks/bench_split.py [--large]

Less than a minute; `--large` adds 100,000 accounts, several minutes.
"""

import argparse
import resource
import sys
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice, product
from time import perf_counter

from harvester import dates, plan, settling
from harvester.catalogue.endpoint import Endpoint
from harvester.catalogue.load import catalogue
from harvester.dates import Days, Range
from harvester.plan import Known, Outcome, Policy

CLASSIC = dates.parse("2014-12-01")
YEARS = ((CLASSIC, CLASSIC + 3652),)
"""Ten years without a hole."""

HOLES = dates.subtract(
    YEARS, dates.of((CLASSIC + 20 * k, CLASSIC + 20 * k + k % 8) for k in range(183))
)
ALTERNATE = dates.singles(range(CLASSIC, CLASSIC + 3652, 2))
SETS = {"10 years": YEARS, "183 holes": HOLES, "every other day": ALTERNATE}

POLICY = Policy(
    since=CLASSIC,
    until=YEARS[0][1],
    now=datetime(2024, 12, 8, 9, 0, tzinfo=dates.CHINA),
)


def naive(wanted: Days, span: int) -> Iterator[tuple[date, date]]:
    """The loop that everyone writes first: list the dates, group them day by day."""
    days = [date.fromordinal(day) for day in dates.each(wanted)]
    first = last = days[0]
    for day in days[1:]:
        if (day - first).days >= span:
            yield first, last
            first = day
        last = day
    yield first, last


def rate(make: Callable[[], Iterable[object]]) -> float:
    """Items a second, over a quarter of a second."""
    start, made = perf_counter(), 0
    while perf_counter() - start < 0.25:
        made += len(list(make()))
    return made / (perf_counter() - start)


def split_table() -> None:
    print(f"{'windows/s':<18}{'span':>5}{'windows':>9}{'cover':>13}{'naive':>11}")
    for (name, wanted), span in product(SETS.items(), (1, 7, 30)):
        quick = rate(partial(dates.cover, wanted, span))
        slow = rate(partial(naive, wanted, span))
        count = dates.count_windows(wanted, span)
        print(f"{name:<18}{span:>5}{count:>9,}{quick:>13,.0f}{slow:>11,.0f}")


def endpoints() -> list[Endpoint]:
    """The seventeen that reach back ten years."""
    every = catalogue().endpoints.values()
    return [endpoint for endpoint in every if endpoint.earliest == CLASSIC]


def missing(selected: list[Endpoint]) -> list[tuple[Endpoint, Days]]:
    """One account's missing days, as for every other: nothing is held yet."""
    wanted = (
        plan.wanted(endpoint, POLICY.since, POLICY.until, POLICY.last_ready)
        for endpoint in selected
    )
    return [
        (endpoint, settling.missing(endpoint, (), days, POLICY))
        for endpoint, days in zip(selected, wanted, strict=True)
    ]


def forecast(accounts: int, selected: list[Endpoint]) -> int:
    return sum(
        plan.count_calls(endpoint, days, POLICY)
        for _ in range(accounts)
        for endpoint, days in missing(selected)
    )


def all_windows(accounts: int, selected: list[Endpoint]) -> Iterator[Range]:
    for _ in range(accounts):
        for endpoint, days in missing(selected):
            span = plan.longest(endpoint, wide=POLICY.wide_windows)
            yield from dates.newest_first(days, span)


def all_calls(accounts: int, selected: list[Endpoint]) -> Iterator[plan.Call]:
    for number in range(accounts):
        for endpoint, days in missing(selected):
            yield from plan.calls(f"wx{number:016x}", endpoint, days, POLICY)


def windows_streamed(accounts: int, selected: list[Endpoint]) -> None:
    deque(all_windows(accounts, selected), maxlen=0)


def calls_streamed(accounts: int, selected: list[Endpoint]) -> None:
    deque(all_calls(accounts, selected), maxlen=0)


ROWS = (
    (forecast, 1_000),
    (forecast, 10_000),
    (windows_streamed, 1_000),
    (windows_streamed, 10_000),
    (calls_streamed, 10),
    (calls_streamed, 100),
)
LARGE_ROWS = (
    (forecast, 100_000),
    (windows_streamed, 100_000),
    (calls_streamed, 1_000),
)


def peak_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def plan_table(rows: Iterable[tuple[Callable[..., object], int]]) -> None:
    selected = endpoints()
    each = forecast(1, selected)
    print(f"\nplanning {len(selected)} endpoints, 10 years, nothing held")
    print(
        f"{'':<18}{'accounts':>9}{'windows':>15}{'seconds':>9}{'windows/s':>15}"
        f"{'RSS +MB':>9}{'RSS MB':>8}"
    )
    for work, accounts in rows:
        before, start = peak_mb(), perf_counter()
        work(accounts, selected)
        seconds, after = perf_counter() - start, peak_mb()
        print(
            f"{work.__name__:<18}{accounts:>9,}{each * accounts:>15,}{seconds:>9.2f}"
            f"{each * accounts / seconds:>15,.0f}{after - before:>9.1f}{after:>8.0f}"
        )


def memory_line() -> None:
    selected = endpoints()
    tracemalloc.start()
    deque(islice(all_calls(3, selected), 60_000), maxlen=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"\npeak of Python's memory over 60,000 calls: {peak / 1024:,.0f} KiB")


def ledger_line() -> None:
    """An account harvested every night for a year: an entry a night."""
    first = YEARS[0][1] - 364
    nine = POLICY.now - timedelta(days=YEARS[0][1] - first)
    known = [
        Known(first + n, first + n, Outcome.HELD, nine + timedelta(days=n))
        for n in range(365)
    ]
    endpoint = endpoints()[0]
    wanted = plan.wanted(endpoint, first, POLICY.until, POLICY.last_ready)
    start = perf_counter()
    for _ in range(100):
        assert settling.missing(endpoint, known, wanted, POLICY) == ()
    each = (perf_counter() - start) / 100 / len(known)
    print(f"what the ledger knows: {each * 1e6:.2f} µs an entry")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="100,000 accounts too")
    arguments = parser.parse_args()
    split_table()
    plan_table((*ROWS, *LARGE_ROWS) if arguments.large else ROWS)
    memory_line()
    ledger_line()
