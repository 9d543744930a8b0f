"""A sandbox's state, and the hand that changes it while it runs."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from harvester.sandbox import authorising
from harvester.sandbox.injection import Injection
from harvester.sandbox.platform import Platform
from harvester.sandbox.pushing import Pushes
from harvester.sandbox.settings import Settings
from harvester.sandbox.tally import Tally
from harvester.sandbox.world import World


class Sandbox:
    """A stand-in platform: what is true (`world`), what goes wrong (`faults`), what came in."""

    def __init__(
        self, settings: Settings, now: Callable[[], datetime] | None = None
    ) -> None:
        self.url = ""
        """Where it listens, without a slash at the end."""

        self.world = World(settings.seed)
        self.platform = Platform(settings, now)
        self.faults = Injection(settings.seed, settings.faults)
        self.tally = Tally()
        self.pushes = Pushes(self.platform, self.faults, self.tally)
        self.calls = self.tally.calls
        self.token_calls = self.tally.token_calls
        self.log = self.tally.log

    @property
    def settings(self) -> Settings:
        """How strict it is now."""
        return self.platform.settings

    def change(self, **changes: Any) -> None:
        """From now on these settings hold. Raises UsageError.

        Seed, accounts, faults, clock and address stay those of the start.
        """
        self.platform.change(**changes)

    def check(self, appid: str) -> None:
        """Raises Refusal for what is no appid, or unknown where only known ones are served."""
        self.platform.accounts.check_exists(appid, self.settings.known_only)

    def set_clock(self, now: Callable[[], datetime]) -> None:
        """From now on this is the time."""
        self.platform.now = now

    def expire_tokens(self, appid: str) -> None:
        """Every token of the account is void as of now: 42001."""
        self.platform.tokens.expire(appid)

    def revoke(self, appid: str, *, silently: bool = False) -> None:
        """The account withdraws its authorisation: 61003, and it leaves the list."""
        authorising.withdraw(self.platform, appid, silently=silently)

    def scan(self, appid: str, sets: Collection[int] | None = None) -> str:
        """The account's owner authorises on WeChat's page: the code, which is pushed too.

        Its refresh token is another one now, its access token void (40001).
        """
        return authorising.authorise(self.platform, appid, sets)

    def authorise(
        self, appid: str, *, authorised_at: int, refresh_token: str = ""
    ) -> None:
        """It is as if the account had authorised at this time, and nobody was told.

        With a refresh token, all others are void.
        """
        self.platform.accounts.change(
            appid,
            revoked=False,
            authorised_at=authorised_at,
            refresh_token=refresh_token,
        )

    def freeze(self, appid: str, frozen: bool = True) -> None:
        """The account is frozen (50002), or no longer."""
        self.platform.accounts.change(appid, frozen=frozen)

    def verify(self, appid: str, verified: bool = True) -> None:
        """The account is verified, or is not (48001)."""
        self.platform.accounts.change(appid, verified=verified)

    def grant(self, appid: str, *permission_sets: int) -> None:
        """The account grants these permission sets and no other (61007)."""
        self.platform.accounts.change(appid, granted=frozenset(permission_sets))

    def require(self, appid: str, *, secret: str = "", refresh_token: str = "") -> None:
        """Only this secret (40125) or this refresh token (61023) works for the account."""
        self.platform.accounts.change(appid, secret=secret, refresh_token=refresh_token)
