"""The accounts of the platform, and what is special about some of them."""

import re
from dataclasses import dataclass, replace
from typing import Any

from harvester.sandbox.dice import rolls
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.settings import Settings, appids

_APPID = re.compile(r"wx[0-9a-fA-F]{16}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is special about one account. The defaults: nothing."""

    secret: str = ""
    """The only secret that works; nothing: any."""

    refresh_token: str = ""
    """The only refresh token that works; nothing: any."""

    granted: frozenset[int] | None = None
    """Permission sets granted to the platform; nothing: all."""

    verified: bool = True
    revoked: bool = False
    frozen: bool = False
    authorised_at: int = 1_700_000_000
    """Seconds since 1970."""

    exchanged: bool = True
    """Whether a code of its last authorisation was exchanged; until then nobody is told
    its refresh token."""


class Accounts:
    """The made-up accounts, and every one that was changed."""

    def __init__(self, settings: Settings) -> None:
        self._seed = settings.seed
        self._known = dict.fromkeys(
            appids(settings.seed, settings.accounts), Standing()
        )

    def standing(self, appid: str) -> Standing:
        """What is special about the account."""
        return self._known.get(appid, _ORDINARY)

    def change(self, appid: str, **changes: Any) -> None:
        """From now on the account exists and is like this, see `Standing`."""
        self._known[appid] = replace(self.standing(appid), **changes)

    def check_exists(self, appid: str, known_only: bool) -> None:
        """Raises Refusal for what is no appid, or unknown where only known ones are served."""
        if not _APPID.fullmatch(appid) or (known_only and appid not in self._known):
            raise Refusal(40013)

    def usable(self, appid: str) -> Standing:
        """The standing of an account that may call at all. Raises Refusal."""
        standing = self.standing(appid)
        if standing.frozen:
            raise Refusal(50002)
        if standing.revoked:
            raise Refusal(61003)
        return standing

    def known(self) -> list[str]:
        """All accounts, also those that do not authorise the platform."""
        return list(self._known)

    def authorised(self) -> list[str]:
        """The accounts that the platform may act for."""
        return list(filter(self.authorises, self._known))

    def authorises(self, appid: str) -> bool:
        """Whether the account is known and the platform may act for it."""
        return appid in self._known and not self._known[appid].revoked

    def refresh_token(self, appid: str) -> str:
        """The refresh token that works for the account."""
        return self.standing(appid).refresh_token or made_up_refresh_token(
            self._seed, appid
        )

    def told_refresh_token(self, appid: str) -> str:
        """The one that list and info name."""
        return self.refresh_token(appid) if self.standing(appid).exchanged else ""


_ORDINARY = Standing()


def made_up_refresh_token(*key: object) -> str:
    """A refresh token that looks like WeChat's."""
    digits = "".join(f"{roll:04x}" for roll in rolls("refresh token", *key)[:11])
    return f"refreshtoken@@@{digits[:43]}"
