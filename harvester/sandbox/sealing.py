"""A push on its way out: written as XML, encrypted, signed, and put into an envelope.

Made by WeChat's documents alone; whoever receives pushes has a cipher of their own.
"""

import hashlib
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 32
"""Bytes that the padding fills up to: twice the cipher's own block."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """A push before it is sealed: everything that a fault may get wrong."""

    fields: dict[str, object]
    """The content: `InfoType` and what belongs to it."""

    appid: str
    """The platform, named outside, inside and behind the content."""

    token: str
    key: str
    signed_at: int
    """Epoch seconds."""

    prologue: str = ""
    """What stands in front of the content's root."""

    padding: int | None = None
    """The value of the padding's bytes in place of their number."""

    filling: int = 0
    """Bytes of white space in the envelope."""

    wait: float = 0
    """Seconds that it is held back."""

    copies: int = 1


@dataclass(frozen=True, slots=True)
class Letter:
    """One POST."""

    query: Mapping[str, str]
    body: bytes


def letter(draft: Draft) -> Letter:
    """The push as it travels."""
    inner = {"AppId": draft.appid, **draft.fields}
    encrypted = _encrypted(draft, f"{draft.prologue}{_xml(inner)}")
    timestamp, nonce = str(draft.signed_at), str(secrets.randbelow(10**10))
    query = {
        "signature": _signature(draft.token, timestamp, nonce),
        "timestamp": timestamp,
        "nonce": nonce,
        "encrypt_type": "aes",
        "msg_signature": _signature(draft.token, timestamp, nonce, encrypted),
    }
    envelope = _xml({"AppId": draft.appid, "Encrypt": encrypted})
    return Letter(query, envelope.encode() + b" " * draft.filling)


def _xml(fields: Mapping[str, object]) -> str:
    """Numbers bare, texts as CDATA."""
    inside = "".join(
        f"<{name}>{value if isinstance(value, int) else f'<![CDATA[{value}]]>'}</{name}>"
        for name, value in fields.items()
    )
    return f"<xml>{inside}</xml>"


def _encrypted(draft: Draft, text: str) -> str:
    message = text.encode()
    block = b"".join(
        (
            secrets.token_hex(8).encode(),
            len(message).to_bytes(4, "big"),
            message,
            draft.appid.encode(),
        )
    )
    missing = _BLOCK - len(block) % _BLOCK
    block += bytes([missing if draft.padding is None else draft.padding]) * missing
    key = b64decode(f"{draft.key}=")
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return b64encode(encryptor.update(block) + encryptor.finalize()).decode()


def _signature(*parts: str) -> str:
    joined = "".join(sorted(parts)).encode()
    return hashlib.sha1(joined, usedforsecurity=False).hexdigest()
