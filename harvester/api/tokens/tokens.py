"""The accounts' tokens: from another system, from a secret, or from the platform.

1. `token_url`, the account's own or the platform's: read there, never minted, never
   stored. Owner and guest do not mix.
2. Otherwise the vault, shared by all processes; what is missing there is fetched by
   the account's own secret, else by the refresh token it granted to the platform.

Tokens are fetched lazily, right before an account's calls, one at a time an account.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import quote, urlsplit

from harvester.accounts import Account
from harvester.api.codes import Refused, refused_by_us
from harvester.api.tokens.component import Component
from harvester.api.tokens.holder import Held, Holder
from harvester.api.tokens.mint import Mint
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.shared import Keep, Shared, patiently
from harvester.api.vault.records import Minted, Stored
from harvester.api.vault.vault import Vault
from harvester.api.wire import Wire


class Tokens:
    """The tokens of this process. `clock` gives epoch seconds."""

    def __init__(
        self,
        wire: Wire,
        vault: Vault,
        platform: Platform | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._counters = wire.counters
        self._vault = vault
        self._clock = clock
        self._sleep = sleep
        self._platform = platform or Platform()
        self._mint = Mint(wire, clock)
        self._shared = Shared(vault, sleep)
        self.component = Component(self._platform, self._mint, self._shared)
        """The platform's own calls."""

        self._holders: dict[str, Holder] = {}

    async def current(self, account: Account) -> str:
        """The token to use now. Raises Refused."""
        holder = self._holders.get(account.appid)
        if holder is None:
            holder = self._holder(account)
        return await holder.current()

    async def rejected(self, account: Account, token: str) -> str:
        """The token to use in place of one that was rejected. Raises Refused."""
        return await self._holder(account).rejected(token)

    def struck(self, account: Account, token: str) -> None:
        """Notes a rejection without fetching: the next call needs another token."""
        self._holder(account).struck(token)

    def accepted(self, account: Account) -> None:
        """A call with the account's token went through."""
        holder = self._holders.get(account.appid)
        if holder is not None:
            holder.accepted()

    async def withdrawn(self, account: Account) -> bool:
        """Whether the platform confirms that the account does not authorise it (61003).

        Then the vault keeps it as withdrawn. Only where this process owns the tokens.
        """
        owned = self._platform.secret is not None and account.secret is None
        if not owned or account.token_url or self._platform.token_url:
            return False
        return await self.component.withdrawn(account.appid)

    def leave(self, appid: str) -> None:
        """Forgets what is in memory of an account whose calls are done."""
        self._holders.pop(appid, None)

    def _holder(self, account: Account) -> Holder:
        fetch = partial(self._fetch, account)
        return self._holders.setdefault(account.appid, Holder(fetch, self._clock))

    async def _fetch(self, account: Account, rejected: str) -> Held:
        if account.token_url or self._platform.token_url:
            return await self._read_elsewhere(account)
        if account.refresh_token is not None:
            await self._vault.seed(account.appid, account.refresh_token.reveal())
        started = self._clock()

        def fits(stored: Stored) -> bool:
            return stored.token not in ("", rejected) and (
                stored.expires_at > self._clock()
            )

        refresh = partial(self._refreshed, account)
        stored = await self._shared.obtain(account.appid, fits, refresh)
        fresh = bool(rejected) or stored.learned_at >= started
        return Held(stored.token, stored.expires_at, fresh)

    async def _refreshed(self, account: Account, stored: Stored, keep: Keep) -> Stored:
        if account.secret is not None:
            secret = account.secret.reveal()
            fresh = await keep(partial(self._mint.stable, account.appid, secret))
        elif self._platform.secret is not None:
            fresh = await self.component.refreshed(account, stored, keep)
        else:
            raise Refused(refused_by_us("no_credentials"))
        self._counters.token_refreshes += 1
        return fresh

    async def _read_elsewhere(self, account: Account) -> Held:
        template = account.token_url or self._platform.token_url
        url = template.replace("{appid}", quote(account.appid, safe=""))
        headers: dict[str, str] = {}
        if _origin(template) == _origin(self._platform.token_url):
            given = self._platform.token_headers.items()
            headers = {name: value.reveal() for name, value in given}
        retrying = patiently(self._sleep)
        minted: Minted = await retrying(self._mint.elsewhere, url, headers)
        return Held(minted.token, minted.expires_at, fresh=True)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
