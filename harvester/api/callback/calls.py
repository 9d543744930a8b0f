"""The platform's calls that a receiver of pushes needs.

Each is one request, an authorisation's two under the platform's token (`asked` brings
it, and another one where it is rejected). Nothing else is tried twice: whoever asks
decides when to ask again.
"""

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from harvester.api.callback.contract import Grant
from harvester.api.tokens.enquiries import Asked, facts_of
from harvester.api.tokens.mint import (
    MARGIN_SECONDS,
    Ask,
    answered,
    quoted,
    refused,
)
from harvester.api.wire import Wire

_COMPONENT = "/cgi-bin/component"
_RULES = "api_authorizer_token"
"""Whose rules read the answers: the call with the same token."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of the platform with this appid. `clock` gives epoch seconds."""

    wire: Wire
    platform: str
    asked: Asked
    ask_for_pushes: Callable[[], Coroutine[Any, Any, None]]
    """Where no ticket has come for an hour."""

    clock: Callable[[], float] = time.time

    async def query_auth(self, code: str) -> Grant:
        """Tokens and permission sets for an authorisation code. Raises Refused."""

        async def send(token: str) -> Grant:
            started = self.clock()
            ask = self._ask("api_query_auth", token, code)
            ask.body["authorization_code"] = code
            return _grant(ask, await answered(self.wire, ask), started)

        return await self.asked(send)

    async def pre_auth_code(self) -> str:
        """A code that opens WeChat's page once. Raises Refused."""

        async def send(token: str) -> str:
            ask = self._ask("api_create_preauthcode", token)
            document = await answered(self.wire, ask)
            return _needed(ask, document, "pre_auth_code")

        return await self.asked(send)

    def _ask(self, call: str, token: str, *sent: str) -> Ask:
        path = f"{_COMPONENT}/{call}?component_access_token={quoted(token)}"
        body = {"component_appid": self.platform}
        return Ask(call, path, body, (token, *sent), _RULES)


def _grant(ask: Ask, document: Mapping[str, Any], started: float) -> Grant:
    """Tokens may be missing: an account without permission for any call has none."""
    information = document.get("authorization_info")
    found = information if isinstance(information, dict) else {}
    lifetime = _seconds(found.get("expires_in"))
    return Grant(
        appid=_needed(ask, found, "authorizer_appid"),
        permission_sets=facts_of({}, found).permission_sets or frozenset(),
        token=_text(found, "authorizer_access_token"),
        refresh_token=_text(found, "authorizer_refresh_token"),
        learned_at=started,
        expires_at=started + lifetime - min(MARGIN_SECONDS, lifetime / 10),
    )


def _needed(ask: Ask, document: Mapping[str, Any], key: str) -> str:
    found = _text(document, key)
    if not found:
        raise refused(ask, "no_token")
    return found


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return float(value)
    return float(value) if isinstance(value, int | float) else 0.0
