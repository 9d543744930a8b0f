"""The accounts: who is harvested, with which credentials."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate

from harvester.errors import UsageError
from harvester.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One authorised appid, and what the configuration says of it."""

    appid: str
    name: str = ""
    secret: Secret | None = None
    """Its own secret: tokens come from `stable_token`."""

    refresh_token: Secret | None = None
    """Seeds the vault once; the vault wins until this value changes."""

    token_url: str = ""
    """Its own token server: tokens are read there and never minted."""

    endpoints: tuple[str, ...] = ()
    """Selectors of its own; nothing: those of `[harvest]`."""

    since: int | None = None
    """First day wanted (an ordinal); nothing: that of `[harvest]`."""

    calls_per_second: float | None = None

    @property
    def credential(self) -> str:
        """Where its tokens come from, in the configuration's words."""
        given = ("secret", "refresh_token", "token_url")
        return next((key for key in given if getattr(self, key)), "platform")


def select(accounts: Sequence[Account], patterns: Iterable[str]) -> list[Account]:
    """The accounts whose appid or name matches a glob, in their order; no glob: all.

    Raises UsageError for a glob that matches none: a typing error must not look like
    an account without statistics.
    """
    chosen: set[str] = set()
    globs = list(patterns)
    for glob in globs:
        found = _matching(accounts, glob)
        if not found:
            raise UsageError(
                f"--account {glob}: matches none of {len(accounts)} accounts",
                "`harvester accounts list` shows them (upper and lower case differ)",
            )
        chosen |= found
    return [one for one in accounts if not globs or one.appid in chosen]


def _matching(accounts: Sequence[Account], glob: str) -> set[str]:
    matches = re.compile(translate(glob)).match
    return {one.appid for one in accounts if matches(one.appid) or matches(one.name)}
