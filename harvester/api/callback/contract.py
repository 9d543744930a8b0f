"""What the receiver of pushes works with, and what it asks of vault and platform."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from harvester.secret import Secret

PATH = "/wechat/events"
"""Where pushes arrive, whatever else is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the operator has configured of the receiver."""

    platform: str
    """The platform's appid."""

    token: Secret
    """Signs the pushes."""

    keys: tuple[bytes, ...] = field(repr=False)
    """The present key and the one before it, 32 bytes each: at least one."""

    path: str = PATH
    """Where pushes arrive as well."""

    public_url: str = ""
    """Under which accounts' owners reach `/authorize`; without it nobody is sent on."""

    accept_age: float = 3600.0
    """Seconds after which a push is too old to be taken."""

    exchange_codes: bool = True
    """False: another system calls `api_query_auth`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The platform's newest ticket. `created_at` is WeChat's moment, epoch seconds."""

    value: str = field(repr=False)
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorisation code: good for one exchange."""

    value: str = field(repr=False)
    appid: str = ""
    """Whose it is; nothing: the exchange tells."""

    created_at: float
    """When the account was authorised: WeChat's moment, epoch seconds."""

    until: float
    """So long it is worth a try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """The account's owner has ended the authorisation."""

    appid: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a code brought. Without permission for any call there are no tokens in it."""

    appid: str
    permission_sets: frozenset[int] = frozenset()
    token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    learned_at: float = 0.0
    """When the request was sent, epoch seconds."""

    expires_at: float = 0.0


class Outcome(StrEnum):
    """What has become of a code."""

    GRANTED = "granted"
    KNOWN = "known"
    """It was taken in before; whoever did so exchanges it."""

    INVALID = "invalid"
    """Expired, used, or never one."""

    LATER = "later"
    """It could not be exchanged now, and is kept for another try."""


class Vault(Protocol):
    """What the receiver stores. Every method is durable on return.

    Pushes arrive late, twice and out of order, so that each change carries its moment.
    Raises HarvesterError.
    """

    async def put_ticket(self, platform: str, ticket: str, created_at: float) -> None:
        """Keeps the ticket unless a newer one is known; an empty one changes nothing."""

    async def ticket_created_at(self, platform: str) -> float:
        """When the known ticket was created; 0.0: none is known."""

    async def put_standing(
        self, platform: str, appid: str, *, authorised: bool, at: float
    ) -> None:
        """Whether the account is authorised, unless something newer is known.

        One that is not keeps its row and its refresh tokens, and loses its token.
        """

    async def put_code(self, platform: str, code: Code, claim_seconds: float) -> bool:
        """Keeps the code, claimed for so long by the caller; False: it was known.

        It stays known, done or not, for a day after `until`.
        """

    async def claim_codes(
        self, platform: str, claim_seconds: float, most: int
    ) -> Sequence[Code]:
        """The oldest codes that are neither done nor claimed, now claimed for so long."""

    async def close_code(self, platform: str, code: Code) -> None:
        """The code is done."""

    async def put_grant(self, platform: str, grant: Grant, at: float) -> None:
        """Replaces tokens and permission sets in one step, and the account is authorised.

        A refresh that is under way cannot overwrite it, nothing empty overwrites
        anything, and an older grant or one from before a withdrawal changes nothing.
        """


class Authority(Protocol):
    """The platform's calls that an authorisation needs. Raises Refused."""

    async def query_auth(self, code: str) -> Grant:
        """`api_query_auth`: tokens and permission sets for a code."""

    async def pre_auth_code(self) -> str:
        """`api_create_preauthcode`: opens WeChat's page once."""

    async def ask_for_pushes(self) -> None:
        """`api_start_push_ticket`, where no ticket has come for an hour."""
