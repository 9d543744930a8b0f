"""What an answer or a refusal means for the ledger: pure.

The table says, for each decision, what becomes of the call's cells and when they may
be asked again. How far a refusal reaches, it says itself (`api.codes.Scope`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from harvester import dates, tables
from harvester.api.client import Answer
from harvester.api.codes import Decision, Refusal
from harvester.dates import Days, Granularity
from harvester.lake.spool import Record
from harvester.plan import Call, Outcome
from harvester.tables import Payload, Rejected

ANSWERED = "answered"
"""The outcome of a record whose cells the payload decides."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a decision means for the cells that were asked for."""

    outcome: Outcome | None
    """What the ledger says of them; None: nothing, they stay missing."""

    again: timedelta | None = None
    """How long they are left alone; None: the next run asks them."""

    until_midnight: bool = False
    """Left alone until China's next midnight instead."""


_WEEK, _DAY, _MONTH = timedelta(days=7), timedelta(days=1), timedelta(days=30)

CONSEQUENCES: dict[Decision, Consequence] = {
    Decision.RETRY: Consequence(Outcome.FAILED),
    Decision.REFRESH_TOKEN: Consequence(Outcome.FAILED),
    Decision.FAIL: Consequence(Outcome.FAILED),
    Decision.NARROW: Consequence(Outcome.UNAVAILABLE),
    Decision.EMPTY: Consequence(Outcome.EMPTY),
    Decision.NOT_READY: Consequence(Outcome.PENDING),
    Decision.SLOW_DOWN: Consequence(Outcome.PENDING),
    Decision.PARK_ENDPOINT: Consequence(Outcome.PENDING, until_midnight=True),
    Decision.DENY_ENDPOINT: Consequence(Outcome.DENIED, _WEEK),
    Decision.DENY_SET: Consequence(Outcome.DENIED, _DAY),
    Decision.RETIRED: Consequence(Outcome.RETIRED, _MONTH),
    Decision.ACCOUNT_GONE: Consequence(Outcome.DENIED, _DAY),
    Decision.RECOVER_REFRESH_TOKEN: Consequence(Outcome.DENIED, _DAY),
    Decision.PARK_ACCOUNT: Consequence(Outcome.DENIED, _DAY),
    Decision.STOP_PROCESS: Consequence(None),
    Decision.STOP_EVERYTHING: Consequence(None),
}

PERIODS = (Granularity.WEEK, Granularity.MONTH)

PROVES_ACCESS = frozenset({Decision.NOT_READY, Decision.EMPTY, Decision.FAIL})
"""Refusals that only an account with a good token and the permission gets.

Not `narrow`: while the span is looked for, one call at a time is enough.
"""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every record of a run carries."""

    run_id: str
    jitter: timedelta
    """Added to midnight, so that not all platforms come back in one second."""


def answered(call: Call, answer: Answer, stamp: Stamp, now: datetime) -> Record:
    """The record of an answer: its payload, and the cells that the call owns."""
    return _record(call, stamp, now, ANSWERED, answer.attempts, pages=answer.pages)


def refused(call: Call, refusal: Refusal, stamp: Stamp, now: datetime) -> Record | None:
    """The record of a refusal; None where the cells simply stay missing."""
    consequence = CONSEQUENCES[refusal.decision]
    if consequence.outcome is None:
        return None
    return _record(
        call,
        stamp,
        now,
        consequence.outcome,
        refusal.attempts,
        code=refusal.code,
        rid=refusal.rid,
        message=refusal.message,
        next_try_at=_next_try(consequence, stamp, now),
        pages=(refusal.body,) if refusal.body else (),
    )


def _record(  # noqa: PLR0913 - the columns of a record
    call: Call,
    stamp: Stamp,
    now: datetime,
    outcome: str,
    attempts: int,
    *,
    code: str = "",
    rid: str = "",
    message: str = "",
    next_try_at: int | None = None,
    pages: tuple[bytes, ...] = (),
) -> Record:
    return Record(
        appid=call.appid,
        endpoint=call.endpoint.id,
        first=call.first,
        last=call.last,
        owned=call.owned,
        outcome=outcome,
        fetched_at=microseconds(now),
        run_id=stamp.run_id,
        attempts=attempts,
        code=code,
        rid=rid,
        message=message,
        next_try_at=next_try_at,
        pages=pages,
    )


def _next_try(consequence: Consequence, stamp: Stamp, now: datetime) -> int | None:
    if consequence.until_midnight:
        return microseconds(dates.midnight_after(now) + stamp.jitter)
    return None if consequence.again is None else microseconds(now + consequence.again)


def standing_for(call: Call, appid: str, days: Days) -> Call:
    """A call that was never made: the days that another one's refusal answers."""
    return Call(appid, call.endpoint, days[0][0], days[-1][1], days)


def narrower(call: Call, believed: int | None = None) -> Sequence[Call]:
    """The same cells in smaller windows, newest first.

    By the span believed by now, else the safe one, else halves. Nothing for a single
    date: then WeChat does not hold it.
    """
    if dates.size(call.owned) < 2:
        return ()
    days = call.last - call.first + 1
    hopes = (believed or days, call.endpoint.safe_span, days // 2)
    span = next(hope for hope in hopes if hope < days)
    pieces = [
        Call(
            call.appid,
            call.endpoint,
            first,
            last,
            dates.intersect(call.owned, ((first, last),)),
        )
        for first, last in dates.cover(call.owned, span)
    ]
    return pieces[::-1]


def span(calls: Sequence[Call]) -> int:
    """The days of the longest window among these."""
    return max(call.last - call.first + 1 for call in calls)


def absent(call: Call, answer: Answer) -> Sequence[Call]:
    """Calls for the labels that an answer over several weeks or months leaves out.

    Each is asked singly before it counts as empty: the documents do not agree on
    whether such a window gives them all.
    """
    if call.endpoint.granularity not in PERIODS or dates.size(call.owned) < 2:
        return ()
    payload = Payload(
        call.appid, call.first, call.last, call.owned, answer.documents, answer.pages
    )
    (parsed,) = tables.parse(call.endpoint, [payload])[1]
    if isinstance(parsed, Rejected):
        return ()
    return [
        Call(call.appid, call.endpoint, day, day, ((day, day),))
        for day in dates.each(call.owned)
        if day not in parsed.rows
    ][::-1]


def without(call: Call, others: Sequence[Call]) -> Call:
    """The call without the cells that others ask for."""
    elsewhere = dates.of(piece for other in others for piece in other.owned)
    return replace(call, owned=dates.subtract(call.owned, elsewhere))


def microseconds(moment: datetime) -> int:
    """Since the epoch, UTC."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
