"""How strict, how slow and how faulty a sandbox is."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Literal

from harvester.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Open and healthy by default; every limit is opt-in. Raises UsageError."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port."""

    seed: int = 1
    accounts: int = 100
    """How many made-up accounts there are: in the platform's list, and in a rehearsal."""

    faults: tuple[str, ...] = ()
    latency_ms: float = 0
    token_seconds: float = 7200
    daily_quota: int | None = None
    """Calls of one account and endpoint on one day in China."""

    minute_quota: int | None = None
    """Datacube calls of one account in one minute."""

    as_of: datetime | None = None
    """The moment at which the sandbox's clock starts; nothing: now."""

    known_only: bool = False
    """Only the made-up accounts exist."""

    rotate_refresh_tokens: bool = False
    """Each authorizer token comes with a new refresh token, and the old one is void."""

    early: Literal["refuse", "empty"] = "refuse"
    """Yesterday's figures before 08:00: 61503, or a list without them."""

    def __post_init__(self) -> None:
        if self.as_of is not None and self.as_of.tzinfo is None:
            raise UsageError(
                "the sandbox's as-of time has no offset", "write 2026-01-20T12:00+08:00"
            )
        if not 0 <= self.port <= 65535:
            raise UsageError(
                f"port {self.port} does not exist", "choose 0 (any free one) to 65535"
            )
        if self.accounts < 0 or self.latency_ms < 0 or self.token_seconds <= 0:
            raise UsageError(
                "accounts, latency and token life cannot be negative",
                "mend that option",
            )
        if self.early not in ("refuse", "empty"):
            raise UsageError(
                f"no way to be early is called {self.early!r}", "choose refuse or empty"
            )


def appids(seed: int, count: int) -> list[str]:
    """The appids of the made-up accounts: always the same ones for the same seed."""
    return [
        f"wx{blake2b(b'%d|%d' % (seed, i), digest_size=8).hexdigest()}"
        for i in range(count)
    ]
