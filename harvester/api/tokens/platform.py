"""The third-party platform, as its operator configured it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harvester.secret import Secret


def _no_ticket() -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The platform: as the owner of the tokens, or as a guest (`token_url`)."""

    appid: str = ""
    secret: Secret | None = None
    ticket: Callable[[], str] = _no_ticket
    """Read anew each time; where it gives nothing, the vault's ticket counts."""

    token_url: str = ""
    """Where another system hands the tokens out; `{appid}` stands for the account."""

    token_headers: Mapping[str, Secret] = field(default_factory=dict)
    """Sent to `token_url`, and to an account's own only on the same server."""
