"""The four calls that fetch a token: each one request, one result or one refusal.

`expires_at` is the start of the request + `expires_in` − min(300 s, a tenth of it).
Nothing is stored here and nothing is tried twice.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from harvester.api.codes import (
    Decision,
    Refusal,
    Refused,
    Scope,
    Verdict,
    error_of,
    refusal,
    rid_of,
    token_rule_of,
)
from harvester.api.vault.records import Minted
from harvester.api.wire import Unreachable, Wire
from harvester.decoding import Unreadable, decode

_COMPONENT = "/cgi-bin/component"
MARGIN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Mint:
    """The token calls. `clock` gives epoch seconds."""

    wire: Wire
    clock: Callable[[], float] = time.time

    async def stable(self, appid: str, secret: str) -> Minted:
        """An account's own token, by its own secret. Raises Refused."""
        body = {
            "grant_type": "client_credential",
            "appid": appid,
            "secret": secret,
            "force_refresh": False,
        }
        ask = Ask("stable_token", "/cgi-bin/stable_token", body, (secret,))
        return await self._posted(ask, "access_token")

    async def component(self, appid: str, secret: str, ticket: str) -> Minted:
        """The platform's token, by its secret and ticket. Raises Refused."""
        body = {
            "component_appid": appid,
            "component_appsecret": secret,
            "component_verify_ticket": ticket,
        }
        path = f"{_COMPONENT}/api_component_token"
        ask = Ask("api_component_token", path, body, (secret, ticket))
        return await self._posted(ask, "component_access_token")

    async def authorizer(
        self, platform: str, platform_token: str, appid: str, refresh_token: str
    ) -> Minted:
        """An account's token, by what it granted to the platform. Raises Refused."""
        body = {
            "component_appid": platform,
            "authorizer_appid": appid,
            "authorizer_refresh_token": refresh_token,
        }
        path = f"{_COMPONENT}/api_authorizer_token?component_access_token="
        ask = Ask(
            "api_authorizer_token",
            f"{path}{quoted(platform_token)}",
            body,
            (platform_token, refresh_token),
        )
        return await self._posted(ask, "authorizer_access_token")

    async def elsewhere(self, url: str, headers: Mapping[str, str]) -> Minted:
        """A token that another system owns: read there, never minted. Raises Refused."""
        sent = (*headers.values(), *(value.split()[-1] for value in headers.values()))
        started = self.clock()
        try:
            body = await self.wire.send("GET", url, headers=headers)
        except Unreachable as trouble:
            met = _from_token_server(trouble, sent)
        else:
            ask = Ask("token_url", url, {}, sent)
            return _minted(ask, _document(ask, body), started)
        raise Refused(met)

    async def _posted(self, ask: "Ask", key: str) -> Minted:
        started = self.clock()
        return _minted(ask, await answered(self.wire, ask), started, key)


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of a token's owner, and the secrets it carries."""

    call: str
    path: str
    body: dict[str, Any]
    sent: tuple[str, ...]
    rules: str = ""
    """Whose rows of `rules.TOKEN_RULES` read the answer; nothing: the call's own."""


async def answered(wire: Wire, ask: Ask) -> dict[str, Any]:
    """The answer's object, which names no error. Raises Refused."""
    try:
        body = await wire.main(ask.path, orjson.dumps(ask.body))
    except Unreachable as trouble:
        met = _unreached(ask, trouble)
    else:
        return _document(ask, body)
    raise Refused(met)


def refused(ask: Ask, code: str, message: str = "") -> Refused:
    """The refusal of an answer. Without its body, which may hold a new token."""
    rule = token_rule_of(code, ask.rules or ask.call)
    said = Verdict(rule, code, f"{ask.call}: {message}".rstrip(": "), rid_of(message))
    return Refused(refusal(said, sent=ask.sent))


def quoted(token: str) -> str:
    """The token as it may stand in a query."""
    return token if token.isalnum() and token.isascii() else quote(token, safe="")


def _minted(
    ask: Ask, document: dict[str, Any], started: float, key: str = "access_token"
) -> Minted:
    token, lifetime = document.get(key), _number(document.get("expires_in"))
    refresh_token = document.get("authorizer_refresh_token")
    if not isinstance(token, str) or not token or lifetime <= 0:
        raise refused(ask, "no_token")
    return Minted(
        token=token,
        learned_at=started,
        expires_at=started + lifetime - min(MARGIN_SECONDS, lifetime / 10),
        refresh_token=refresh_token if isinstance(refresh_token, str) else "",
    )


def _document(ask: Ask, body: bytes) -> dict[str, Any]:
    try:
        document = decode(body)
    except Unreadable:
        code, message = "not_json", ""
    else:
        code, message = error_of(document)
        if not code:
            return document
    raise refused(ask, code, message)


def _number(value: object) -> float:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return float(value)
    return float(value) if isinstance(value, int | float) else 0.0


def _unreached(ask: Ask, trouble: Unreachable) -> Refusal:
    rule = token_rule_of(trouble.kind, ask.rules or ask.call)
    said = Verdict(rule, trouble.kind, f"{ask.call}: {trouble.detail}")
    return refusal(said, sent=ask.sent, retry_after=trouble.retry_after)


def _from_token_server(trouble: Unreachable, sent: tuple[str, ...]) -> Refusal:
    if trouble.status in (404, 410):
        return Refusal(
            decision=Decision.ACCOUNT_GONE,
            code=trouble.kind,
            message=f"the token server does not know the account: {trouble.detail}",
            scope=Scope.ACCOUNT,
            todo="authorise it there, or take it out of the accounts",
        )
    return _unreached(Ask("token_url", "", {}, sent), trouble)
