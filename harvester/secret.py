"""Values that must never be seen: in a repr, a log, an error or a report.

A configuration writes a secret in one of three ways: as a string, as
`{ env = "NAME" }`, or as `{ file = "path" }`. `resolve` reads all three.
What leaves the process as text goes through `masked`, which knows the values
that were given to `hide`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

SHORTEST_MASKED = 4
"""Shorter values are not searched for: they would blot out ordinary words."""

WAYS = 'a string, { env = "NAME" } or { file = "path" }'

_IN_QUERY = re.compile(
    r"""((?:access_token|refresh_token|secret|verify_?ticket|auth_?code|authorization_?code)"""
    r"""(?:=|["']\s*[:=]\s*["']|>(?:<!\[CDATA\[)?))"""
    r"""[^&\s"'<>,;)}\]]+""",
    re.IGNORECASE,
)
"""`access_token=…` in an address, `"access_token": "…"` in JSON, `<…Ticket>…` in XML."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Wraps a secret; whoever needs the value says so by `reveal`."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The value itself: only for the request that carries it."""
        return self._value

    def __str__(self) -> str:
        return "***"


def resolve(written: object, folder: Path, environ: Mapping[str, str]) -> Secret:
    """The secret that a configuration's value stands for.

    Relative files are looked for in `folder`. Raises ValueError when it is missing,
    empty, or written in another way; the message never holds the value.
    """
    match written:
        case str():
            return _filled(written, "the string")
        case {"env": str(name), **rest} if not rest:
            return _filled(environ.get(name, ""), f"environment variable {name}")
        case {"file": str(name), **rest} if not rest:
            return from_file(folder / Path(name).expanduser())
    raise ValueError(f"expected {WAYS}")


def from_file(path: Path) -> Secret:
    """What the file holds, without the white space around it; ValueError when nothing."""
    try:
        value = path.read_text("utf-8-sig")
    except OSError as error:
        raise ValueError(
            f"cannot read {path} ({error.strerror}): put it there"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    return _filled(value.strip(), f"file {path}")


def _filled(value: str, origin: str) -> Secret:
    if not value.strip():
        raise ValueError(f"{origin} is empty or not set: expected a secret there")
    if not value.isprintable():
        raise ValueError(
            f"{origin} holds control characters: expected one line of text"
        )
    return Secret(value)


@dataclass(frozen=True, slots=True)
class _Hidden:
    """The values to mask: by length, and the starts that are worth a look.

    Looking at one place of a text costs the same for three secrets and for 100,000.
    """

    starts: set[str] = field(default_factory=set)
    by_length: dict[int, set[str]] = field(default_factory=dict)

    def add(self, value: str) -> None:
        self.starts.add(value[:SHORTEST_MASKED])
        self.by_length.setdefault(len(value), set()).add(value)

    def at(self, text: str, position: int) -> int:
        """The length of the longest hidden value that begins here; 0: none does."""
        if text[position : position + SHORTEST_MASKED] not in self.starts:
            return 0
        fitting = (
            length
            for length, values in self.by_length.items()
            if text[position : position + length] in values
        )
        return max(fitting, default=0)


_HIDDEN = _Hidden()
"""Of the whole process. Only `hide` adds to it."""


def hide(secrets: Iterable[Secret]) -> None:
    """From now on `masked` knows these values, percent-encoded as well."""
    for secret in secrets:
        value = secret.reveal()
        for spelling in (value, quote(value, safe="")):
            if len(spelling) >= SHORTEST_MASKED:
                _HIDDEN.add(spelling)


def masked(text: str) -> str:
    """The text with `***` for every hidden value and every `access_token=…`."""
    return _IN_QUERY.sub(r"\1***", _without_hidden(text) if _HIDDEN.starts else text)


def _without_hidden(text: str) -> str:
    kept: list[str] = []
    start = position = 0
    while position <= len(text) - SHORTEST_MASKED:
        found = _HIDDEN.at(text, position)
        if found:
            kept += (text[start:position], "***")
            start = position + found
        position += found or 1
    return "".join((*kept, text[start:]))
