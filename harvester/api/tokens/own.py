"""The platform's own token, under which everything else of the platform is asked.

1. The ticket gives it. It is renewed at half its life and, while that fails, used to
   its very end: an outage of an hour changes nothing.
2. A ticket that is refused, or cannot be good any more, is read again; WeChat is asked
   to push where none has come for an hour.
3. A call whose token is rejected is sent once more with another.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from harvester.api.codes import Decision, Refused, Scope, refused_by_us
from harvester.api.tokens.holder import Held, Holder
from harvester.api.tokens.mint import MARGIN_SECONDS, Mint
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.shared import Keep, Shared
from harvester.api.tokens.tickets import Tickets
from harvester.api.vault.credential import half_life
from harvester.api.vault.records import Minted, Stored

_RENEW_AGAIN_SECONDS = 60.0
_TICKET_CODES = ("61005", "61006", "no_ticket", "old_ticket")

T = TypeVar("T")


class Own:
    """One per process. Shared with other processes through the vault."""

    def __init__(self, platform: Platform, mint: Mint, shared: Shared) -> None:
        self._platform = platform
        self._mint = mint
        self._shared = shared
        self._clock = mint.clock
        self._name = f"platform:{platform.appid}"
        self._holder = Holder(self._fetch, self._clock, "api_authorizer_token")
        self._tried_ticket = ""
        self.tickets = Tickets(
            platform, mint.wire, shared.vault, self._clock, shared.sleep
        )

    async def sent(self, send: Callable[[str], Awaitable[T]]) -> T:
        """A call with the token, and once more if that is rejected. Raises Refused."""
        token = await self._token()
        try:
            return self._went_through(await send(token))
        except Refused as refused:
            if refused.refusal.decision is not Decision.REFRESH_TOKEN:
                raise
        token = await self._token(rejected=token)
        try:
            return self._went_through(await send(token))
        except Refused as refused:
            if refused.refusal.decision is Decision.REFRESH_TOKEN:
                self._holder.struck(token)
            raise

    def _went_through(self, result: T) -> T:
        self._holder.accepted()
        return result

    async def _token(self, rejected: str = "") -> str:
        """The token; trouble on the way was met with patience already."""
        holder = self._holder
        try:
            return await (holder.rejected(rejected) if rejected else holder.current())
        except Refused as refused:
            if refused.refusal.decision is not Decision.RETRY:
                raise
            met = replace(refused.refusal, scope=Scope.PLATFORM)
        raise Refused(met)

    async def _fetch(self, rejected: str) -> Held:
        def fits(stored: Stored) -> bool:
            return stored.token != rejected and half_life(stored) > self._clock()

        started = self._clock()
        held = self._usable_still(await self._shared.vault.read(self._name), rejected)
        how = self._shared.obtain if held is None else self._shared.renew
        obtain = partial(how, self._name, fits, self._minted)
        try:
            stored = await self._with_newer_ticket(obtain, wait=held is None)
        except Refused as refused:
            if held is None:
                raise
            end = own_end(held)
            spent = refused.refusal.decision is Decision.PARK_ENDPOINT
            until = end if spent else self._clock() + _RENEW_AGAIN_SECONDS
            return Held(held.token, min(end, until), fresh=False)
        fresh = bool(rejected) or stored.learned_at >= started
        return Held(stored.token, half_life(stored), fresh)

    async def _with_newer_ticket(
        self, obtain: Callable[[], Awaitable[Stored]], *, wait: bool
    ) -> Stored:
        """Once more if the ticket is refused and another one is there. Raises Refused."""
        try:
            return await obtain()
        except Refused as refused:
            met = refused.refusal
        known = met.code in _TICKET_CODES
        if known and await self.tickets.newer(self._tried_ticket, wait=wait):
            return await obtain()
        raise Refused(met)

    def _usable_still(self, stored: Stored, rejected: str) -> Stored | None:
        usable = stored.token not in ("", rejected)
        return stored if usable and own_end(stored) > self._clock() else None

    async def _minted(self, _: Stored, keep: Keep) -> Stored:
        ticket = await self.tickets.newest()
        self._tried_ticket = ticket.value
        self.tickets.check(ticket)
        return await keep(partial(self._mint_own, ticket.value))

    def _mint_own(self, ticket: str) -> Awaitable[Minted]:
        secret = self._platform.secret
        if secret is None:
            raise Refused(refused_by_us("no_credentials"))
        return self._mint.component(self._platform.appid, secret.reveal(), ticket)


def own_end(stored: Stored) -> float:
    """When the token really ends: `expires_at` without the margin that was taken off."""
    usable = stored.expires_at - stored.learned_at
    return stored.expires_at + min(MARGIN_SECONDS, usable / 9)
