"""Tokens: the calls that hand them out.

Open by default: any appid is served, with any secret, ticket or refresh token.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harvester.sandbox.accounts import made_up_refresh_token
from harvester.sandbox.platform import Platform
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.tokens import Kind, Token

_FORCED_A_DAY = 20

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a call that is no statistic brings along."""

    query: Mapping[str, str]
    body: Document
    path: str = ""
    """The appid in the path of a token server."""

    def text(self, name: str, missing: int) -> str:
        """A field of the body. Raises Refusal `missing` when it is not there."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise Refusal(missing)
        return value


def token(platform: Platform, ask: Ask) -> Document:
    """`GET /cgi-bin/token`: always a new one; the old one is good a little longer."""
    appid = _own_account(platform, Ask({}, dict(ask.query)))
    return _issued(
        platform, platform.tokens.mint(Kind.PLAIN, appid, platform.tokens.overlap())
    )


def stable_token(platform: Platform, ask: Ask) -> Document:
    """`POST /cgi-bin/stable_token`: the same while it is valid, unless forced."""
    appid = _own_account(platform, ask)
    if ask.body.get("force_refresh") is True:
        platform.quotas.spend_day(
            appid, "force_refresh", platform.today(), _FORCED_A_DAY
        )
        platform.tokens.end(Kind.STABLE, appid)
    return _stable(platform, appid)


def token_server(platform: Platform, ask: Ask) -> Document:
    """`GET /token/{appid}`: another system that owns the tokens; 404: not of this one."""
    platform.accounts.check_exists(ask.path, platform.settings.known_only)
    if platform.accounts.standing(ask.path).revoked:
        raise Refusal(61003, status=404)
    return _stable(platform, ask.path)


def api_component_token(platform: Platform, ask: Ask) -> Document:
    """The platform's own token; the one before it is void, at once or soon."""
    appid = check_secret(platform, ask, "component_appsecret")
    ticket = ask.text("component_verify_ticket", 61006)
    if platform.settings.strict:
        platform.tickets.check(ticket)
    overlap = platform.settings.component_overlap
    token = platform.tokens.mint(Kind.COMPONENT, appid, overlap)
    return {
        "component_access_token": token.value,
        "expires_in": int(platform.tokens.life),
    }


def api_authorizer_token(platform: Platform, ask: Ask) -> Document:
    """An account's token, for its refresh token; the one before it is void."""
    check_component(platform, ask)
    appid = ask.text("authorizer_appid", 41002)
    sent = ask.text("authorizer_refresh_token", 61023)
    platform.accounts.check_exists(appid, platform.settings.known_only)
    standing = platform.accounts.usable(appid)
    strict = platform.settings.strict
    if strict and not platform.accounts.authorises(appid):
        raise Refusal(61003)
    known = platform.accounts.refresh_token(appid) if strict else standing.refresh_token
    if known and sent != known:
        raise Refusal(61023)
    token = platform.tokens.mint(Kind.AUTHORIZER, appid)
    return {
        "authorizer_access_token": token.value,
        "expires_in": int(platform.tokens.life),
        "authorizer_refresh_token": _next_refresh_token(platform, appid, sent),
    }


def check_secret(platform: Platform, ask: Ask, name: str) -> str:
    """The platform's appid in a call that carries its secret. Raises Refusal."""
    appid, secret = ask.text("component_appid", 41018), ask.text(name, 41004)
    platform.accounts.check_exists(appid, known_only=False)
    if platform.settings.platform_secret not in ("", secret):
        raise Refusal(40125)
    return appid


def check_component(platform: Platform, ask: Ask) -> None:
    """Whether the call carries the platform's token. Raises Refusal."""
    value = ask.query.get("component_access_token") or ask.query.get("access_token", "")
    if not value:
        raise Refusal(41021)
    if platform.tokens.check(value).kind is not Kind.COMPONENT:
        raise Refusal(61014)
    ask.text("component_appid", 41018)


def _own_account(platform: Platform, ask: Ask) -> str:
    """The account that asks with its own secret. Raises Refusal."""
    if ask.body.get("grant_type") != "client_credential":
        raise Refusal(40002)
    appid, secret = ask.text("appid", 41002), ask.text("secret", 41004)
    platform.accounts.check_exists(appid, platform.settings.known_only)
    standing = platform.accounts.standing(appid)
    if standing.frozen:
        raise Refusal(50002)
    if standing.secret and secret != standing.secret:
        raise Refusal(40125)
    return appid


def _stable(platform: Platform, appid: str) -> Document:
    tokens = platform.tokens
    newest = tokens.newest(Kind.STABLE, appid)
    return _issued(
        platform, newest or tokens.mint(Kind.STABLE, appid, tokens.overlap())
    )


def _issued(platform: Platform, token: Token) -> Document:
    left = platform.tokens.left(token)
    return {"access_token": token.value, "expires_in": max(1, int(left))}


def _next_refresh_token(platform: Platform, appid: str, sent: str) -> str:
    if not platform.settings.rotate_refresh_tokens:
        return sent
    following = made_up_refresh_token(time.monotonic_ns(), appid)
    platform.accounts.change(appid, refresh_token=following)
    return following
