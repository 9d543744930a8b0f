"""The run: plan → calls → spool → tables → files → ledger, under one task group.

A fixed set of callers takes calls from the dispatch, asks them, and hands what comes
back to the intake, which makes it durable and builds files beside the loop. A refusal
is a value: it is written down, closes what it speaks of, and the others go on.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import anyio
import structlog

from harvester import dates, results
from harvester.accounts import Account
from harvester.api.client import Answer, Client
from harvester.api.codes import Decision, Refusal
from harvester.beliefs import Beliefs
from harvester.crew import Crew
from harvester.dispatch import Dispatch
from harvester.intake import MOST, Intake, Shelf
from harvester.lake.ledger.ledger import EVERYONE
from harvester.lanes import Lane, Work
from harvester.plan import Call, calls
from harvester.quota import SPENT, Budget
from harvester.results import CONSEQUENCES, PROVES_ACCESS, Stamp
from harvester.standing import Standing, ends_run, reach
from harvester.survey import Survey
from harvester.tally import OUT_OF_REACH, Tally

log = structlog.get_logger()

GRACE_SECONDS = 2.0
"""How long calls under way may still finish after a stop."""

BUILD_SECONDS = 6.0
"""How long after a signal files are built; the next run builds the rest."""

SIGNALS = {"SIGINT": 130, "SIGTERM": 143}
"""Signals that end a run in good order, and its exit code then."""

SKEW_SECONDS = 600
SLOW_DOWNS = 3
OUTAGE = 20
"""Refusals by the network in a row, of anybody, that end a run."""

TOO_EARLY_ACCOUNTS, TOO_EARLY_SHARE = 20, 0.05
"""Accounts that find windows ending yesterday out of range before the clock is doubted."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be under way."""

    in_flight: int
    total_in_flight: int


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run goes about it."""

    bounds: Bounds
    stamp: Stamp
    budget: Budget
    beliefs: Beliefs


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended early: a signal's name, `time`, `outage`, `clock`, `refused`."""

    reason: str = ""
    message: str = ""
    """For a person: what happened, and what to do."""


WORDS = {
    "SIGINT": "interrupted: what was fetched is put away; run again for the rest",
    "SIGTERM": "terminated: what was fetched is put away; run again for the rest",
    "time": "--max-minutes is over: run again for the rest",
    "outage": "WeChat cannot be reached: run again later",
    "clock": "this machine's clock disagrees with WeChat's: set it, then run again",
}


WEIGHTS = {
    "": 0,
    "time": 1,
    "outage": 2,
    "refused": 3,
    "clock": 3,
    "SIGINT": 5,
    "SIGTERM": 5,
}
"""What counts when a run has several reasons to end: the order of the exit codes."""


