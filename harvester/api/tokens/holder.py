"""One token as this process holds it: fetched once for all who wait, judged by value.

1. Whoever finds it missing or expired fetches; the others wait and take the result.
2. A rejection counts against the value that was rejected: when that one has been
   replaced meanwhile, the newer one is the answer and nobody fetches.
3. Three fresh tokens in a row that are rejected, with no accepted call between,
   end the fetching: somebody else fetches too, and each invalidates the other's.
4. A refusal holds for a while, so that the calls behind it ask nobody again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from harvester.api.codes import Decision, Refusal, Refused, refused_by_us

STRIKES = 3

_REFUSED_SECONDS = 600.0
_REFUSED_BRIEFLY = {
    Decision.RETRY: 5.0,
    Decision.SLOW_DOWN: 5.0,
    Decision.FAIL: 60.0,
    Decision.STOP_EVERYTHING: 60.0,
}


@dataclass(frozen=True, slots=True)
class Held:
    """A token and the epoch second until which it is used."""

    token: str
    until: float
    fresh: bool
    """Fetched now, and not found where it was kept."""

    def __repr__(self) -> str:
        return f"Held(until={self.until}, fresh={self.fresh})"


Fetch = Callable[[str], Awaitable[Held]]
"""Given the value that was rejected, or nothing, brings another. Raises Refused."""


@dataclass(slots=True)
class Holder:
    """Holds one token. `owner` names whose rules say what three strikes mean."""

    fetch: Fetch
    clock: Callable[[], float]
    owner: str = "stable_token"
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _held: Held = Held("", 0.0, fresh=False)
    _rejected: str = ""
    _strikes: int = 0
    _refusal: Refusal | None = None
    _refused_until: float = 0.0

    async def current(self) -> str:
        """The token to use now. Raises Refused."""
        held = self._held
        if held.until > self.clock():
            return held.token
        async with self._lock:
            return await self._usable()

    async def rejected(self, token: str) -> str:
        """The token to use in place of this one. Raises Refused."""
        async with self._lock:
            self.struck(token)
            return await self._usable()

    def struck(self, token: str) -> None:
        """Notes that this value was rejected; the next one to need a token fetches."""
        if token != self._held.token or token == self._rejected:
            return
        self._rejected = token
        self._strikes += self._held.fresh
        self._held = Held(token, 0.0, fresh=False)
        if self._strikes >= STRIKES:
            self._remember(refused_by_us("rejected", self.owner))

    def accepted(self) -> None:
        """A call with the token went through."""
        self._strikes = 0

    async def _usable(self) -> str:
        if self._held.until > self.clock():
            return self._held.token
        if self._refusal and self._refused_until > self.clock():
            raise Refused(self._refusal)
        try:
            held = await self.fetch(self._rejected)
            if held.token == self._rejected:
                raise Refused(refused_by_us("stale_token", self.owner))
        except Refused as refused:
            self._remember(refused.refusal)
            raise
        self._held = held
        return held.token

    def _remember(self, refusal: Refusal) -> None:
        seconds = _REFUSED_BRIEFLY.get(refusal.decision, _REFUSED_SECONDS)
        self._refusal = refusal
        self._refused_until = self.clock() + (refusal.retry_after or seconds)
        if self._strikes >= STRIKES:
            self._strikes = 0
