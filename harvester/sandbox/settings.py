"""How strict, how slow and how faulty a sandbox is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Literal

from harvester.errors import UsageError

PLATFORM = "wxffffffffffffffff"
"""The made-up third-party platform, unless another appid is set."""

CALLBACK_TOKEN = "sandboxcallbacktoken"  # noqa: S105 - made up, and public
AES_KEY = "sandboxsandboxsandboxsandboxsandboxsandbox1"

_AES_KEY = re.compile(r"[A-Za-z0-9]{43}", re.ASCII)
_APPID = re.compile(r"wx[0-9a-f]{16}", re.ASCII)


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

    strict: bool = False
    """Only tickets, refresh tokens and accounts that it knows itself are good."""

    rotate_refresh_tokens: bool = False
    """Each authorizer token comes with a new refresh token, and the old one is void."""

    component_overlap: float = 0
    """Seconds for which the platform's old token works beside a new one."""

    separate_codes: bool = False
    """Redirect and push bring a code each, in place of the same one."""

    call_quotas: Mapping[str, int] = field(default_factory=dict)
    """Calls of the platform a day, by the last word of their path; then 45009."""

    addresses: tuple[str, ...] = ()
    """The platform's IP list: calls from elsewhere get 61004; nothing: any may call."""

    platform: str = PLATFORM
    """Whose pushes are sent."""

    platform_secret: str = ""
    """The only secret of the platform that works; nothing: any."""

    callback_url: str = ""
    """Where pushes are posted to; nothing: none is sent."""

    callback_token: str = CALLBACK_TOKEN
    aes_key: str = AES_KEY
    """The 43 characters that pushes are encrypted with."""

    ticket_seconds: float = 600
    """Between two tickets."""

    pushing: bool = True
    """False: no tickets come until `api_start_push_ticket` is called."""

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
        if min(self.accounts, self.latency_ms, self.component_overlap) < 0:
            raise UsageError(
                "accounts, latency and overlap cannot be negative", "mend that option"
            )
        if self.token_seconds <= 0 or self.ticket_seconds <= 0:
            raise UsageError(
                "tokens and the time between tickets have to last", "mend that option"
            )
        self._check_platform()
        if self.early not in ("refuse", "empty"):
            raise UsageError(
                f"no way to be early is called {self.early!r}", "choose refuse or empty"
            )

    def _check_platform(self) -> None:
        if not _APPID.fullmatch(self.platform):
            raise UsageError(
                f"{self.platform!r} is no appid", "write wx and 16 characters of 0-9a-f"
            )
        if not _AES_KEY.fullmatch(self.aes_key):
            raise UsageError(
                "the key of pushes is none", "write 43 letters and digits, made up"
            )
        if self.callback_url and not self.callback_url.startswith("http"):
            raise UsageError(
                f"{self.callback_url!r} is no address to push to",
                "write http://127.0.0.1:8080/wechat/events",
            )


def appids(seed: int, count: int) -> list[str]:
    """The appids of the made-up accounts: always the same ones for the same seed."""
    return [
        f"wx{blake2b(b'%d|%d' % (seed, i), digest_size=8).hexdigest()}"
        for i in range(count)
    ]
