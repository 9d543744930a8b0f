"""From an answer's bytes to its JSON document, losing nothing on the way.

orjson reads almost every answer. It is strict where answers are not always (byte
order mark, raw control characters) and lax where a value would be lost (of two equal
keys in one object the last wins; whole numbers beyond 64 bits become floats).
`exact` reads everything as written, some ten times slower.
"""

import json
import math
import re
from typing import Any, NoReturn

import orjson

BOM = b"\xef\xbb\xbf"

_ESCAPED_COLON = re.compile(rb"\\u003[aA]")
"""A colon that the bytes do not show: with it, texts would make up for a lost key."""

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Unreadable(ValueError):
    """The bytes are not one JSON object that can be taken as it stands."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object that these bytes hold.

    Whole numbers beyond 64 bits may come back as floats; `exact` keeps them.
    Raises Unreadable.
    """
    body = body.removeprefix(BOM)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return exact(body)
    return document if type(document) is dict else exact(body)


def exact(body: bytes) -> dict[str, Any]:
    """The same object with every number as written; raw control characters may stand.

    Raises Unreadable.
    """
    try:
        text = body.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 at byte {error.start}") from None
    document = _loaded(text)
    if not isinstance(document, dict):
        raise Unreadable(f"not a JSON object but {type(document).__name__}")
    return document


def _loaded(text: str) -> Any:
    try:
        document = json.loads(
            text,
            strict=False,
            object_pairs_hook=_distinct,
            parse_constant=_refused,
            parse_float=_finite,
        )
        if _ESCAPED_SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except UnicodeEncodeError:
        raise Unreadable("half of a surrogate pair in a text") from None
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}") from None
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"the key {twice[:40]!r} stands twice in one object")
    return members


def _refused(constant: str) -> NoReturn:
    raise Unreadable(f"{constant} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Unreadable(f"the number {digits[:40]} is too large")
    return number


def every_key_kept(document: dict[str, Any], body: bytes) -> bool:
    """Whether this proves that no object had one key twice.

    Every key is followed by one colon, so a body has as many colons as keys and as
    its texts hold. When those that are left in the document account for all of the
    body's, none was lost. Walks down only as far as that takes, mostly to the rows.
    """
    colons = body.count(b":")
    texts = 0
    level: list[Any] = [document]
    while level:
        for item in level:
            if type(item) is dict:
                colons -= len(item)
            elif type(item) is str:
                texts += item.count(":")
        if colons == texts:
            return not (texts and b"\\" in body and _ESCAPED_COLON.search(body))
        level = _inside(level)
    return False


def _inside(level: list[Any]) -> list[Any]:
    """The members of these objects and the elements of these arrays."""
    below: list[Any] = []
    for item in level:
        if type(item) is dict:
            below += item.values()
        elif type(item) is list:
            below += item
    return below
