"""The platform's ticket: where it is read, and how a newer one is come by."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from anyio import to_thread

from harvester.api.codes import Refused, refused_by_us
from harvester.api.tokens.enquiries import start_pushes
from harvester.api.tokens.platform import Platform
from harvester.api.vault.inspection import TICKET_SECONDS
from harvester.api.vault.records import Ticket
from harvester.api.vault.vault import Vault
from harvester.api.wire import Wire
from harvester.errors import HarvesterError

SLACK_SECONDS = 600.0
"""What the clocks of WeChat and of the receiving machine may differ."""

OLD_SECONDS = 3600.0
"""Pushes come every ten minutes, give or take; after an hour they are asked for."""

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tickets:
    """The configured ticket, read anew each time; where it gives none, the vault's."""

    platform: Platform
    wire: Wire
    vault: Vault
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    async def newest(self) -> Ticket:
        """The newest ticket; a configured one may be of any age, and counts as new."""
        try:
            configured = (await to_thread.run_sync(self.platform.ticket)).strip()
        except (OSError, HarvesterError):
            configured = ""
        if configured:
            return Ticket(value=configured, created_at=self.clock())
        return await self.vault.ticket(self.platform.appid)

    def check(self, ticket: Ticket) -> None:
        """Raises Refused where it is none, or cannot be good any more."""
        age = self.clock() - ticket.created_at
        if not ticket.value:
            raise Refused(refused_by_us("no_ticket", "api_component_token"))
        if age > TICKET_SECONDS + SLACK_SECONDS:
            raise Refused(refused_by_us("old_ticket", "api_component_token"))

    async def newer(self, refused: str, *, wait: bool) -> bool:
        """Whether another ticket than the refused one is there.

        When the last is older than an hour, WeChat is asked for pushes, once an hour
        of all processes; then one that comes is waited for, if that is wished.
        """
        if (await self.newest()).value != refused:
            return True
        if not await self.asked_for() or not wait:
            return False
        for _ in range(int(WAIT_SECONDS / POLL_SECONDS)):
            await self.sleep(POLL_SECONDS)
            if (await self.newest()).value != refused:
                return True
        return False

    async def asked_for(self) -> bool:
        """Asks WeChat to push where the last ticket of the vault is older than an hour.

        Whether that was done just now, by this process or another.
        """
        platform = self.platform
        age = self.clock() - await self.vault.ticket_created_at(platform.appid)
        if age < OLD_SECONDS or platform.secret is None:
            return False
        ago = await self.vault.ask_for_pushes(platform.appid, OLD_SECONDS)
        if ago > 0:
            return ago < WAIT_SECONDS
        try:
            await start_pushes(self.wire, platform.appid, platform.secret)
        except Refused as refused:
            met = refused.refusal
            log.warning("pushes_not_asked_for", reason=met.message, todo=met.todo)
            return False
        log.info("pushes were asked for: no ticket has come for an hour")
        return True
