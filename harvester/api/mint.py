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
from harvester.api.vault import Minted
from harvester.api.wire import Unreachable, Wire
from harvester.decoding import Unreadable, decode

_COMPONENT = "/cgi-bin/component"
_MARGIN_SECONDS = 300.0


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
        ask = _Ask("stable_token", "/cgi-bin/stable_token", body, (secret,))
        return await self._posted(ask, "access_token")

    async def component(self, appid: str, secret: str, ticket: str) -> Minted:
        """The platform's token, by its secret and ticket. Raises Refused."""
        body = {
            "component_appid": appid,
            "component_appsecret": secret,
            "component_verify_ticket": ticket,
        }
        path = f"{_COMPONENT}/api_component_token"
        ask = _Ask("api_component_token", path, body, (secret, ticket))
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
        ask = _Ask(
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
            refused = _from_token_server(trouble, sent)
        else:
            return _minted(_Ask("token_url", url, {}, sent), body, started)
        raise Refused(refused)

    async def _posted(self, ask: "_Ask", key: str) -> Minted:
        started = self.clock()
        try:
            body = await self.wire.main(ask.path, orjson.dumps(ask.body))
        except Unreachable as trouble:
            refused = _unreached(ask.call, trouble, ask.sent)
        else:
            return _minted(ask, body, started, key)
        raise Refused(refused)


@dataclass(frozen=True, slots=True)
class _Ask:
    """One token call: its name in `rules.TOKEN_RULES`, and the secrets it carries."""

    call: str
    path: str
    body: dict[str, Any]
    sent: tuple[str, ...]


def quoted(token: str) -> str:
    """The token as it may stand in a query."""
    return token if token.isalnum() and token.isascii() else quote(token, safe="")


def _minted(
    ask: _Ask, body: bytes, started: float, key: str = "access_token"
) -> Minted:
    document = _document(ask, body)
    token, lifetime = document.get(key), _number(document.get("expires_in"))
    refresh_token = document.get("authorizer_refresh_token")
    if not isinstance(token, str) or not token or lifetime <= 0:
        raise Refused(_refused(ask, "no_token", ""))
    return Minted(
        token=token,
        learned_at=started,
        expires_at=started + lifetime - min(_MARGIN_SECONDS, lifetime / 10),
        refresh_token=refresh_token if isinstance(refresh_token, str) else "",
    )


def _document(ask: _Ask, body: bytes) -> dict[str, Any]:
    try:
        document = decode(body)
    except Unreadable:
        refused = _refused(ask, "not_json", "")
    else:
        code, message = error_of(document)
        if not code:
            return document
        refused = _refused(ask, code, message)
    raise Refused(refused)


def _number(value: object) -> float:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return float(value)
    return float(value) if isinstance(value, int | float) else 0.0


def _refused(ask: _Ask, code: str, message: str) -> Refusal:
    """Without the body: it may hold the new token."""
    rule = token_rule_of(code, ask.call)
    said = Verdict(rule, code, f"{ask.call}: {message}".rstrip(": "), rid_of(message))
    return refusal(said, sent=ask.sent)


def _unreached(call: str, trouble: Unreachable, sent: tuple[str, ...]) -> Refusal:
    rule = token_rule_of(trouble.kind, call)
    said = Verdict(rule, trouble.kind, f"{call}: {trouble.detail}")
    return refusal(said, sent=sent, retry_after=trouble.retry_after)


def _from_token_server(trouble: Unreachable, sent: tuple[str, ...]) -> Refusal:
    if trouble.status in (404, 410):
        return Refusal(
            decision=Decision.ACCOUNT_GONE,
            code=trouble.kind,
            message=f"the token server does not know the account: {trouble.detail}",
            scope=Scope.ACCOUNT,
            todo="authorise it there, or take it out of the accounts",
        )
    return _unreached("token_url", trouble, sent)
