"""The cipher of WeChat's pushes, and their signature. Pure.

1. The signature is SHA-1 over token, timestamp, nonce and ciphertext, sorted. It alone
   says who sent the ciphertext: compare it before anything is decrypted.
2. The cipher is AES-256-CBC; the first 16 bytes of the key are its initial vector.
3. The padding fills blocks of 32 bytes, twice the cipher's own, so that a library's
   unpadding refuses half of all messages; it is taken off by hand.
4. What it covers: 16 random bytes, the message's length (4 bytes, big-endian), the
   message, and the appid it is meant for.
"""

import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

STEPS = ("key", "encoding", "length", "padding", "layout", "appid")
"""The words for what can be wrong, in the order in which it is found out."""

_KEY = re.compile(r"[A-Za-z0-9+/]{43}=?")
_CIPHER_BLOCK = 16
_PADDED_BLOCK = 32
_RANDOM = 16
_HEAD = 20


class Undecryptable(ValueError):
    """A key or a ciphertext that is none. `reason` is a word of `STEPS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def signature(*parts: str) -> str:
    """The lowercase hex SHA-1 of the parts, sorted and joined."""
    joined = "".join(sorted(parts)).encode("utf-8", "surrogatepass")
    return hashlib.sha1(joined, usedforsecurity=False).hexdigest()


def signed(given: str, *parts: str) -> bool:
    """Whether this is the signature of the parts; takes as long when it is not."""
    expected = signature(*parts).encode()
    return hmac.compare_digest(expected, given.encode("utf-8", "surrogatepass"))


def key_of(encoding_aes_key: str) -> bytes:
    """The 32 bytes that the console's 43 characters stand for. Raises Undecryptable.

    43 characters carry two bits more than 32 bytes have; most keys have some of them
    set, strict decoders refuse those, and WeChat drops the bits.
    """
    if not _KEY.fullmatch(encoding_aes_key):
        raise Undecryptable("key")
    return b64decode(encoding_aes_key[:43] + "=")


def decrypted(encrypted: str, keys: Sequence[bytes], appid: str) -> bytes:
    """The message for this appid, by the first of the keys that opens it.

    While a key is replaced, messages in flight use the old or the new one. Raises
    Undecryptable with the reason of the key that came furthest.
    """
    ciphertext = _ciphertext(encrypted)
    met = [Undecryptable("key")]
    for key in keys:
        try:
            return _message(_unpadded(_plain(ciphertext, key)), appid)
        except Undecryptable as error:
            met.append(error)
    raise max(met, key=lambda error: STEPS.index(error.reason))


def _ciphertext(encrypted: str) -> bytes:
    try:
        ciphertext = b64decode(encrypted, validate=True)
    except ValueError:
        raise Undecryptable("encoding") from None
    if not ciphertext or len(ciphertext) % _CIPHER_BLOCK:
        raise Undecryptable("length")
    return ciphertext


def _plain(ciphertext: bytes, key: bytes) -> bytes:
    vector = modes.CBC(key[:_CIPHER_BLOCK])
    decryptor = Cipher(algorithms.AES(key), vector).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def _unpadded(plain: bytes) -> bytes:
    padding = plain[-1]
    if not 1 <= padding <= _PADDED_BLOCK:
        raise Undecryptable("padding")
    return plain[:-padding]


def _message(plain: bytes, appid: str) -> bytes:
    end = _HEAD + int.from_bytes(plain[_RANDOM:_HEAD], "big")
    if len(plain) < end:
        raise Undecryptable("layout")
    if plain[end:] != appid.encode():
        raise Undecryptable("appid")
    return plain[_HEAD:end]
