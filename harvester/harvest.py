"""A harvest from end to end: the lake opened, the run over what is missing, its end.

`opened` assembles: it takes the lake's lock and builds what a dead run left. The
configuration comes no further than this module and `wishes`: below travel plain values.
"""

import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import structlog

from harvester.api.client import Client
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.vault import opened as opened_vault
from harvester.api.wire import Counters, Wire
from harvester.config.models import Config
from harvester.config.settings import Loaded
from harvester.coverage import coverage
from harvester.errors import StorageError, UsageError
from harvester.forecast import forecast
from harvester.lake.build.builder import Built, Recipe
from harvester.lake.store import Store
from harvester.plan import Known
from harvester.quota import Budget
from harvester.results import Stamp
from harvester.run import SIGNALS, Bounds, Manner, Run, Stop
from harvester.secret import Secret
from harvester.settling import settled
from harvester.summary import Facts, exit_code, summary
from harvester.survey import Survey
from harvester.tally import Tally
from harvester.wishes import Wanted

JITTER_MINUTES = (1, 30)
PROGRESS_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `planned` is None where nobody counted."""

    calls: int
    per_second: float
    planned: int | None
    rows: int
    accounts_done: int
    failures: int


Show = Callable[[Progress], None]


def _unseen(_: Progress) -> None:
    pass


def confirmed(loaded: Loaded, wanted: Wanted, *, yes: bool) -> int | None:
    """The calls to be made; None: a confirmed run that nobody counted.

    Raises UsageError when they are more than `limits.confirm_calls` without `yes`.
    """
    most = loaded.config.limits.confirm_calls
    found = forecast(
        wanted.survey, wanted.quotas, enough=lambda so_far: so_far.calls > most
    )
    if found.calls <= most:
        return found.calls
    if yes:
        return None
    raise UsageError(
        f"the run would make more than limits.confirm_calls = {most:,} calls",
        "look at `harvester plan`, then run with --yes",
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: the object for programs, and the code for the shell."""

    summary: dict[str, Any]
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a run goes about it."""

    run_id: str
    max_minutes: float | None = None
    planned: int | None = None
    show: Show = _unseen
    demo: bool = False
    """The lake is a demo's, and the next demo may replace it."""


def harvest(loaded: Loaded, wanted: Wanted, order: Order) -> Ended:
    """Fetches what is missing and says how it went.

    Raises LockedError, UsageError or StorageError before the first call; a disk
    that fails later ends the run, and the summary says so.
    """
    started_at = wanted.clock()
    structlog.contextvars.bind_contextvars(run_id=order.run_id)
    with opened(loaded, wanted, order) as (store, recovered):
        survey = replace(wanted.survey, ledger=store.ledger)
        running = partial(_run, loaded.config, wanted, survey, order, store)
        fast = find_spec("uvloop") is not None
        outcome = anyio.run(running, backend_options={"use_uvloop": fast})
        outcome.tally.take_over(recovered)
        facts = _facts(wanted, survey, order, outcome, started_at)
        found = summary(outcome.tally, facts)
        if outcome.stopped.reason != "storage":
            store.write_summary(order.run_id, found)
            store.fold(partial(_settled, wanted))
        return Ended(found, exit_code(outcome.tally, facts))


def _settled(wanted: Wanted, endpoint_id: str, entry: Known) -> bool:
    endpoint = wanted.catalogue.endpoints.get(endpoint_id)
    return endpoint is not None and settled(endpoint, entry, wanted.survey.policy)


@contextmanager
def opened(
    loaded: Loaded, wanted: Wanted, order: Order
) -> Iterator[tuple[Store, Built]]:
    """The lake, locked, writable and whole, and what a dead run had left to build.

    Raises LockedError, StorageError, UsageError.
    """
    lake = loaded.config.lake
    recipe = Recipe(
        endpoints=wanted.catalogue.endpoints,
        catalogue_version=wanted.catalogue.version,
        run_id=order.run_id,
        memory_mb=lake.memory_mb,
        compression=lake.compression,
    )
    layout = wanted.survey.layout
    with Store.open(Path(lake.path), layout, recipe, demo=order.demo) as store:
        yield store, store.recover()


