"""What is tried before an account counts as gone.

1. A refresh token that is refused: the vault again (somebody may have stored a newer
   one), the platform's list, the account's info. The list is read once for all the
   accounts of this process that miss one, from where the last search ended.
2. An account that does not authorise the platform: the info has to say so as well.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog

from harvester.api.codes import Decision, Refused
from harvester.api.tokens.enquiries import Enquiries, Info
from harvester.api.vault.vault import Vault

SWEEP_SECONDS = 600.0
"""So long what the list said counts."""

WITHDRAWN = "61003"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Recovery:
    """One per process. `clock` gives epoch seconds."""

    enquiries: Enquiries
    vault: Vault
    clock: Callable[[], float]
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _seen: set[str] = field(default_factory=set)
    _offset: int = 0
    _ended: bool = True
    _started_at: float = float("-inf")

    async def refresh_token(self, appid: str, tried: Collection[str]) -> str:
        """One of the account's that was not tried yet; nothing: there is none.

        Raises Refused when that could not be found out.
        """
        for find in (self._in_vault, self._in_list, self._by_info):
            found = await find(appid, tried)
            if found:
                log.info("refresh token recovered", account=appid)
                return found
        return ""

    async def withdrawn(self, appid: str) -> bool:
        """Whether the account's info says so too; then the vault knows it as well.

        Info that says something else is kept.
        """
        try:
            await self._info(appid)
        except Refused as refused:
            return refused.refusal.code == WITHDRAWN
        return False

    async def _in_vault(self, appid: str, tried: Collection[str]) -> str:
        stored = await self.vault.read(appid)
        known = (stored.refresh_token, *await self.vault.previous(appid))
        return next((one for one in known if one and one not in tried), "")

    async def _in_list(self, appid: str, tried: Collection[str]) -> str:
        try:
            await self._sweep_until(appid)
        except Refused as refused:
            if refused.refusal.decision is not Decision.FAIL:
                raise  # it says nothing about the account
            log.warning("the platform's list failed", code=refused.refusal.code)
        return await self._in_vault(appid, tried)

    async def _by_info(self, appid: str, tried: Collection[str]) -> str:
        found = (await self._info(appid)).refresh_token
        return "" if found in tried else found

    async def _info(self, appid: str) -> Info:
        asked_at = self.clock()
        try:
            info = await self.enquiries.info(appid)
        except Refused as refused:
            if refused.refusal.code == WITHDRAWN:
                await self.vault.put_standing(
                    self.enquiries.platform, appid, authorised=False, at=asked_at
                )
            raise
        await self.vault.learn({appid: info.facts}, asked_at)
        return info

    async def _sweep_until(self, appid: str) -> None:
        """Reads the list until it names the account, or to its end."""
        async with self._lock:
            if self.clock() - self._started_at > SWEEP_SECONDS:
                self._seen, self._offset, self._ended = set(), 0, False
                self._started_at = self.clock()
            while appid not in self._seen and not self._ended:
                await self._read_page()

    async def _read_page(self) -> None:
        page = await self.enquiries.listed(self._offset)
        new = {one.appid: one for one in page.accounts if one.appid not in self._seen}
        self._ended = not new  # a list that repeats itself has an end, too
        self._offset += page.size
        self._seen |= new.keys()
        await self.vault.refill(
            {one.appid: one.refresh_token for one in new.values() if one.refresh_token}
        )
