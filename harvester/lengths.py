"""How many bytes JSON takes at the least: the cheap proof that nothing was lost.

Of two equal keys in one object a parser keeps the last one only. But what was thrown
away took room: when a body is exactly as long as what was read from it, written as
briefly as JSON allows, it held nothing else. A longer one proves nothing; it may have
spaces in it, and `decoding.every_key_kept` must look.

Nothing is briefer than what orjson writes, with two exceptions: floats (1e5) and raw
control characters in texts, which are no JSON and yet occur. Of these the length
counts as unknown.
"""

from typing import Any

import orjson

UNKNOWN = -(2**62)
"""Outweighs all lengths that are added to it."""

PLAIN = frozenset({bool, int, str, type(None)})


def value(plain: Any) -> int:
    """The length of a value without floats."""
    text = orjson.dumps(plain)
    return UNKNOWN if b"\\" in text else len(text)


def elements(cells: list[Any]) -> int:
    """The length of these values alone, no brackets or commas."""
    return value(cells) - len(cells) - 1


def frames(sizes: list[int]) -> int:
    """The length of the brackets and commas of arrays of these sizes."""
    return len(sizes) + sizes.count(0) + sum(sizes)


def members(names: tuple[str, ...]) -> int:
    """The length of an object with these names, its values left out."""
    return len(orjson.dumps(dict.fromkeys(names, 0))) - len(names)


def beside(document: dict[str, Any], name: str) -> int:
    """The length of a document without the value of this member."""
    if len(document) == 1:
        return len(name) + len('{"":}')
    rest = {**document, name: None}
    if not PLAIN.issuperset(map(type, rest.values())):
        return UNKNOWN
    return value(rest) - len("null")
