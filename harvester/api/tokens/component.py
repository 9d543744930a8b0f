"""The third-party platform: its own token, and the accounts' tokens it exchanges.

1. The ticket gives the platform's token. It is renewed at half its life, so that an
   outage of an hour changes nothing; until then and while it fails the old one is used.
2. A refresh token gives an account's token. Should it be refused, the configured one
   and the previous ones are tried, then one that is recovered (`recovery`), before the
   account counts as gone.
3. A daily limit on these calls ends the refreshes until China's midnight; accounts
   whose tokens are still good go on.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from harvester import dates
from harvester.accounts import Account
from harvester.api.codes import (
    MOST_CHARACTERS,
    Decision,
    Refusal,
    Refused,
    Scope,
    refused_by_us,
    token_rule_of,
)
from harvester.api.tokens.enquiries import Enquiries
from harvester.api.tokens.holder import Held, Holder
from harvester.api.tokens.mint import Mint
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.recovery import Recovery
from harvester.api.tokens.shared import ATTEMPTS, LEASE_SECONDS, Keep, Shared
from harvester.api.tokens.tickets import Tickets
from harvester.api.vault.records import Minted, Stored

_RENEW_AGAIN_SECONDS = 60.0
_JITTER_SECONDS = 600.0
_TICKET_CODES = ("61005", "61006")

T = TypeVar("T")


class Component:
    """The platform's calls. One per process: its state is the platform's token."""

    def __init__(
        self,
        platform: Platform,
        mint: Mint,
        shared: Shared,
    ) -> None:
        self._platform = platform
        self._mint = mint
        self._shared = shared
        self._clock = mint.clock
        self._name = f"platform:{platform.appid}"
        self._own = Holder(self._fetch, self._clock, "api_authorizer_token")
        vault = shared.vault
        self._tickets = Tickets(platform, mint.wire, vault, self._clock, shared.sleep)
        self._tried_ticket = ""
        self.enquiries = Enquiries(mint.wire, platform.appid, self._sent)
        self._recovery = Recovery(self.enquiries, vault, self._clock)
        self._parked: Refusal | None = None
        self._parked_until = 0.0

    @property
    def own(self) -> Holder:
        """The platform's own token."""
        return self._own

    async def withdrawn(self, appid: str) -> bool:
        """Whether an account's info confirms that it does not authorise the platform."""
        return await self._recovery.withdrawn(appid)

    async def refreshed(self, account: Account, stored: Stored, keep: Keep) -> Stored:
        """The account's new token. Raises Refused."""
        if self._parked and self._parked_until > self._clock():
            raise Refused(self._parked)
        met: Refusal | None = None
        tried = await self._candidates(account, stored)
        for refresh_token in tried:
            try:
                return await self._exchanged(account.appid, refresh_token, keep)
            except Refused as refused:
                met = refused.refusal
                if met.decision is Decision.ACCOUNT_GONE:
                    await self.withdrawn(account.appid)
                if met.decision is not Decision.RECOVER_REFRESH_TOKEN:
                    raise
        return await self._recovered(account.appid, tried, met, keep)

    async def _recovered(
        self, appid: str, tried: list[str], met: Refusal | None, keep: Keep
    ) -> Stored:
        try:
            found = await self._recovery.refresh_token(appid, tried)
        except Refused as refused:
            raise Refused(_for_the_account(refused.refusal)) from None
        if not found:
            raise Refused(_gone(met))
        if await self._shared.vault.lease(appid, LEASE_SECONDS) is None:
            raise Refused(refused_by_us("overtaken"))  # the search took long
        try:
            return await self._exchanged(appid, found, keep)
        except Refused as refused:
            if refused.refusal.decision is not Decision.RECOVER_REFRESH_TOKEN:
                raise
            again = refused.refusal
        raise Refused(_gone(again))

    async def _candidates(self, account: Account, stored: Stored) -> list[str]:
        """All refresh tokens that may work, the likeliest first."""
        configured = account.refresh_token.reveal() if account.refresh_token else ""
        previous = await self._shared.vault.previous(account.appid)
        known = dict.fromkeys((stored.refresh_token, configured, *previous))
        return [refresh_token for refresh_token in known if refresh_token]

    async def _exchanged(self, appid: str, refresh_token: str, keep: Keep) -> Stored:
        try:
            send = partial(self._send, appid, refresh_token)
            stored = await self._sent(lambda token: keep(partial(send, token)))
        except Refused as refused:
            raise Refused(self._noted(refused.refusal)) from None
        return stored

    async def _sent(self, send: Callable[[str], Awaitable[T]]) -> T:
        """A call with the platform's token, and once more if that is rejected."""
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
                self._own.struck(token)
            raise

    def _went_through(self, result: T) -> T:
        self._own.accepted()
        return result

    async def _token(self, rejected: str = "") -> str:
        """The platform's token; trouble on the way was met with patience already."""
        own = self._own
        try:
            return await (own.rejected(rejected) if rejected else own.current())
        except Refused as refused:
            if refused.refusal.decision is not Decision.RETRY:
                raise
            met = replace(refused.refusal, scope=Scope.PLATFORM)
        raise Refused(met)

    async def _send(self, appid: str, refresh_token: str, token: str) -> Minted:
        """What worked stays known where the answer brings no newer one."""
        minted = await self._mint.authorizer(
            self._platform.appid, token, appid, refresh_token
        )
        return replace(minted, refresh_token=minted.refresh_token or refresh_token)

    def _noted(self, refusal: Refusal) -> Refusal:
        """Ends the refreshes for today when the platform has used them up."""
        if refusal.decision is not Decision.PARK_ENDPOINT:
            return _for_the_account(refusal)
        if self._parked is None or self._parked_until <= self._clock():
            seconds = _until_tomorrow(self._clock())
            scope = Scope.ACCOUNT  # those with valid tokens go on
            self._parked = replace(refusal, retry_after=seconds, scope=scope)
            self._parked_until = self._clock() + seconds
        return self._parked

    async def _fetch(self, rejected: str) -> Held:
        """The platform's token, shared with other processes, renewed at half life."""

        def fits(stored: Stored) -> bool:
            return stored.token != rejected and _half_life(stored) > self._clock()

        started = self._clock()
        held = self._usable_still(await self._shared.vault.read(self._name), rejected)
        obtain = partial(
            self._shared.obtain,
            self._name,
            fits,
            self._minted,
            attempts=1 if held else ATTEMPTS,
        )
        try:
            stored = await self._with_newer_ticket(obtain, wait=held is None)
        except Refused as refused:
            if held is None:
                raise
            spent = refused.refusal.decision is Decision.PARK_ENDPOINT
            until = held.expires_at if spent else self._clock() + _RENEW_AGAIN_SECONDS
            return Held(held.token, min(held.expires_at, until), fresh=False)
        fresh = bool(rejected) or stored.learned_at >= started
        return Held(stored.token, _half_life(stored), fresh)

    async def _with_newer_ticket(
        self, obtain: Callable[[], Awaitable[Stored]], *, wait: bool
    ) -> Stored:
        """Once more if the ticket is refused and another one is there. Raises Refused."""
        try:
            return await obtain()
        except Refused as refused:
            met = refused.refusal
        known = met.code in _TICKET_CODES
        if known and await self._tickets.newer(self._tried_ticket, wait=wait):
            return await obtain()
        raise Refused(met)

    def _usable_still(self, stored: Stored, rejected: str) -> Stored | None:
        usable = stored.token not in ("", rejected)
        return stored if usable and stored.expires_at > self._clock() else None

    async def _minted(self, _: Stored, keep: Keep) -> Stored:
        self._tried_ticket = await self._tickets.current()
        return await keep(partial(self._mint_own, self._tried_ticket))

    def _mint_own(self, ticket: str) -> Awaitable[Minted]:
        secret = self._platform.secret
        if secret is None:
            raise Refused(refused_by_us("no_credentials"))
        return self._mint.component(self._platform.appid, secret.reveal(), ticket)


def _half_life(stored: Stored) -> float:
    return stored.learned_at + (stored.expires_at - stored.learned_at) / 2


def _until_tomorrow(now: float) -> float:
    """Seconds until China's midnight, and a little more so that not all come at once."""
    moment = datetime.fromtimestamp(now, UTC)
    midnight = dates.midnight_after(moment).timestamp()
    return midnight - now + random.uniform(0, _JITTER_SECONDS)  # noqa: S311


def _for_the_account(refusal: Refusal) -> Refusal:
    """A platform's token that is rejected says nothing: a newer one may do."""
    if refusal.decision is not Decision.REFRESH_TOKEN:
        return refusal
    return replace(refusal, decision=Decision.RETRY, scope=Scope.ACCOUNT)


def _gone(met: Refusal | None) -> Refusal:
    if met is None:
        return refused_by_us("no_refresh_token", "api_authorizer_token")
    rule = token_rule_of("needs_authorisation", "api_authorizer_token")
    return replace(
        met,
        decision=rule.decision,
        scope=rule.scope,
        message=f"it needs re-authorisation: {met.message}"[:MOST_CHARACTERS],
        todo=rule.todo,
    )
