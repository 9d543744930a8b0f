"""Whether the receiver does its work: how old the ticket is, and how the vault answers."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from harvester.api.callback.contract import Vault
from harvester.api.callback.edge import alone

LOOK_SECONDS = 10.0
SLOW_SECONDS = 30.0
STALE_SECONDS = 3600.0
"""WeChat sends a ticket every ten minutes, with gaps of up to an hour."""


@dataclass(frozen=True, slots=True)
class Health:
    """How it stands now."""

    ticket_age_seconds: float | None
    """None: no ticket is known, or nobody could look."""

    vault: str
    """`ok`, `failing`, or `slow`: it has not answered for half a minute."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, in words; nothing: all is well."""
        found = [] if self.vault == "ok" else [f"the vault is {self.vault}"]
        if self.ticket_age_seconds is None:
            found.append("no ticket has come yet")
        elif self.ticket_age_seconds > STALE_SECONDS:
            minutes = self.ticket_age_seconds / 60
            found.append(f"no ticket has come for {minutes:.0f} minutes")
        return tuple(found)


class Watch:
    """Looks into the vault now and then, so that nobody who asks has to wait for it."""

    def __init__(
        self,
        platform: str,
        vault: Vault,
        *,
        clock: Callable[[], float] = time.time,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._platform = platform
        self._vault = vault
        self._clock = clock
        self._look_seconds = look_seconds
        self._created_at = 0.0
        self._failing = False
        self._looked_at = time.monotonic()

    def seen(self, created_at: float) -> None:
        """A ticket of this moment is in the vault."""
        self._created_at = max(self._created_at, created_at)

    def health(self) -> Health:
        """How it stands by the last look."""
        age = max(0.0, self._clock() - self._created_at) if self._created_at else None
        waited = time.monotonic() - self._looked_at
        slow = waited > self._look_seconds + SLOW_SECONDS
        return Health(age, "slow" if slow else "failing" if self._failing else "ok")

    async def look(self) -> None:
        """Looks once."""
        asked = self._vault.ticket_created_at(self._platform)
        created_at = await alone("look_into_vault", asked)
        self._failing = created_at is None
        self._looked_at = time.monotonic()
        self.seen(created_at or 0.0)

    async def keep_looking(self) -> None:
        """Looks for ever."""
        while True:
            await self.look()
            await asyncio.sleep(self._look_seconds)
