"""The third-party platform: the accounts' tokens that it exchanges under its own.

1. A refresh token gives an account's token. Should it be refused, the configured one
   and the ones before are tried, then one that is recovered (`recovery`), before the
   account counts as gone.
2. A daily limit on these calls ends the refreshes until China's midnight; accounts
   whose tokens are still good go on.
"""

import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

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
from harvester.api.tokens.mint import Mint
from harvester.api.tokens.own import Own
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.recovery import Recovery
from harvester.api.tokens.shared import LEASE_SECONDS, Keep, Shared
from harvester.api.vault.records import Minted, Stored

_JITTER_SECONDS = 600.0


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
        self._own = Own(platform, mint, shared)
        self.enquiries = Enquiries(mint.wire, platform.appid, self._own.sent)
        self._recovery = Recovery(self.enquiries, shared.vault, self._clock)
        self._parked: Refusal | None = None
        self._parked_until = 0.0

    async def withdrawn(self, appid: str) -> bool:
        """Whether an account's info confirms that it does not authorise the platform."""
        return await self._recovery.withdrawn(appid)

    async def ask_for_pushes(self) -> None:
        """Asks WeChat to push tickets, where none has come for an hour."""
        await self._own.tickets.asked_for()

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
        """All refresh tokens that may work, the likeliest first: four at most."""
        configured = account.refresh_token.reveal() if account.refresh_token else ""
        previous = await self._shared.vault.previous(account.appid)
        known = dict.fromkeys((stored.refresh_token, configured, *previous))
        return [refresh_token for refresh_token in known if refresh_token]

    async def _exchanged(self, appid: str, refresh_token: str, keep: Keep) -> Stored:
        try:
            send = partial(self._send, appid, refresh_token)
            stored = await self._own.sent(lambda token: keep(partial(send, token)))
        except Refused as refused:
            raise Refused(self._noted(refused.refusal)) from None
        return stored

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
