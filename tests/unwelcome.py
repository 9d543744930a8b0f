"""Pushes that must be turned away: each with its status and its reason."""

from dataclasses import replace

from pushes import (
    ACCOUNT,
    KEY,
    NOW,
    PLATFORM,
    TICKET,
    Sent,
    forged,
    pushed,
    sealed,
    signed,
    ticket,
    xml,
)

from harvester.api.callback.pushes import MOST_BYTES

OTHER = "wx00000000000000ff"


def inner(**fields: object) -> Sent:
    """Genuine by signature and cipher, and wrong inside."""
    return signed(sealed(xml(**fields).encode()))


DTD = f'<!DOCTYPE xml [<!ENTITY a "{"a" * 99}"><!ENTITY b "&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE xml [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
GENUINE = sealed(
    xml(
        AppId=PLATFORM,
        InfoType="component_verify_ticket",
        ComponentVerifyTicket=TICKET,
    ).encode()
)

UNWELCOME: dict[str, tuple[Sent, int, str]] = {
    "no signature": (Sent({}, ticket().body), 403, "signature"),
    "a wrong signature": (forged(msg_signature="0" * 40), 403, "signature"),
    "the other signature": (
        forged(msg_signature="signature of token, timestamp, nonce"),
        403,
        "signature",
    ),
    "a signature in capitals": (
        (
            lambda s: replace(
                s, query={**s.query, "msg_signature": s.query["msg_signature"].upper()}
            )
        )(ticket()),
        403,
        "signature",
    ),
    "a signature that is no ASCII": (forged(msg_signature="签名"), 403, "signature"),
    "another nonce": (forged(nonce="1"), 403, "signature"),
    "another timestamp": (forged(timestamp=f"{NOW + 1:.0f}"), 403, "signature"),
    "another ciphertext": (
        replace(ticket(), body=xml(AppId=PLATFORM, Encrypt=GENUINE).encode()),
        403,
        "signature",
    ),
    "too old": (ticket(at=NOW - 3601), 403, "old"),
    "from the future": (ticket(at=NOW + 301), 403, "future"),
    "a timestamp that is none": (signed(GENUINE, timestamp="now"), 400, "query"),
    "another platform outside": (
        signed(GENUINE, outer=xml(AppId=OTHER, Encrypt=GENUINE)),
        403,
        "appid",
    ),
    "another platform behind": (signed(sealed(b"<xml/>", appid=OTHER)), 403, "appid"),
    "another platform inside": (
        inner(AppId=OTHER, InfoType="component_verify_ticket"),
        403,
        "appid",
    ),
    "a key that is not ours": (
        signed(sealed(b"<xml/>", key=KEY[::-1])),
        403,
        "decryption",
    ),
    "no base64": (signed("not base64!"), 403, "decryption"),
    "nothing encrypted": (signed("", outer=xml(AppId=PLATFORM)), 403, "decryption"),
    "no body": (signed("", outer=" "), 400, "xml"),
    "no XML": (signed(GENUINE, outer='{"Encrypt": ""}'), 400, "xml"),
    "XML that is cut": (signed(GENUINE, outer="<xml><Encrypt>"), 400, "xml"),
    "another root": (signed(GENUINE, outer="<html></html>"), 400, "xml"),
    "entities": (
        signed(GENUINE, outer=f"{DTD}<xml><Encrypt>&b;</Encrypt></xml>"),
        400,
        "xml",
    ),
    "an outside entity": (
        signed(GENUINE, outer=f"{OUTSIDE}<xml><Encrypt>&a;</Encrypt></xml>"),
        400,
        "xml",
    ),
    "a DTD inside": (
        signed(sealed(f"{OUTSIDE}<xml><InfoType>&a;</InfoType></xml>".encode())),
        400,
        "content",
    ),
    "an unknown encoding": (
        signed(GENUINE, outer="<?xml version='1.0' encoding='x'?><xml/>"),
        400,
        "xml",
    ),
    "deep XML": (signed(GENUINE, outer="<xml>" + "<a>" * 9000), 400, "xml"),
    "too large": (signed(GENUINE, outer="<xml>" + " " * MOST_BYTES), 400, "size"),
    "no XML inside": (signed(sealed(b"\x00\xff")), 400, "content"),
    "nothing inside": (signed(sealed(b"")), 400, "content"),
    "no kind": (inner(AppId=PLATFORM), 400, "content"),
    "an empty ticket": (pushed("component_verify_ticket"), 400, "content"),
    "no code": (pushed("authorized", AuthorizerAppid=ACCOUNT), 400, "content"),
    "no account": (pushed("unauthorized"), 400, "content"),
    "an account that is none": (
        pushed("unauthorized", AuthorizerAppid="../../etc"),
        400,
        "content",
    ),
}
