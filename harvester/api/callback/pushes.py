"""Reads one push: what it says, or why it is not taken. Pure.

In this order, so that a count by reason tells an operator what is wrong: readable XML,
the signature, the moment it was signed, the appid, the cipher, the content. A kind that
nobody knows is no error. No text here ever holds a part of the push.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError

from defusedxml import ElementTree  # type: ignore[import-untyped] # ships no types

from harvester import crypto
from harvester.api.callback.contract import Code, Terms, Ticket, Withdrawal

MOST_BYTES = 64 * 2**10
FUTURE_SECONDS = 300.0
CODE_SECONDS = 3600.0
"""How long a code is tried when the push does not say how long it is good."""

TICKET = "component_verify_ticket"
UNAUTHORIZED = "unauthorized"
KINDS = (TICKET, "authorized", "updateauthorized", UNAUTHORIZED)
OTHER = "other"
"""Stands for every kind that nobody knows: what others may name is no label."""

STATUS = {
    "size": 400,
    "body": 400,
    "xml": 400,
    "query": 400,
    "content": 400,
    "signature": 403,
    "old": 403,
    "future": 403,
    "appid": 403,
    "decryption": 403,
    "replay": 403,
    "busy": 503,
}
"""Why a push is not taken, and the HTTP status that says so."""

_APPID = re.compile(r"wx[0-9a-f]{16}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_ABSOLUTE = 1e9
_CODE_TRIED = (600.0, 86_400.0)
"""A code is tried for at least and at most so long, whatever the push says."""


class Unwelcome(Exception):
    """A push that is not taken. `reason` is a word of `STATUS`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


Event = Ticket | Code | Withdrawal | None


@dataclass(frozen=True, slots=True)
class Push:
    """A push that is genuine, and of now."""

    kind: str
    """Of `KINDS`, or `OTHER`."""

    signature: str
    event: Event
    """None: nothing follows from it."""


def read(terms: Terms, query: Mapping[str, str], body: bytes, now: float) -> Push:
    """The push in this request. `now` is in epoch seconds. Raises Unwelcome."""
    outer = _fields(body, "xml")
    encrypted = outer.get("Encrypt", "")
    given, timestamp, nonce = (
        query.get(name, "") for name in ("msg_signature", "timestamp", "nonce")
    )
    if not crypto.signed(given, terms.token.reveal(), timestamp, nonce, encrypted):
        raise Unwelcome("signature")
    moment = _signed_at(timestamp, terms, now)
    _check_appid(outer, terms)
    inner = _fields(_opened(encrypted, terms), "content")
    _check_appid(inner, terms)
    return _push(inner, given, min(_seconds(inner.get("CreateTime"), moment), now), now)


def _fields(document: bytes, reason: str) -> dict[str, str]:
    """The texts right below the root, by tag; the first of several. Raises Unwelcome."""
    try:
        root = ElementTree.fromstring(document, forbid_dtd=True)
    except (ParseError, ValueError, LookupError):  # a DTD is a ValueError
        raise Unwelcome(reason) from None  # the error knows the text
    if root.tag != "xml":
        raise Unwelcome(reason)
    return {child.tag: child.text or "" for child in reversed(root)}


def _signed_at(timestamp: str, terms: Terms, now: float) -> float:
    if not _SECONDS.fullmatch(timestamp):
        raise Unwelcome("query")
    moment = float(timestamp)
    if moment < now - terms.accept_age:
        raise Unwelcome("old")
    if moment > now + FUTURE_SECONDS:
        raise Unwelcome("future")
    return moment


def _check_appid(fields: Mapping[str, str], terms: Terms) -> None:
    if fields.get("AppId", terms.platform).strip() != terms.platform:
        raise Unwelcome("appid")


def _opened(encrypted: str, terms: Terms) -> bytes:
    try:
        return crypto.decrypted(encrypted, terms.keys, terms.platform)
    except crypto.Undecryptable as error:
        reason = "appid" if error.reason == "appid" else "decryption"
        raise Unwelcome(reason, error.reason) from None


def _push(
    fields: Mapping[str, str], signature: str, created_at: float, now: float
) -> Push:
    """`created_at` is never later than now: it would outlast every newer push."""
    kind = fields.get("InfoType", "").strip()
    if not kind:
        raise Unwelcome("content")
    if kind not in _EVENTS:
        return Push(OTHER, signature, None)
    return Push(kind, signature, _EVENTS[kind](fields, created_at, now))


def _ticket(fields: Mapping[str, str], created_at: float, _: float) -> Ticket:
    value = _needed(fields, "ComponentVerifyTicket")
    return Ticket(value=value, created_at=created_at)


def _code(fields: Mapping[str, str], created_at: float, now: float) -> Code:
    return Code(
        value=_needed(fields, "AuthorizationCode"),
        appid=_account(fields),
        created_at=created_at,
        until=_until(fields.get("AuthorizationCodeExpiredTime"), created_at, now),
    )


def _withdrawal(fields: Mapping[str, str], created_at: float, _: float) -> Withdrawal:
    return Withdrawal(appid=_account(fields), created_at=created_at)


_EVENTS: dict[str, Callable[[Mapping[str, str], float, float], Event]] = dict(
    zip(KINDS, (_ticket, _code, _code, _withdrawal), strict=True)
)


def _needed(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name, "").strip()
    if not value:
        raise Unwelcome("content")
    return value


def _account(fields: Mapping[str, str]) -> str:
    appid = _needed(fields, "AuthorizerAppid")
    if not _APPID.fullmatch(appid):
        raise Unwelcome("content")
    return appid


def _until(text: str | None, created_at: float, now: float) -> float:
    """WeChat does not say whether it names a moment or a duration."""
    said = _seconds(text, CODE_SECONDS)
    until = said if said > _ABSOLUTE else created_at + said
    shortest, longest = _CODE_TRIED
    return min(max(until, now + shortest), now + longest)


def _seconds(text: str | None, otherwise: float) -> float:
    found = (text or "").strip()
    return float(found) if _SECONDS.fullmatch(found) else otherwise
