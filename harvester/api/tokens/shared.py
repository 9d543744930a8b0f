"""A token that processes share: one of them refreshes, the others take the result.

Read → lease → read again → fetch → store. A fetch whose answer was lost is repeated
from the start, so that the vault is read again first. From the moment a request
leaves until its result is durable nothing is cancelled: a refresh token that WeChat
has replaced exists nowhere else.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from anyio import CancelScope
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from harvester.api.codes import Decision, Refused, Scope, refused_by_us
from harvester.api.vault.records import Minted, Stored
from harvester.api.vault.vault import Vault

ATTEMPTS = 4
PATIENCE_SECONDS = 60.0
LEASE_SECONDS = 20.0
"""Longer than a token call may take; so long a dead process holds the others up."""

RENEWAL_SECONDS = 2.0
"""So long at most somebody else's renewal is waited for while the old token is good."""

MOST_EARLY = 10
"""So many tokens an hour may be replaced early: more, and another system does so too."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.4
"""Between two looks at a token that another process refreshes."""

Fits = Callable[[Stored], bool]
Keep = Callable[[Callable[[], Awaitable[Minted]]], Awaitable[Stored]]
"""Sends a token call, stores what it brings, and answers with what holds then."""

Refresh = Callable[[Stored, Keep], Awaitable[Stored]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shared:
    """Refreshes what the vault holds."""

    vault: Vault
    sleep: Callable[[float], Awaitable[None]]

    async def obtain(self, name: str, fits: Fits, refresh: Refresh) -> Stored:
        """The row once it fits, refreshed where it does not. Raises Refused."""
        stored = await self.vault.read(name)
        if fits(stored):
            return stored
        retrying = patiently(self.sleep)
        return await retrying(self._refreshed, name, fits, refresh, 2 * LEASE_SECONDS)

    async def renew(self, name: str, fits: Fits, refresh: Refresh) -> Stored:
        """The same while the old token is good: one try, and hardly a wait."""
        return await self._refreshed(name, fits, refresh, RENEWAL_SECONDS)

    async def _refreshed(
        self, name: str, fits: Fits, refresh: Refresh, patience: float
    ) -> Stored:
        leased = await self._leased(name, fits, patience)
        if fits(leased):
            await self.vault.release(name)
            return leased

        async def keep(send: Callable[[], Awaitable[Minted]]) -> Stored:
            with CancelScope(shield=True):
                minted = await send()
                stored = await self.vault.store(name, leased.generation, minted)
            if stored.token != minted.token and not fits(stored):
                raise Refused(refused_by_us("overtaken"))
            return stored

        try:
            if leased.early >= MOST_EARLY:
                raise Refused(refused_by_us("contended", _rules(name)))
            log.debug("token_refresh", account=name)
            return await refresh(leased, keep)
        except BaseException:
            with CancelScope(shield=True):
                await self.vault.release(name)
            raise

    async def _leased(self, name: str, fits: Fits, patience: float) -> Stored:
        """The row with our lease on it, or one that another has made fit."""
        waited, pause = 0.0, SHORTEST_PAUSE
        while waited < patience:
            leased = await self.vault.lease(name, LEASE_SECONDS)
            if leased is not None:
                return leased
            await self.sleep(pause)
            stored = await self.vault.read(name)
            if fits(stored):
                return stored
            waited, pause = waited + pause, min(2 * pause, LONGEST_PAUSE)
        raise Refused(refused_by_us("overtaken"))


def _rules(name: str) -> str:
    """Whose rules say what a contended token means."""
    return "api_authorizer_token" if name.startswith("platform:") else "stable_token"


def patiently(sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Repeats a token call that met trouble on its way: bounded, with full jitter."""
    return AsyncRetrying(
        retry=retry_if_exception(_worth_retrying),
        stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(PATIENCE_SECONDS),
        wait=wait_random_exponential(multiplier=0.5, max=10),
        sleep=sleep,
        reraise=True,
    )


def _worth_retrying(error: BaseException) -> bool:
    """Trouble with the platform's own token was tried again where it was met."""
    if not isinstance(error, Refused):
        return False
    refusal = error.refusal
    return refusal.decision is Decision.RETRY and refusal.scope is not Scope.PLATFORM
