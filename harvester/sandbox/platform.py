"""What the platform remembers, and who may call a statistic now."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from harvester.sandbox.accounts import Accounts
from harvester.sandbox.clock import CHINA
from harvester.sandbox.endpoints import Endpoint
from harvester.sandbox.outbox import Outbox
from harvester.sandbox.quotas import Quotas
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.settings import Settings
from harvester.sandbox.tokens import Kind, Token, Tokens
from harvester.sandbox.vouchers import Vouchers

HOUR = 3600.0


class Platform:
    """Accounts, tokens, codes and quotas under one clock."""

    def __init__(
        self, settings: Settings, now: Callable[[], datetime] | None = None
    ) -> None:
        self.settings = settings
        self.now = now or clock(settings.as_of)
        self.accounts = Accounts(settings)
        self.tokens = Tokens(settings.token_seconds)
        self.quotas = Quotas()
        self.outbox = Outbox()
        voucher = partial(Vouchers, ticks=lambda: self.tokens.ticks())
        self.tickets = voucher("ticket@@@", 12 * HOUR, (61006, 61005))
        self.pre_auth_codes = voucher("preauthcode@@@", HOUR / 2, (61009, 61010))
        self.codes = voucher("queryauthcode@@@", HOUR / 6, (61009, 61010))

    def change(self, **changes: Any) -> None:
        """From now on these settings hold. Raises UsageError."""
        self.settings = replace(self.settings, **changes)
        self.tokens.life = self.settings.token_seconds

    def today(self) -> int:
        """The day in China by the sandbox's clock."""
        return self.now().astimezone(CHINA).toordinal()

    def check_address(self, address: str) -> None:
        """Raises Refusal for an address that is not on the platform's IP list."""
        listed = self.settings.addresses
        if listed and address not in listed:
            raise Refusal(
                61004, f"access clientip is not registered, requestIP: {address}"
            )

    def spend(self, appid: str, name: str) -> None:
        """Counts one call of the platform. Raises Refusal beyond its daily limit."""
        limit = self.settings.call_quotas.get(name)
        self.quotas.spend_day(appid, name, self.today(), limit)

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
