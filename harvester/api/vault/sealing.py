"""Sealing: what the vault keeps secret is encrypted before it reaches a store.

1. In a document a secret is `{"sealed": …}` (Fernet), or `{"plain": …}` where no key is
   configured; whose it is, and since when, stays readable.
2. The first key seals and every key unseals. To rotate, put a new key in front, seal
   everything again (`harvester vault verify --reseal`), then take the old one away.
3. What was kept plain stays readable with a key, and is sealed when it is next written.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from harvester.errors import AuthorisationError, UsageError
from harvester.secret import Secret

Kept = dict[str, str]
"""A secret as it stands in a document."""

_KEY_BYTES = 32
_HOW = "make one by `openssl rand -base64 32`"


class Condition(StrEnum):
    """How a kept secret stands to the configured keys."""

    PLAIN = "plain"
    SEALED = "sealed"
    """By the first key, or plain where there is none."""

    OLDER = "older"
    """By another key than the first."""

    UNREADABLE = "unreadable"


class Seals:
    """The configured keys, the first one in front; none: nothing is sealed."""

    def __init__(self, keys: Sequence[Secret] = ()) -> None:
        """Raises UsageError for what is no key."""
        self._fernets = [Fernet(_key(key.reveal())) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._fernets)

    def seal(self, value: str) -> Kept:
        """The secret as it may be stored."""
        if not self._fernets:
            return {"plain": value}
        return {"sealed": self._fernets[0].encrypt(value.encode()).decode()}

    def unseal(self, kept: Kept) -> str:
        """The secret itself. Raises AuthorisationError when no key fits."""
        if "plain" in kept:
            return kept["plain"]
        for fernet in self._fernets:
            value = _opened(fernet, kept["sealed"])
            if value is not None:
                return value
        raise _unfit(bool(self._fernets))

    def condition(self, kept: Kept) -> Condition:
        """What sealing it again would change."""
        if "plain" in kept:
            return Condition.PLAIN if self._fernets else Condition.SEALED
        fitting = (_opened(f, kept["sealed"]) is not None for f in self._fernets)
        place = next((n for n, fits in enumerate(fitting) if fits), None)
        if place is None:
            return Condition.UNREADABLE
        return Condition.OLDER if place else Condition.SEALED


def kept_in(document: Any) -> Iterator[Kept]:
    """Every secret of a document, wherever it stands."""
    if isinstance(document, dict):
        if document.keys() <= {"sealed", "plain"} and document:
            yield document
            return
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from kept_in(part)


def _opened(fernet: Fernet, sealed: str) -> str | None:
    try:
        return fernet.decrypt(sealed).decode()
    except InvalidToken:
        return None


def _key(text: str) -> bytes:
    """Fernet's spelling of the key; both alphabets of base64 are taken."""
    try:
        key = base64.b64decode(text.translate({45: "+", 95: "/"}), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise UsageError("vault.key: expected 32 random bytes in base64", _HOW)
    return base64.urlsafe_b64encode(key)


def _unfit(keys: bool) -> AuthorisationError:
    if not keys:
        return AuthorisationError(
            "the vault is encrypted, and no key is configured",
            "set [vault] key to the key it was encrypted with",
        )
    return AuthorisationError(
        "no key of [vault] opens what the vault holds",
        "add the one it was encrypted with to [vault] key (the first encrypts, all decrypt)",
    )