@dataclass(frozen=True, slots=True)
class _Outcome:
    tally: Tally
    stopped: Stop
    counters: Counters


async def _run(
    config: Config, wanted: Wanted, survey: Survey, order: Order, store: Store
) -> _Outcome:
    jitter = timedelta(minutes=random.uniform(*JITTER_MINUTES))  # noqa: S311 - no secret
    async with connected(config) as (wire, client):
        manner = Manner(
            Bounds(config.limits.in_flight, config.limits.total_in_flight),
            Stamp(order.run_id, jitter),
            Budget(wanted.quotas),
            wanted.beliefs,
        )
        run = Run(survey, client, store, manner, wanted.clock)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_heed_signals, run)
                tasks.start_soon(_heed_time, run, order.max_minutes)
                tasks.start_soon(_show_progress, run, wire.counters, order)
                await run.run()
                tasks.cancel_scope.cancel()
        except* StorageError as group:
            run.stopped = Stop("storage", str(_first(group)))
        return _Outcome(run.tally, run.stopped, wire.counters)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def connected(config: Config) -> AsyncIterator[tuple[Wire, Client]]:
    """The wire, the vault and the client. Raises UsageError or StorageError."""
    limits = config.limits
    urls = (config.api.url, *config.api.fallback_urls)
    async with (
        opened_vault(config.vault.url, keys=config.vault.key) as vault,
        Wire(
            urls,
            timeout_seconds=config.api.timeout_seconds,
            connections=limits.total_in_flight,
        ) as wire,
    ):
        tokens = Tokens(wire, vault, _platform(config))
        yield wire, Client(wire, tokens, calls_per_second=limits.calls_per_second)


def _platform(config: Config) -> Platform | None:
    given = config.platform
    if given is None:
        return None
    return Platform(
        appid=given.appid or "",
        secret=given.secret,
        ticket=_ticket(given.ticket),
        token_url=given.token_url or "",
        token_headers=given.token_headers,
    )


def _ticket(read: Callable[[], Secret] | None) -> Callable[[], str]:
    return (lambda: read().reveal()) if read else (lambda: "")


async def _heed_signals(run: Run) -> None:
    """The first signal stops in good order, the second one at once."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            if run.stopped.reason in SIGNALS:
                os._exit(
                    SIGNALS[number.name]
                )  # threads on the disk cannot be cancelled
            run.stop(number.name)


async def _heed_time(run: Run, minutes: float | None) -> None:
    if minutes is not None:
        await anyio.sleep(minutes * 60)
        run.stop("time")


async def _show_progress(run: Run, counters: Counters, order: Order) -> None:
    begun = anyio.current_time()
    while True:
        tally = run.tally
        seconds = max(anyio.current_time() - begun, PROGRESS_SECONDS)
        order.show(
            Progress(
                calls=counters.calls,
                per_second=counters.calls / seconds,
                planned=order.planned,
                rows=tally.rows,
                accounts_done=len(run.accounts_done),
                failures=sum(failure.count for failure in tally.failures.values()),
            )
        )
        await anyio.sleep(PROGRESS_SECONDS)


def _facts(
    wanted: Wanted, survey: Survey, order: Order, outcome: _Outcome, started: datetime
) -> Facts:
    covered = coverage(survey)
    return Facts(
        run_id=order.run_id,
        started_at=started,
        ended_at=wanted.clock(),
        calls=outcome.counters.calls,
        retries=outcome.counters.retries,
        token_refreshes=outcome.counters.token_refreshes,
        stopped=outcome.stopped.reason,
        stop_message=outcome.stopped.message,
        accounts=len(survey.accounts),
        until_not_ready=wanted.until_not_ready,
        pending=covered.pending,
        accounts_behind=covered.accounts_behind,
        narrowed=wanted.beliefs.told(),
        complete_until={
            endpoint: line.complete_until for endpoint, line in covered.lines.items()
        },
    )
