"""The kinds of value that a catalogue file holds, and how a wrong one is named.

A reader takes what TOML gave and returns what a record wants. It raises Wrong with
the words that follow "expected". Plain functions, for every command loads the
catalogue before it does anything else.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from harvester.errors import UsageError

Reader = Callable[[Any], Any]


class Wrong(ValueError):
    """The value is not what the key wants; the message says what was expected."""


def nearest(word: str, known: Iterable[str]) -> str:
    """What the writer probably meant: the nearest name, or else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def anything(value: Any) -> Any:
    """Whatever it is: it is read later."""
    return value


def text(value: Any) -> str:
    """A text that says something."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise Wrong("a text in one line")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Wrong("true or false")
    return value


def day(value: Any) -> int:
    """A TOML date, as its ordinal."""
    if type(value) is not date:
        raise Wrong("a date such as 2014-12-01, without quotes")
    return value.toordinal()


def code(value: Any) -> int | str:
    """One value of an enumeration."""
    if type(value) is not int and not isinstance(value, str):
        raise Wrong("a whole number or a text")
    return value


def table(value: Any) -> Mapping[str, Any]:
    """A TOML table."""
    if not isinstance(value, dict):
        raise Wrong("a table")
    return value


def parameters(value: Any) -> tuple[tuple[str, str], ...]:
    """A table of texts, as pairs."""
    return tuple((name, text(item)) for name, item in table(value).items())


def page_size(value: Any) -> tuple[str, int]:
    """The parameter's name and the rows a page."""
    match value:
        case [str(name), int(rows)] if name and type(rows) is int and rows >= 1:
            return name, rows
    raise Wrong('the parameter and the rows a page, such as ["page_size", 90]')


def pair(value: Any) -> tuple[str, str]:
    """Two texts."""
    texts = many(text)(value)
    if len(texts) != 2:
        raise Wrong("two texts")
    return texts[0], texts[1]


def whole(least: int) -> Reader:
    """A whole number from `least` on."""

    def read(value: Any) -> int:
        if type(value) is not int or value < least:
            raise Wrong(f"a whole number from {least} on")
        return value

    return read


def like(pattern: str, words: str) -> Reader:
    """A text of this shape."""
    shape = re.compile(pattern, re.ASCII)

    def read(value: Any) -> str:
        if not isinstance(value, str) or not shape.fullmatch(value):
            raise Wrong(words)
        return value

    return read


def one_of(known: Mapping[str, Any]) -> Reader:
    """One of these names, as what it stands for."""
    listed = ", ".join(known)

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in known:
            raise Wrong(f"one of {listed}")
        return known[value]

    return read


def many(reader: Reader, *, least: int = 0) -> Callable[[Any], tuple[Any, ...]]:
    """A list of such values."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise Wrong(f"a list of at least {least}" if least else "a list")
        return tuple(map(reader, value))

    return read


@dataclass(frozen=True, slots=True)
class Shape:
    """The keys that one sort of table may hold, and those that it must."""

    readers: Mapping[str, Reader]
    required: tuple[str, ...] = ()

    def read(self, raw: Any, place: str) -> dict[str, Any]:
        """The table's values.

        Raises UsageError in one line: the place, the key, what it should be.
        """
        if not isinstance(raw, dict):
            raise UsageError(f"{place}: expected a table, got {shown(raw)}")
        self.refuse_unknown(raw, place)
        for key in self.required:
            if key not in raw:
                raise UsageError(f"{place}: `{key}` is missing", f"write `{key} = …`")
        return {
            key: self._value(key, raw[key], place) for key in self.readers if key in raw
        }

    def refuse_unknown(self, raw: Mapping[str, Any], place: str) -> None:
        """Raises UsageError at the first key that such a table does not have."""
        for key in raw:
            if key not in self.readers:
                raise UsageError(
                    f"{place}: unknown key {key!r}", nearest(key, self.readers)
                )

    def _value(self, key: str, value: Any, place: str) -> Any:
        try:
            return self.readers[key](value)
        except Wrong as wrong:
            message = f"{place}: `{key}` is {shown(value)}"
            raise UsageError(message, f"expected {wrong}") from None


def shown(value: Any) -> str:
    """The value as an error repeats it."""
    words = str(value) if type(value) is date else repr(value)
    return words if len(words) <= 60 else f"{words[:60]}…"
