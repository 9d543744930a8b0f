"""What the platform remembers, and who may call a statistic now."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from harvester.sandbox.accounts import Accounts
from harvester.sandbox.clock import CHINA
from harvester.sandbox.endpoints import Endpoint
from harvester.sandbox.quotas import Quotas
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.settings import Settings
from harvester.sandbox.tokens import Kind, Token, Tokens


class Platform:
    """Accounts, tokens and quotas under one clock."""

    def __init__(
        self, settings: Settings, now: Callable[[], datetime] | None = None
    ) -> None:
        self.settings = settings
        self.now = now or clock(settings.as_of)
        self.accounts = Accounts(settings)
        self.tokens = Tokens(settings.token_seconds)
        self.quotas = Quotas()

    def today(self) -> int:
        """The day in China by the sandbox's clock."""
        return self.now().astimezone(CHINA).toordinal()

    def admit(self, token: Token, endpoint: Endpoint) -> None:
        """Counts one call of a statistic. Raises Refusal where it is not allowed."""
        if token.kind is Kind.COMPONENT:
            raise Refusal(61015)
        standing = self.accounts.usable(token.appid)
        if not standing.verified:
            raise Refusal(48001)
        if (
            standing.granted is not None
            and endpoint.permission_set not in standing.granted
        ):
            raise Refusal(61007)
        minute = int(self.tokens.ticks() // 60)
        self.quotas.spend_minute(token.appid, minute, self.settings.minute_quota)
        self.quotas.spend_day(
            token.appid, endpoint.id, self.today(), self.settings.daily_quota
        )


def clock(as_of: datetime | None) -> Callable[[], datetime]:
    """A clock that starts at this moment; nothing: the machine's."""
    started = time.monotonic()
    if as_of is None:
        return lambda: datetime.now(UTC)
    return lambda: as_of + timedelta(seconds=time.monotonic() - started)
