"""How the answers of an endpoint are built: its catalogue entry as a tree.

The catalogue names a place for each column (`list[].details[].stat_date`); a reader
comes from above and asks what an object holds. A Level is one sort of JSON object:
the answer itself, the elements of an array, an object inside one of these.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from harvester import dates
from harvester.catalogue.endpoint import Endpoint, Field

ENVELOPE = frozenset(
    {"errcode", "errmsg", "is_delay", "base_resp", "total_num", "summary"}
)
"""What stands beside the rows and is no column."""

ARROW = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "date32": pa.date32(),
}

WHOLE = ("int32", "int64")

REMEMBERED = 10_000
"""So many dates of a column are remembered: all that there are, and no flood of others."""


class Days(dict[str, int]):
    """How a column writes dates: each date's day as Arrow counts, known once met.

    Raises ValueError or TypeError for what is no date.
    """

    def __init__(self, parse: Callable[[str], int]) -> None:
        super().__init__()
        self.parse = parse

    def __missing__(self, text: str) -> int:
        day = self.parse(text) - dates.EPOCH
        if len(self) >= REMEMBERED:
            self.clear()
        self[text] = day
        return day


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the data file, where its values stand in a Level."""

    index: int
    field: Field
    type: pa.DataType
    days: "Days"

    members: "Level | None"
    """The structs of a list."""


@dataclass(slots=True)
class Level:
    """One sort of JSON object: by the names of its members, what they hold."""

    path: str
    """`list[].details[]`; nothing for the answer itself."""

    prefix: str = ""
    """What precedes the name of an unknown member in `_extra`."""

    leaves: dict[str, list[Column]] = field(default_factory=dict)
    objects: dict[str, "Level"] = field(default_factory=dict)
    arrays: dict[str, "Level"] = field(default_factory=dict)
    """Those whose elements lead to rows, or are the rows."""

    beside: frozenset[str] = frozenset()
    """Members that are no columns and not unknown either."""

    known: frozenset[str] = frozenset()
    own: tuple[str, ...] = ()
    """Members that are columns or hold some."""

    row: bool = False
    """Each of these objects is a row."""

    layouts: dict[tuple[str, ...], Any] = field(default_factory=dict)
    """What `columnwise` found out about objects with these members."""

    def columns(self) -> Iterator[Column]:
        """Of this object and those inside it; not of arrays."""
        for columns in self.leaves.values():
            yield from columns
        for inner in self.objects.values():
            yield from inner.columns()

    def under(self, name: str) -> Iterator[Column]:
        """The columns that stand in this member."""
        yield from self.leaves.get(name, ())
        if name in self.objects:
            yield from self.objects[name].columns()

    def is_whole(self, name: str) -> bool:
        """Whether this member is read as a whole number."""
        columns = self.leaves.get(name, ())
        return bool(columns) and all(column.field.type in WHOLE for column in columns)

    def bears(self) -> bool:
        """Whether rows come out of it."""
        return (
            self.row
            or bool(self.arrays)
            or any(one.bears() for one in self.objects.values())
        )

    def optional(self) -> bool:
        """Whether an answer may leave the whole object out."""
        if self.bears():
            return False
        return all(column.field.nullable for column in self.columns())

    def settle(self) -> None:
        """Fixes what follows from the members, once all are there."""
        self.own = (*self.leaves, *self.objects)
        self.known = self.beside.union(self.leaves, self.objects, self.arrays)
        for inner in (*self.objects.values(), *self.arrays.values()):
            inner.settle()


@dataclass(frozen=True, slots=True)
class Outline:
    """An endpoint's answers: the tree, and what readers need to know of the columns."""

    endpoint: Endpoint
    root: Level
    key: frozenset[int]
    """The columns that tell the rows of an account apart."""

    origin: tuple[int, ...]
    """The columns that hold the name of the array a row came from."""

    types: tuple[pa.DataType, ...]
    """Of the endpoint's fields."""

    path: tuple[Level, ...]
    """From the answer to the row where one array leads to the next; else nothing."""


def outline(endpoint: Endpoint) -> Outline:
    """The tree of this endpoint's answers."""
    beside = ENVELOPE | {endpoint.request.total, endpoint.errors[0].partition(".")[0]}
    root = Level("", "$.", beside=beside)
    rows = [_row_level(root, array) for array in endpoint.rows]
    label = dates.PARSERS[endpoint.label_format]
    origin = []
    for index, one in enumerate(endpoint.fields):
        if one.at == "@rows":
            origin.append(index)
            continue
        column = _column(index, one, _either(label) if index else label)
        within = one.at.removeprefix(f"{endpoint.rows[0]}.")
        for level in [root] if within == one.at else rows:
            _place(level, within, column)
    root.settle()
    key = frozenset(
        i for i, one in enumerate(endpoint.fields) if one.name in endpoint.key
    )
    types = tuple(map(arrow_type, endpoint.fields))
    return Outline(endpoint, root, key, tuple(origin), types, tuple(_straight(root)))


def arrow_type(one: Field) -> pa.DataType:
    """The Arrow type of a column."""
    if one.type != "list":
        return ARROW[one.type]
    members = [pa.field(m.name, arrow_type(m), nullable=m.nullable) for m in one.fields]
    return pa.list_(pa.struct(members))


def _column(index: int, one: Field, parse: Callable[[str], int]) -> Column:
    members = None
    if one.type == "list":
        members = Level("")
        for number, member in enumerate(one.fields):
            _place(members, member.at, _column(number, member, parse))
        members.settle()
    return Column(index, one, arrow_type(one), Days(parse), members)


def _either(label: Callable[[str], int]) -> Callable[[str], int]:
    """A date that is not the label: as WeChat mostly writes it, or as the label is."""

    def day(value: str) -> int:
        try:
            return dates.parse(value)
        except ValueError:
            return label(value)

    return day


def _row_level(root: Level, array: str) -> Level:
    level = _descend(root, array.split("."))
    level.row = True
    level.prefix = ""
    return level


def _place(level: Level, at: str, column: Column) -> None:
    *above, name = at.split(".")
    _descend(level, above).leaves.setdefault(name, []).append(column)


def _descend(level: Level, segments: list[str]) -> Level:
    for segment in segments:
        name = segment.removesuffix("[]")
        inner = level.objects if name == segment else level.arrays
        path = f"{level.path}.{segment}".removeprefix(".")
        level = inner.setdefault(name, Level(path, f"{level.prefix}{segment}."))
    return level


def _straight(root: Level) -> Iterator[Level]:
    """The levels from the answer to the row, unless there are several ways."""
    level = root
    way = [level]
    while not level.row:
        if len(level.arrays) != 1 or any(one.bears() for one in level.objects.values()):
            return
        (level,) = level.arrays.values()
        way.append(level)
    yield from way
