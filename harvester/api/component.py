"""The third-party platform: its own token, and the accounts' tokens it exchanges.

1. The ticket gives the platform's token. It is renewed at half its life, so that an
   outage of an hour changes nothing; until then and while it fails the old one is used.
2. A refresh token gives an account's token. Should it be refused, the configured one
   and the previous ones are tried before the account counts as gone.
3. A daily limit on these calls ends the refreshes until China's midnight; accounts
   whose tokens are still good go on.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from anyio import to_thread

from harvester import dates
from harvester.accounts import Account
from harvester.api.codes import (
    Decision,
    Refusal,
    Refused,
    Scope,
    refused_by_us,
    token_rule_of,
)
from harvester.api.holder import Held, Holder
from harvester.api.mint import Mint
from harvester.api.shared import ATTEMPTS, Keep, Shared
from harvester.api.vault import Minted, Stored
from harvester.errors import HarvesterError

if TYPE_CHECKING:
    from harvester.api.tokens import Platform

_RENEW_AGAIN_SECONDS = 60.0
_JITTER_SECONDS = 600.0
_TICKET_CODES = ("61005", "61006")


class Component:
    """The platform's calls. One per process: its state is the platform's token."""

    def __init__(
        self,
        platform: "Platform",
        mint: Mint,
        shared: Shared,
    ) -> None:
        self._platform = platform
        self._mint = mint
        self._shared = shared
        self._clock = mint.clock
        self._name = f"platform:{platform.appid}"
        self._own = Holder(self._fetch, self._clock, "api_authorizer_token")
        self._parked: Refusal | None = None
        self._parked_until = 0.0

    async def refreshed(self, account: Account, stored: Stored, keep: Keep) -> Stored:
        """The account's new token. Raises Refused."""
        if self._parked and self._parked_until > self._clock():
            raise Refused(self._parked)
        met: Refusal | None = None
        for refresh_token in await self._candidates(account, stored):
            try:
                return await self._exchanged(account.appid, refresh_token, keep)
            except Refused as refused:
                if refused.refusal.decision is not Decision.RECOVER_REFRESH_TOKEN:
                    raise
                met = refused.refusal
        raise Refused(_gone(met))

    async def _candidates(self, account: Account, stored: Stored) -> list[str]:
        """All refresh tokens that may work, the likeliest first."""
        configured = account.refresh_token.reveal() if account.refresh_token else ""
        previous = await self._shared.vault.previous(account.appid)
        known = dict.fromkeys((stored.refresh_token, configured, *previous))
        return [refresh_token for refresh_token in known if refresh_token]

    async def _exchanged(self, appid: str, refresh_token: str, keep: Keep) -> Stored:
        try:
            stored = await self._sent(partial(self._send, appid, refresh_token), keep)
        except Refused as refused:
            raise Refused(self._noted(refused.refusal)) from None
        self._own.accepted()
        return stored

    async def _sent(
        self, send: Callable[[str], Awaitable[Minted]], keep: Keep
    ) -> Stored:
        token = await self._token()
        try:
            return await keep(partial(send, token))
        except Refused as refused:
            if refused.refusal.decision is not Decision.REFRESH_TOKEN:
                raise
        token = await self._token(rejected=token)
        try:
            return await keep(partial(send, token))
        except Refused as refused:
            if refused.refusal.decision is Decision.REFRESH_TOKEN:
                self._own.struck(token)
            raise

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
        if refusal.decision is Decision.REFRESH_TOKEN:  # a newer one may do
            return replace(refusal, decision=Decision.RETRY, scope=Scope.ACCOUNT)
        if refusal.decision is not Decision.PARK_ENDPOINT:
            return refusal
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
        try:
            stored = await self._shared.obtain(
                self._name, fits, self._minted, attempts=1 if held else ATTEMPTS
            )
        except Refused:
            if held is None:
                raise
            return held
        fresh = bool(rejected) or stored.learned_at >= started
        return Held(stored.token, _half_life(stored), fresh)

    def _usable_still(self, stored: Stored, rejected: str) -> Held | None:
        now = self._clock()
        if not stored.token or stored.token == rejected or stored.expires_at <= now:
            return None
        until = min(stored.expires_at, now + _RENEW_AGAIN_SECONDS)
        return Held(stored.token, until, fresh=False)

    async def _minted(self, _: Stored, keep: Keep) -> Stored:
        """By the ticket; by a newer one if the first is refused and one has come."""
        ticket = await self._ticket()
        try:
            return await keep(partial(self._mint_own, ticket))
        except Refused as refused:
            if refused.refusal.code not in _TICKET_CODES:
                raise
            newer = await self._ticket()
            if newer == ticket:
                raise
        return await keep(partial(self._mint_own, newer))

    def _mint_own(self, ticket: str) -> Awaitable[Minted]:
        secret = self._platform.secret.reveal() if self._platform.secret else ""
        return self._mint.component(self._platform.appid, secret, ticket)

    async def _ticket(self) -> str:
        try:
            ticket = await to_thread.run_sync(self._platform.ticket)
        except (OSError, HarvesterError):
            ticket = ""
        ticket = ticket.strip() or await self._shared.vault.ticket(self._platform.appid)
        if not ticket:
            raise Refused(refused_by_us("no_ticket", "api_component_token"))
        return ticket


def _half_life(stored: Stored) -> float:
    return stored.learned_at + (stored.expires_at - stored.learned_at) / 2


def _until_tomorrow(now: float) -> float:
    """Seconds until China's midnight, and a little more so that not all come at once."""
    moment = datetime.fromtimestamp(now, UTC)
    midnight = dates.midnight_after(moment).timestamp()
    return midnight - now + random.uniform(0, _JITTER_SECONDS)  # noqa: S311


def _gone(met: Refusal | None) -> Refusal:
    if met is None:
        return refused_by_us("no_refresh_token", "api_authorizer_token")
    rule = token_rule_of("needs_authorisation", "api_authorizer_token")
    return replace(
        met,
        decision=rule.decision,
        scope=rule.scope,
        todo=rule.todo,
    )
