"""Takes secrets out of what others sent: servers echo tokens in their messages."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

MASK = "***"

_TELLING = 12
"""So many first characters give a secret away: from them on all is masked."""


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, however they are written in it."""
    for secret in secrets:
        for form in dict.fromkeys(_forms(secret)):
            text = re.sub(rf"{re.escape(form[:_TELLING])}[\w\-.~%+/=]*", MASK, text)
    return text


def masked_bytes(body: bytes, secrets: Iterable[str]) -> bytes:
    """The body without these secrets; nothing else of it changes."""
    text = body.decode("utf-8", "surrogateescape")
    return masked(text, secrets).encode("utf-8", "surrogateescape")


def _forms(secret: str) -> Iterator[str]:
    """The secret raw, in a URL, in JSON and in base64."""
    if secret:
        yield secret
        yield quote(secret, safe="")
        yield json.dumps(secret)[1:-1]
        yield base64.b64encode(secret.encode()).decode().rstrip("=")
