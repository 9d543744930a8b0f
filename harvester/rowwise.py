"""The exact reader: answers of any endpoint, value after value, to rows.

It takes what real answers do (numbers as texts, null or missing where the catalogue
allows it, fields it does not know) and refuses what would have to be changed to fit.
`columnwise` is many times quicker where nothing of this occurs.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from harvester.outline import Column, Level, Outline

EXACT = 2**53
"""Up to here every whole number is a double of its own."""

_WHOLE = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


Array = tuple[str, Level, list[Any]]
"""An array of objects: its place in the object around it, their level, they."""


class Mismatch(ValueError):
    """A value cannot be what the catalogue says: its place, what it is, what was due."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place} is {what}")
        self.place = place
        self.what = what

    def within(self, outer: str) -> "Mismatch":
        """The same, seen from the object that `outer` stands in."""
        return Mismatch(f"{outer}.{self.place}", self.what)


@dataclass(slots=True)
class Row:
    """One row: the values of the endpoint's fields, and what the catalogue does not know.

    Dates are days since 1970, as Arrow counts; lists hold dicts.
    """

    values: list[Any]
    extra: dict[str, Any] = field(default_factory=dict)

    def copy(self) -> "Row":
        """What an object leaves to the rows inside it."""
        return Row(self.values.copy(), self.extra.copy())


def rows(outline: Outline, document: dict[str, Any]) -> Iterator[Row]:
    """The rows of one answer, in its order.

    Raises Mismatch at the first value that cannot be taken.
    """
    start = Row([None] * len(outline.types))
    yield from _rows(outline, outline.root, document, start)


def delayed(document: dict[str, Any]) -> bool:
    """Whether WeChat says that the figures are not final yet. Raises Mismatch."""
    value = document.get("is_delay")
    if value is None or value is False:
        return False
    try:
        return _flag(value)
    except ValueError:
        raise Mismatch("is_delay", f"{shown(value)} where a bool is due") from None


def shown(value: Any) -> str:
    """The kind of a value, and the value where it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return f'the text "{_short(value)}"'
        case list():
            return f"an array of {len(value)}"
        case dict():
            return "an object"
    return f"the number {_short(str(value))}"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def _rows(
    outline: Outline, level: Level, item: dict[str, Any], row: Row
) -> Iterator[Row]:
    """The rows in this object; `row` holds what stands around it."""
    _fill(level, item, row)
    row.extra.update(_unknown(level, item, level.prefix))
    if level.row:
        for index in outline.origin:
            row.values[index] = level.path.removesuffix("[]")
        yield row
    for place, below, items in _arrays(level, item):
        for number, one in enumerate(items):
            inner = _object(one, f"{place}[{number}]")
            try:
                yield from _rows(outline, below, inner, row.copy())
            except Mismatch as wrong:
                raise wrong.within(f"{place}[{number}]") from None


def _fill(level: Level, item: dict[str, Any], row: Row) -> None:
    """Writes the columns of an object, and of those inside it, into the row."""
    for name, columns in level.leaves.items():
        for column in columns:
            row.values[column.index] = _cell(column, item, name)
    for name, inner in level.objects.items():
        if item.get(name) is None and inner.optional():
            continue
        held = item.get(name)
        if type(held) is not dict:
            raise Mismatch(name, _instead(item, name, "an object"))
        try:
            _fill(inner, held, row)
        except Mismatch as wrong:
            raise wrong.within(name) from None


def _arrays(level: Level, item: dict[str, Any]) -> list[Array]:
    """The arrays of this object that lead to rows."""
    found = []
    for name, below in level.arrays.items():
        items = item.get(name)
        if type(items) is not list:
            raise Mismatch(name, _instead(item, name, "the array of rows"))
        found.append((name, below, items))
    for name, inner in level.objects.items():
        try:
            arrays = _arrays(inner, item.get(name) or {})
        except Mismatch as wrong:
            raise wrong.within(name) from None
        found += [(f"{name}.{place}", below, items) for place, below, items in arrays]
    return found


def _unknown(
    level: Level, item: dict[str, Any], prefix: str
) -> Iterator[tuple[str, Any]]:
    """What the catalogue does not know of an object and those inside it, by place."""
    for name in item.keys() - level.known:
        yield f"{prefix}{name}", item[name]
    for name, inner in level.objects.items():
        yield from _unknown(inner, item.get(name) or {}, f"{prefix}{name}.")
    for name, (column, *_) in level.leaves.items():
        if column.members is None:
            continue
        for number, one in enumerate(item.get(name) or ()):
            yield from _unknown(column.members, one, f"{prefix}{name}[{number}].")


def _object(value: Any, place: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise Mismatch(place, f"{shown(value)} where an object is due")
    return value


def _instead(item: dict[str, Any], name: str, due: str) -> str:
    found = shown(item[name]) if name in item else "missing"
    return f"{found} where {due} is due"


def _cell(column: Column, item: dict[str, Any], name: str) -> Any:
    """The column's value. Raises Mismatch."""
    value = item.get(name)
    if value is None and column.field.nullable:
        return None
    try:
        return _value(column, value)
    except Mismatch as wrong:
        raise Mismatch(f"{name}{wrong.place}", wrong.what) from None
    except (ValueError, OverflowError):
        due = column.field.type
        raise Mismatch(name, _instead(item, name, due)) from None


def _value(column: Column, value: Any) -> Any:
    """Raises ValueError or OverflowError, Mismatch inside a list."""
    if column.members is not None:
        return _structs(column.members, value)
    if column.field.type == "date32":
        return column.days[_text(value)]
    return READ[column.field.type](value)


def _structs(level: Level, value: Any) -> list[dict[str, Any]]:
    if type(value) is not list:
        raise ValueError
    return [_struct(level, one, f"[{number}]") for number, one in enumerate(value)]


def _struct(level: Level, value: Any, place: str) -> dict[str, Any]:
    item = _object(value, place)
    try:
        return {
            one.field.name: _cell(one, item, name)
            for name, (one,) in level.leaves.items()
        }
    except Mismatch as wrong:
        raise wrong.within(place) from None


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return value


def _whole(bits: int) -> Callable[[Any], int]:
    """Reads whole numbers of so many bits."""
    limit = 1 << (bits - 1)

    def read(value: Any) -> int:
        number = _number(value)
        if type(number) is float and number.is_integer() and abs(number) <= EXACT:
            number = int(number)
        if type(number) is not int or not -limit <= number < limit:
            raise ValueError
        return number

    return read


def _fraction(value: Any) -> float:
    number = _number(value)
    nearest = float(number)
    if math.isinf(nearest) or (type(number) is int and int(nearest) != number):
        raise ValueError
    return nearest


def _number(value: Any) -> int | float:
    """A number, or the one that a text holds. true is none, though Python counts it."""
    if type(value) is int or type(value) is float:
        return value
    digits = _text(value)
    if _WHOLE.fullmatch(digits):
        return int(digits)
    if _NUMBER.fullmatch(digits):
        return float(digits)
    raise ValueError


def _flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    spelt = FLAGS.get(value) if type(value) in (int, str) else None
    if spelt is None:
        raise ValueError
    return spelt


FLAGS: dict[int | str, bool] = {
    "true": True,
    "false": False,
    "1": True,
    "0": False,
    1: True,
    0: False,
}
"""How true and false are written, beside true and false."""

READ: dict[str, Callable[[Any], Any]] = {
    "int32": _whole(32),
    "int64": _whole(64),
    "float64": _fraction,
    "string": _text,
    "bool": _flag,
}
"""From a JSON value to the column's: ValueError where it cannot be one."""
