"""Takes pushes in: judged at once, stored in order, answered in time, worked on after.

1. A push that is taken waits in a queue for the vault; its sender is answered when it
   is stored, or when `ANSWER_SECONDS` have passed: WeChat waits five, and never asks again.
2. One keeper stores them in the order in which they came. A vault that fails is tried
   a few times; a full queue turns pushes away.
3. Everything that is kept in memory is bounded.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog
from anyio import create_task_group, move_on_after
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from harvester.api.callback import pushes
from harvester.api.callback.codes import SWEEP_SECONDS, Codes, Sleep
from harvester.api.callback.contract import (
    Authority,
    Code,
    Terms,
    Ticket,
    Vault,
    Withdrawal,
)
from harvester.api.callback.edge import alone
from harvester.api.callback.pushes import Push, Unwelcome
from harvester.api.callback.replays import Replays
from harvester.api.callback.watch import LOOK_SECONDS, Watch
from harvester.errors import HarvesterError

WAITING = 1000
"""So many pushes wait for the vault; the next one is turned away."""

DRAIN_SECONDS = 5.0
"""So long a stop waits for pushes that are not stored yet."""

TELL_SECONDS = 60.0
"""A reason to turn pushes away is logged so often at most, and always counted."""

TODO = {
    "signature": "compare platform.callback_token with the console's; "
    "others than WeChat send here as well",
    "decryption": "compare platform.encoding_aes_key with the console's; after a change "
    "the old one belongs into platform.previous_encoding_aes_key",
    "appid": "compare platform.appid with the console's",
    "old": "look at this machine's clock, and at what forwards the pushes",
    "future": "set this machine's clock, by NTP for example",
    "busy": "look at the vault: it does not keep up",
}
"""What an operator can do, by the reason for which a push was turned away."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things may take, in seconds."""

    answer: float = 2.0
    """Until a push is answered whether stored or not. WeChat gives up after 5."""

    body: float = 2.0
    """Until the body of a push has to be here."""

    page: float = 8.0
    """Until a page is shown whether the exchange has ended or not."""

    sweep: float = SWEEP_SECONDS
    look: float = LOOK_SECONDS
    ask: float = 60.0
    """Between two looks whether WeChat has to be asked for tickets."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What has happened since the start, by labels of which there are a few."""

    taken: Counter[str] = field(
        default_factory=lambda: Counter(dict.fromkeys((*pushes.KINDS, pushes.OTHER), 0))
    )
    refused: Counter[str] = field(
        default_factory=lambda: Counter(dict.fromkeys(pushes.STATUS, 0))
    )
    not_stored: Counter[str] = field(
        default_factory=lambda: Counter(dict.fromkeys(pushes.KINDS, 0))
    )


class Receiver:
    """Receives for one platform. `clock` gives epoch seconds.

    Without `authority` another system owns the tokens: nothing is exchanged.
    """

    def __init__(
        self,
        terms: Terms,
        vault: Vault,
        authority: Authority | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        pace: Pace | None = None,
    ) -> None:
        self.terms = terms
        self.authority = authority
        self.clock = clock
        self.pace = pace or Pace()
        self.counts = Counts()
        self.watch = Watch(
            terms.platform, vault, clock=clock, look_seconds=self.pace.look
        )
        self.codes = self._exchanging(vault, sleep)
        self._vault = vault
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(HarvesterError),
            stop=stop_after_attempt(5),
            wait=wait_random_exponential(multiplier=0.5, max=10),
            sleep=sleep,
            reraise=True,
        )
        self._replays = Replays(terms.accept_age + pushes.FUTURE_SECONDS)
        self._waiting: asyncio.Queue[tuple[Push, asyncio.Event]] = asyncio.Queue(
            WAITING
        )
        self._told: dict[str, float] = {}
        self._working = False

    def _exchanging(self, vault: Vault, sleep: Sleep) -> Codes | None:
        if self.authority is None or not self.terms.exchange_codes:
            return None
        return Codes(
            self.terms.platform,
            vault,
            self.authority,
            clock=self.clock,
            sleep=sleep,
            sweep_seconds=self.pace.sweep,
        )

    @property
    def waiting(self) -> int:
        """Pushes that are taken and not stored yet."""
        return self._waiting.qsize()

    @property
    def remembered(self) -> int:
        """Signatures kept, so that no push is taken twice."""
        return len(self._replays)

    async def take(self, query: Mapping[str, str], body: bytes) -> None:
        """Takes a push in and waits a little for the vault. Raises Unwelcome."""
        now = self.clock()
        push = pushes.read(self.terms, query, body, now)
        if not self._replays.add(push.signature, now):
            raise Unwelcome("replay")
        if push.event is None:
            self.counts.taken[push.kind] += 1
            return
        stored = self._queued(push)
        with move_on_after(self.pace.answer):
            await stored.wait()

    def _queued(self, push: Push) -> asyncio.Event:
        stored = asyncio.Event()
        if self._waiting.full() or not self._working:
            self._replays.forget(push.signature)
            raise Unwelcome("busy")
        self._waiting.put_nowait((push, stored))
        self.counts.taken[push.kind] += 1
        return stored

    def refused(self, unwelcome: Unwelcome) -> None:
        """Counts a push that is turned away, and tells now and then."""
        reason = unwelcome.reason
        self.counts.refused[reason] += 1
        now = time.monotonic()
        if now - self._told.get(reason, -TELL_SECONDS) >= TELL_SECONDS:
            self._told[reason] = now
            log.warning(
                "push_refused",
                reason=str(unwelcome),
                so_far=self.counts.refused[reason],
                todo=TODO.get(reason, ""),
            )

    async def work(self) -> None:
        """Does what pushes ask for, until it is cancelled."""
        try:
            async with create_task_group() as tasks:
                self._working = True
                tasks.start_soon(self._keep_all)
                tasks.start_soon(self.watch.keep_looking)
                if self.authority is not None:
                    tasks.start_soon(self._ask_for_pushes, self.authority)
                if self.codes is not None:
                    tasks.start_soon(self.codes.work)
        finally:
            self._working = False

    async def drained(self) -> None:
        """Waits until what was taken is stored, a few seconds at most."""
        with move_on_after(DRAIN_SECONDS):
            await self._waiting.join()

    async def _ask_for_pushes(self, authority: Authority) -> None:
        """WeChat stops its pushes at times; then, and at first, they are asked for."""
        while True:
            await alone("ask_for_pushes", authority.ask_for_pushes())
            await asyncio.sleep(self.pace.ask)

    async def _keep_all(self) -> None:
        while True:
            push, stored = await self._waiting.get()
            kept: Awaitable[bool] = self._retrying(self._keep, push)
            if not await alone("store_push", kept):
                self.counts.not_stored[push.kind] += 1
            stored.set()
            self._waiting.task_done()

    async def _keep(self, push: Push) -> bool:
        platform, vault = self.terms.platform, self._vault
        match push.event:
            case Ticket(value=value, created_at=created_at):
                await vault.put_ticket(platform, value, created_at)
                self.watch.seen(created_at)
            case Code() as code if self.codes is not None:
                await self.codes.take(code)
            case Code(appid=appid, created_at=at):
                await vault.put_standing(platform, appid, authorised=True, at=at)
            case Withdrawal(appid=appid, created_at=at):
                await vault.put_standing(platform, appid, authorised=False, at=at)
        log.info("push_stored", kind=push.kind, account=_account(push))
        return True


def _account(push: Push) -> str:
    return getattr(push.event, "appid", "")
