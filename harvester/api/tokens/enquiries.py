"""What the platform may ask about its accounts, and the call that asks for pushes.

Each is one request under the platform's token (`asked` brings it, and another one where
it is rejected). Raises Refused.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from harvester.api.tokens.mint import Ask, answered, quoted, refused
from harvester.api.vault.records import Facts
from harvester.api.wire import Wire
from harvester.secret import Secret

PAGE = 500

_COMPONENT = "/cgi-bin/component"
_RULES = "api_authorizer_token"
"""Whose rules read the answers: the call with the same token."""

T = TypeVar("T")
Document = dict[str, Any]


class Asked(Protocol):
    """Sends a call with the platform's token, and again with another if it is rejected."""

    async def __call__(self, send: Callable[[str], Awaitable[T]]) -> T:
        """What the call brings. Raises Refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An account as the platform's list names it."""

    appid: str
    refresh_token: str = field(default="", repr=False)
    """Empty where nobody has exchanged the account's authorisation code."""

    auth_time: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the list. `size` counts what could not be read as well."""

    accounts: tuple[Listed, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What the platform is told of one account."""

    facts: Facts
    refresh_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Enquiries:
    """The calls of the platform with this appid."""

    wire: Wire
    platform: str
    asked: Asked

    async def listed(self, offset: int = 0) -> Page:
        """At most 500 accounts from this place of the list on; none: its end."""
        more = {"offset": offset, "count": PAGE}
        ask, document = await self._answer("api_get_authorizer_list", more)
        found = document.get("list")
        if not isinstance(found, list):
            raise refused(ask, "no_rows", "no list in the answer")
        read = [_listed(one) for one in found]
        return Page(accounts=tuple(one for one in read if one), size=len(found))

    async def info(self, appid: str) -> Info:
        """One account: name, types, verification, status, and what it granted."""
        more = {"authorizer_appid": appid}
        ask, document = await self._answer("api_get_authorizer_info", more)
        account = document.get("authorizer_info")
        if not isinstance(account, dict):
            raise refused(ask, "no_rows", "no authorizer_info in the answer")
        granted = _object(document, "authorization_info")
        return Info(
            facts=facts_of(account, granted),
            refresh_token=_text(granted, "authorizer_refresh_token"),
        )

    async def _answer(self, call: str, more: Document) -> tuple[Ask, Document]:
        async def send(token: str) -> tuple[Ask, Document]:
            path = f"{_COMPONENT}/{call}?component_access_token={quoted(token)}"
            body = {"component_appid": self.platform, **more}
            ask = Ask(call, path, body, (token,), _RULES)
            return ask, await answered(self.wire, ask)

        return await self.asked(send)


async def start_pushes(wire: Wire, platform: str, secret: Secret) -> None:
    """Asks WeChat to push tickets (again). It takes no token. Raises Refused."""
    value = secret.reveal()
    body = {"component_appid": platform, "component_secret": value}
    call = "api_start_push_ticket"
    ask = Ask(call, f"{_COMPONENT}/{call}", body, (value,), "api_component_token")
    await answered(wire, ask)


def facts_of(account: Mapping[str, Any], granted: Mapping[str, Any]) -> Facts:
    """What `authorizer_info` and `authorization_info` say."""
    return Facts(
        name=_text(account, "nick_name"),
        mini_program="MiniProgramInfo" in account,
        service_type=_number(_object(account, "service_type_info").get("id")),
        verify_type=_number(_object(account, "verify_type_info").get("id")),
        status=_number(account.get("account_status")),
        permission_sets=_permission_sets(granted.get("func_info")),
    )


def _listed(found: object) -> Listed | None:
    if not isinstance(found, dict) or not _text(found, "authorizer_appid"):
        return None
    return Listed(
        appid=_text(found, "authorizer_appid"),
        refresh_token=_text(found, "refresh_token"),
        auth_time=_number(found.get("auth_time")),
    )


def _permission_sets(listed: object) -> frozenset[int] | None:
    """The numbers in `[{"funcscope_category": {"id": 1}}, …]`; None: not said."""
    if not isinstance(listed, list):
        return None
    items = (one for one in listed if isinstance(one, dict))
    numbers = (_number(_object(one, "funcscope_category").get("id")) for one in items)
    return frozenset(number for number in numbers if number is not None)


def _object(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str:
    found = document.get(key)
    return found.strip() if isinstance(found, str) else ""


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.removeprefix("-").isdecimal():
        return int(value)
    return value if type(value) is int else None
