"""Authorisation codes: each exchanged once, whoever brought it, and however late.

1. A code is durable before its exchange begins.
2. The vault hands a code to one process at a time. One whose exchange failed, or whose
   process died, is claimed again when the claim has run out.
3. In this process push and redirect page share one exchange.
4. What an exchange brings is stored before a stop is heeded: the code is spent.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from anyio import create_task_group, move_on_after
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from harvester.api.callback.contract import Authority, Code, Grant, Outcome, Vault
from harvester.api.callback.edge import alone
from harvester.api.codes import Refusal, Refused
from harvester.errors import HarvesterError

EXCHANGES = 4
"""So many at once."""

WAITING = 1000
"""So many wait in memory; the others wait in the vault."""

CLAIM_SECONDS = 120.0
EXCHANGE_SECONDS = 20.0
SWEEP_SECONDS = 60.0

_INVALID = ("61009", "61010")
"""WeChat does not know the code. Every other refusal may pass while the code is good."""

Sleep = Callable[[float], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Flight:
    """One exchange, and who waits for it."""

    code: Code
    outcome: Outcome = Outcome.LATER
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Codes:
    """Exchanges codes in the background. `counts` are by outcome."""

    def __init__(
        self,
        platform: str,
        vault: Vault,
        authority: Authority,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(Outcome, 0))
        self._platform = platform
        self._vault = vault
        self._authority = authority
        self._clock = clock
        self._sleep = sleep
        self._sweep_seconds = sweep_seconds
        self._flights: dict[str, Flight] = {}
        self._waiting: asyncio.Queue[Flight] = asyncio.Queue(WAITING)

    @property
    def under_way(self) -> int:
        """Exchanges that were begun and have not ended."""
        return len(self._flights)

    async def take(self, code: Code) -> Flight:
        """Keeps the code and begins its exchange. Raises HarvesterError."""
        if await self._vault.put_code(self._platform, code, CLAIM_SECONDS):
            return self._begin(code)
        self.counts[Outcome.KNOWN] += 1
        return self._flights.get(code.value) or _ended(code, Outcome.KNOWN)

    def _begin(self, code: Code) -> Flight:
        """Begins the exchange, unless too many wait: then the claim runs out."""
        flight = self._flights.get(code.value)
        if flight is None:
            if self._waiting.full():
                return _ended(code, Outcome.LATER)
            flight = self._flights[code.value] = Flight(code)
            self._waiting.put_nowait(flight)
        return flight

    async def work(self) -> None:
        """Exchanges codes until it is cancelled."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._sweep)
            for _ in range(EXCHANGES):
                tasks.start_soon(self._exchange)

    async def _sweep(self) -> None:
        """Takes up, for ever, what was left: by an outage, or by a process that died."""
        while True:
            claimed = self._vault.claim_codes(self._platform, CLAIM_SECONDS, WAITING)
            for code in await alone("claim_codes", claimed) or ():
                self._begin(code)
            await asyncio.sleep(self._sweep_seconds)

    async def _exchange(self) -> None:
        """Exchanges what waits, one after the other, for ever."""
        while True:
            flight = await self._waiting.get()
            outcome = await alone("exchange", self._exchanged(flight.code))
            flight.outcome = outcome or Outcome.LATER
            del self._flights[flight.code.value]
            self.counts[flight.outcome] += 1
            flight.done.set()

    async def _exchanged(self, code: Code) -> Outcome:
        outcome = Outcome.LATER
        with move_on_after(EXCHANGE_SECONDS, shield=True):
            if code.until <= self._clock():
                log.warning("authorisation_too_late", account=code.appid, todo=_SYNC)
                outcome = Outcome.INVALID
            else:
                outcome = await self._tried(code)
            if outcome is not Outcome.LATER:
                await self._vault.close_code(self._platform, code)
        return outcome

    async def _tried(self, code: Code) -> Outcome:
        try:
            grant = await self._authority.query_auth(code.value)
        except Refused as refused:
            return self._not_granted(code, refused.refusal)
        await self._stored(grant, code.created_at)
        log.info(
            "authorised",
            account=grant.appid,
            permission_sets=sorted(grant.permission_sets),
        )
        return Outcome.GRANTED

    def _not_granted(self, code: Code, refusal: Refusal) -> Outcome:
        invalid = refusal.code in _INVALID
        log.warning(
            "authorisation_not_exchanged",
            account=code.appid,
            reason=refusal.message,
            todo=_SYNC if invalid else refusal.todo,
        )
        return Outcome.INVALID if invalid else Outcome.LATER

    async def _stored(self, grant: Grant, at: float) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(HarvesterError),
            stop=stop_after_attempt(5),
            wait=wait_random_exponential(multiplier=0.25, max=4),
            sleep=self._sleep,
            reraise=True,
        )
        await retrying(self._vault.put_grant, self._platform, grant, at)


_SYNC = "`harvester accounts sync` finds the account again"


def _ended(code: Code, outcome: Outcome) -> Flight:
    flight = Flight(code, outcome)
    flight.done.set()
    return flight
