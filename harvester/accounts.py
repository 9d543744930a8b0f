"""The accounts: who is harvested, with which credentials."""

from dataclasses import dataclass

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
