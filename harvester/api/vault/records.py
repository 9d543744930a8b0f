"""What the vault hands out and takes in. Times are epoch seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One name's tokens. Nothing known is empty, 0 the first generation."""

    token: str = ""
    learned_at: float = 0.0
    expires_at: float = 0.0
    generation: int = 0
    refresh_token: str = ""
    early: int = 0
    """How often within the last hour a token had to be replaced in the first half of its
    life, by whatever process."""

    def __repr__(self) -> str:
        return f"Stored(generation={self.generation}, expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """What a token call brought. `learned_at` is the moment it was sent."""

    token: str
    learned_at: float
    expires_at: float
    refresh_token: str = ""

    def __repr__(self) -> str:
        return f"Minted(expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What may be learned of an account. None and an empty name: nothing was said."""

    name: str = ""
    mini_program: bool | None = None
    service_type: int | None = None
    """0 and 1: subscription account, 2: service account."""

    verify_type: int | None = None
    """-1: unverified."""

    status: int | None = None
    """1 normal, 14 cancelled, 16 banned, 18 warned, 19 frozen."""

    permission_sets: frozenset[int] | None = None
    auth_time: int | None = None
    """When its owner last authorised the platform, as the platform's list says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An account of the vault without its secrets."""

    appid: str
    facts: Facts = Facts()
    authorised: bool | None = None
    """None: nobody has said; False: its owner withdrew the authorisation."""

    learned: Mapping[str, float] = field(default_factory=dict)
    """When each fact was learned, by its name; `authorised` too."""

    has_refresh_token: bool = False
    has_token: bool = False
    token_expires_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The platform's newest ticket. `created_at` is WeChat's moment; 0: none is known."""

    value: str = field(default="", repr=False)
    created_at: float = 0.0
