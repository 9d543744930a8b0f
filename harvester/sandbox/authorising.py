"""Authorisations: given on WeChat's page, exchanged for tokens, withdrawn, and pushed."""

import time
from collections.abc import Callable, Collection

from harvester.sandbox.accounts import made_up_refresh_token
from harvester.sandbox.outbox import Push
from harvester.sandbox.platform import Platform
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.tickets import Ask, Document, check_component, check_secret
from harvester.sandbox.tokens import Kind

EVERY_SET = (1, 2, 3, 7)
"""What an account grants unless it says otherwise."""

TICKET, AUTHORIZED = "component_verify_ticket", "authorized"
UPDATED, UNAUTHORIZED = "updateauthorized", "unauthorized"


def authorise(
    platform: Platform,
    appid: str,
    sets: Collection[int] | None = None,
    pre_auth_code: str = "",
) -> str:
    """The account's owner authorises, perhaps again: the code for the redirect.

    The refresh token is another one and the access token void. A push follows, unless
    the account was authorised before with the same permission sets.
    """
    accounts = platform.accounts
    before = accounts.standing(appid) if accounts.authorises(appid) else None
    granted = None if sets is None else frozenset(sets)
    accounts.change(
        appid,
        revoked=False,
        authorised_at=int(time.time()),
        granted=granted,
        refresh_token=made_up_refresh_token(time.monotonic_ns(), appid),
        exchanged=False,
    )
    platform.tokens.end(Kind.AUTHORIZER, appid)
    code = platform.codes.issue(appid)
    if before is None or before.granted != granted:
        kind = AUTHORIZED if before is None else UPDATED
        pushed = (
            platform.codes.issue(appid) if platform.settings.separate_codes else code
        )
        platform.outbox.put(_with_code(platform, kind, appid, pushed, pre_auth_code))
    return code


def withdraw(platform: Platform, appid: str, *, silently: bool = False) -> None:
    """The account's owner ends the authorisation; of some that is never pushed."""
    platform.accounts.change(appid, revoked=True)
    if not silently:
        platform.outbox.put(event(platform, UNAUTHORIZED, appid))


def event(platform: Platform, kind: str, appid: str = "") -> Push:
    """A push of this kind, about this account. Raises Refusal without one it needs."""
    make = _EVENTS.get(kind)
    if make is None:
        return Push(kind, appid)
    if not appid and kind != TICKET:
        raise Refusal(41002)
    return make(platform, kind, appid)


def _ticket(platform: Platform, kind: str, _: str) -> Push:
    value = platform.tickets.issue()
    return Push(kind, fields={"ComponentVerifyTicket": value})


def _with_fresh_code(platform: Platform, kind: str, appid: str) -> Push:
    return _with_code(platform, kind, appid, platform.codes.issue(appid))


def _with_code(
    platform: Platform, kind: str, appid: str, code: str, pre_auth_code: str = ""
) -> Push:
    fields = {
        "AuthorizerAppid": appid,
        "AuthorizationCode": code,
        "AuthorizationCodeExpiredTime": int(time.time() + platform.codes.life),
        "PreAuthCode": pre_auth_code,
    }
    return Push(kind, appid, fields)


def _about(_: Platform, kind: str, appid: str) -> Push:
    return Push(kind, appid, {"AuthorizerAppid": appid})


_EVENTS: dict[str, Callable[[Platform, str, str], Push]] = {
    TICKET: _ticket,
    AUTHORIZED: _with_fresh_code,
    UPDATED: _with_fresh_code,
    UNAUTHORIZED: _about,
}


def api_start_push_ticket(platform: Platform, ask: Ask) -> Document:
    """Tickets come again; where they had been stopped, one comes at once."""
    check_secret(platform, ask, "component_secret")
    if platform.settings.pushing:
        return {"errcode": 0, "errmsg": "ticket push is already on"}
    platform.change(pushing=True)
    platform.outbox.put(event(platform, TICKET))
    return {"errcode": 0, "errmsg": "ok"}


def api_create_preauthcode(platform: Platform, ask: Ask) -> Document:
    """Opens the authorisation page once."""
    check_component(platform, ask)
    codes = platform.pre_auth_codes
    return {"pre_auth_code": codes.issue(), "expires_in": int(codes.life)}


def api_query_auth(platform: Platform, ask: Ask) -> Document:
    """Tokens and permission sets for a code, once."""
    check_component(platform, ask)
    code = ask.text("authorization_code", 61009)
    standing = platform.accounts.usable(platform.codes.check(code))
    appid = platform.codes.spend(code)
    platform.accounts.change(appid, exchanged=True)
    information: Document = {
        "authorizer_appid": appid,
        "func_info": func_info(standing.granted),
    }
    if standing.granted != frozenset():
        token = platform.tokens.mint(Kind.AUTHORIZER, appid)
        information |= {
            "authorizer_access_token": token.value,
            "expires_in": int(platform.tokens.life),
            "authorizer_refresh_token": platform.accounts.refresh_token(appid),
        }
    return {"authorization_info": information}


def func_info(granted: frozenset[int] | None) -> list[Document]:
    """Permission sets as WeChat lists them."""
    sets = EVERY_SET if granted is None else sorted(granted)
    return [{"funcscope_category": {"id": number}} for number in sets]