class Run:
    """One run over a survey. `run` returns when everything that came is in the lake."""

    def __init__(
        self,
        survey: Survey,
        client: Client,
        shelf: Shelf,
        manner: Manner,
        clock: Callable[[], datetime],
    ) -> None:
        self.tally = Tally()
        self.stopped = Stop()
        self.accounts_done: set[str] = set()
        self._survey = survey
        self._accounts: Mapping[str, Account] = {a.appid: a for a in survey.accounts}
        self._client = client
        self._bounds = manner.bounds
        self._stamp = manner.stamp
        self._budget = manner.budget
        self._beliefs = manner.beliefs
        self._narrowing: dict[tuple[str, str], int] = {}
        self._clock = clock
        self._standing = Standing()
        self._intake = Intake(
            shelf, self.tally.build, most=max(MOST, manner.bounds.total_in_flight)
        )
        self._dispatch = Dispatch(
            filter(self._opened, survey.works()),
            in_flight=manner.bounds.in_flight,
            active=2 * manner.bounds.total_in_flight,
        )
        self._crew = Crew(self._dispatch.next_at)
        self._callers = anyio.CancelScope()
        self._slowed: Counter[str] = Counter()
        self._out_of_reach = 0
        self._too_early: set[str] = set()

    async def run(self) -> None:
        """Asks everything that is missing. Raises StorageError."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._intake.run)
            with self._callers:
                async with anyio.create_task_group() as callers:
                    for _ in range(self._callers_needed()):
                        callers.start_soon(self._call)
            self._tidy()
            self._intake.build_all()
            self._intake.close()

    def stop(self, reason: str, message: str = "") -> None:
        """Starts no call any more; those under way get a moment to finish.

        Of several reasons the one that weighs more is told.
        """
        loop = asyncio.get_running_loop()
        if reason in SIGNALS:
            loop.call_later(BUILD_SECONDS, self._intake.hurry)
        first = not self.stopped.reason
        if WEIGHTS[reason] > WEIGHTS[self.stopped.reason]:
            self.stopped = Stop(reason, message or WORDS[reason])
        if not first:
            return
        self._dispatch.stop()
        self._crew.wake_all()
        loop.call_later(GRACE_SECONDS, self._callers.cancel)

    def _callers_needed(self) -> int:
        most = self._bounds.in_flight * len(self._survey.accounts)
        return max(1, min(self._bounds.total_in_flight, most))

    async def _call(self) -> None:
        while not self._dispatch.finished:
            call = self._dispatch.take(self._time())
            self._tidy()
            if call is None:
                if not self._dispatch.finished:
                    await self._crew.rest()
                continue
            self._crew.wake_one()  # there may be more where this came from
            await self._intake.slot()
            self._settle(call, await self._asked(call))
            self._crew.wake_one()
        self._crew.wake_all()

    async def _asked(self, call: Call) -> Answer | Refusal:
        account = self._accounts[call.appid]
        ask = partial(self._client.quota, account, call.endpoint)
        if not await self._budget.admits(call, ask):
            return SPENT
        result = await self._client.ask(call, account)
        self._budget.spend(call, result.attempts)
        return result

    def _settle(self, call: Call, result: Answer | Refusal) -> None:
        if isinstance(result, Answer):
            self._answered(call, result)
        else:
            self._refused(call, result)
        self._doubt_the_clock()

    def _answered(self, call: Call, answer: Answer) -> None:
        self.tally.answer(call, answer.attempts)
        self._slowed.pop(call.appid, None)
        self._out_of_reach = 0
        singly = results.absent(call, answer)
        if singly and not self.stopped.reason:
            self._dispatch.put_back(call, *singly)
        self._believe(call)
        held = results.without(call, singly) if singly else call
        record = results.answered(held, answer, self._stamp, self._clock())
        self._intake.put(self._dispatch.group(call.appid), record)
        self._dispatch.finish(call, answered=True, now=self._time())

    def _believe(self, call: Call) -> None:
        """A window worked where a longer one had failed: the others shrink as well."""
        span = self._narrowing.get((call.appid, call.endpoint.id))
        if span is None or call.last - call.first >= span:
            return
        if self._beliefs.learn(call.endpoint.id, span, self._clock()):
            log.warning(
                "takes less than documented", endpoint=call.endpoint.id, span=span
            )
        del self._narrowing[call.appid, call.endpoint.id]
        self._plan_anew(self._dispatch.lane(call))

    def _plan_anew(self, lane: Lane | None) -> None:
        """The days that are left, in windows of the span believed by now."""
        if lane is not None and lane.endpoint.id in self._beliefs.spans:
            policy = replace(self._survey.policy, narrowed=self._beliefs.spans)
            lane.calls = calls(lane.appid, lane.endpoint, lane.rest(), policy)

    def _refused(self, call: Call, refusal: Refusal) -> None:
        self._log(call, refusal)
        self._count_out_of_reach(refusal)
        if not self._asked_again(call, refusal):
            group = self._dispatch.group(call.appid)
            self._write(group, call, refusal, self._dispatch.known_lane(call))
            self._close(call, refusal)
        self._dispatch.finish(
            call, answered=refusal.decision in PROVES_ACCESS, now=self._time()
        )
        if ends_run(refusal):
            self.stop("refused", f"{refusal.message}: {refusal.todo}")

    def _asked_again(self, call: Call, refusal: Refusal) -> bool:
        """Puts the call back, slower or narrower, where that can help."""
        pieces: Sequence[Call] = ()
        if refusal.decision is Decision.NARROW:
            self._note_too_early(call)
            believed = self._beliefs.spans.get(call.endpoint.id)
            pieces = results.narrower(call, believed)
            if pieces:
                self._narrowing[call.appid, call.endpoint.id] = results.span(pieces)
                self._plan_anew(self._dispatch.lane(call))
        elif refusal.decision is Decision.SLOW_DOWN:
            self._slowed[call.appid] += 1
            if self._slowed[call.appid] <= SLOW_DOWNS * self._bounds.in_flight:
                wait = 60 - self._clock().timestamp() % 60
                self._dispatch.pause(call.appid, self._time() + wait)
                pieces = (call,)
        if not pieces or self.stopped.reason:
            return False
        self.tally.calls_by_endpoint[call.endpoint.id] += refusal.attempts
        self._dispatch.put_back(call, *pieces)
        self._intake.release()
        return True

    def _close(self, call: Call, refusal: Refusal) -> None:
        """Ends what the refusal speaks of, and writes down the days not asked."""
        if refusal.decision is Decision.RETIRED:
            shut = self._dispatch.retired(call)
            if self._dispatch.gone_for_all(call.endpoint):
                self._retire(call, refusal)
        else:
            lanes = self._dispatch.close(call.appid, reach(call, refusal))
            shut = [(call.appid, lane) for lane in lanes]
        self._standing.learn(call, refusal)
        for appid, lane in shut:
            self._write_rest(self._dispatch.group(appid), appid, lane, refusal)

    def _retire(self, call: Call, refusal: Refusal) -> None:
        self._standing.learn_retired(call.endpoint, refusal)
        whole = ((call.endpoint.earliest, dates.china_day(self._clock())),)
        everybody = results.standing_for(call, EVERYONE, whole)
        record = results.refused(everybody, refusal, self._stamp, self._clock())
        if record is not None:
            self._intake.put(self._dispatch.group(call.appid), record, slot=False)

    def _opened(self, work: Work) -> bool:
        """Writes down the lanes that the run need not ask; is there any other?"""
        appid = work.account.appid
        for lane in list(work.lanes):
            refusal = self._standing.refusal(appid, lane.endpoint)
            if refusal is not None:
                work.lanes.remove(lane)
                self._write_rest(work.group, appid, lane, refusal)
            elif self._beliefs.learnt(lane.endpoint.id):
                self._plan_anew(lane)
            key = (appid, lane.endpoint.id)
            self._budget.expect(key, lane.planned, parked=lane.parked)
        return bool(work.lanes)

    def _write_rest(self, group: str, appid: str, lane: Lane, refusal: Refusal) -> None:
        days = lane.rest()
        if days:
            unasked = Call(appid, lane.endpoint, days[0][0], days[-1][1], days)
            silent = replace(refusal, attempts=0, body=None)
            self._write(group, unasked, silent, lane, slot=False)

    def _write(
        self,
        group: str,
        call: Call,
        refusal: Refusal,
        lane: Lane | None,
        *,
        slot: bool = True,
    ) -> None:
        """Writes a refusal down; cells that are held already stay as they are."""
        outcome = CONSEQUENCES[refusal.decision].outcome
        self.tally.refuse(call, refusal, outcome, lane.excused if lane else ())
        before = lane.answered_before if lane else ()
        others = replace(call, owned=dates.subtract(call.owned, before))
        record = results.refused(others, refusal, self._stamp, self._clock())
        if record is not None and others.owned:
            self._intake.put(group, record, slot=slot)
        elif slot:
            self._intake.release()

    def _tidy(self) -> None:
        """Builds the groups that are through, and forgets accounts that are."""
        for group in self._dispatch.finished_groups():
            self._intake.build(group)
        for appid in self._dispatch.finished_accounts():
            self.accounts_done.add(appid)
            self._client.leave(appid)

    def _count_out_of_reach(self, refusal: Refusal) -> None:
        away = refusal.code in OUT_OF_REACH
        self._out_of_reach = self._out_of_reach + 1 if away else 0
        if self._out_of_reach >= OUTAGE:
            self.stop("outage")

    def _note_too_early(self, call: Call) -> None:
        if call.last == self._survey.policy.last_ready:
            self._too_early.add(call.appid)
        many = max(TOO_EARLY_ACCOUNTS, TOO_EARLY_SHARE * len(self._accounts))
        if len(self._too_early) >= many:
            self.stop("clock")

    def _doubt_the_clock(self) -> None:
        skew = self._client.skew_seconds
        if skew is not None and abs(skew) > SKEW_SECONDS:
            self.stop("clock")

    def _log(self, call: Call, refusal: Refusal) -> None:
        """The first refusal of a kind is worth a line; the summary counts them all."""
        first = (refusal.code, str(refusal.decision)) not in self.tally.failures
        (log.warning if first else log.debug)(
            refusal.message,
            account=call.appid,
            endpoint=call.endpoint.id,
            window=f"{dates.text(call.first)}..{dates.text(call.last)}",
            code=refusal.code,
            rid=refusal.rid,
        )

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()
