"""The quick reader: many answers of one endpoint at once, column after column.

It takes only what needs no decision: every object of a sort has the same members, all
known, each of the catalogue's type, no row twice. Whatever else is there raises
Unusual, and `rowwise` reads the same answers one value at a time. What this reader
takes, it takes as that one would.

Whole numbers, which most columns are, go through one matrix: the values of all rows
in one list, packed in one step, a column being every n-th of them.
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, count, repeat
from operator import itemgetter, sub
from typing import Any

import orjson
import pyarrow as pa

from harvester import lengths
from harvester.decoding import every_key_kept
from harvester.outline import Column, Level, Outline

BEYOND = 2.0**63
"""From here on a float may be a whole number that orjson could not keep."""

LAYOUTS = 64
"""So many ways in which one sort of object left members out are remembered."""

Answer = tuple[tuple[dict[str, Any], ...], tuple[bytes, ...]]
"""An answer's documents, one a page, and their bytes."""

Read = tuple[pa.Array, int]
"""A column, and the bytes that its values take as JSON, at the least."""

INT32, INT64, DATE32 = pa.int32(), pa.int64(), pa.date32()


class Unusual(Exception):
    """These answers need the exact reader."""


@dataclass(slots=True)
class Sheet:
    """What was read so far, for all objects of one level."""

    key: frozenset[int]
    """The columns whose cells are wanted."""

    arrays: list[Any]
    """By the columns' index; None: not read yet."""

    cells: dict[int, Sequence[Any]] = field(default_factory=dict)
    days: list[int] = field(default_factory=list)
    """The label's, as Arrow counts."""

    below: list[Any] = field(default_factory=list)
    """The arrays that the next level is in."""

    length: int = 0
    """The bytes that what was read takes as JSON, at the least; below 0: not known."""


@dataclass(slots=True)
class Columns:
    """The rows of a batch, answer after answer."""

    arrays: list[pa.Array]
    """Of the endpoint's fields."""

    days: list[int]
    """Each row's day, as Arrow counts."""

    bounds: list[int]
    """Where the rows of each answer begin; at last, how many there are."""

    owners: list[int]
    """The answer of each row."""


def read(outline: Outline, answers: Sequence[Answer]) -> Columns:
    """The rows of these answers.

    Raises Unusual.
    """
    try:
        columns, length = _read(outline, [documents for documents, _ in answers])
        if length != sum([len(body) for _, bodies in answers for body in bodies]):
            _account(answers)
    except (LookupError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise Unusual from error
    return columns


def _account(answers: Sequence[Answer]) -> None:
    """Raises Unusual unless every object has all the members that its bytes had."""
    for answer in answers:
        for document, body in zip(*answer, strict=True):
            if not every_key_kept(document, body):
                raise Unusual


def _read(
    outline: Outline, answers: Sequence[tuple[dict[str, Any], ...]]
) -> tuple[Columns, int]:
    """The rows, and the bytes that they take at the least (see Sheet)."""
    if not outline.path:
        raise Unusual
    bounds = [0, *accumulate(map(len, answers))]
    sheet = _top(outline, list(chain.from_iterable(answers)))
    owners: list[int] = []
    for level in outline.path[1:]:
        sizes = _sizes(sheet.below)
        objects = list(chain.from_iterable(sheet.below))
        if not objects:
            return _nothing(outline, len(answers)), lengths.UNKNOWN
        ends = [0, *accumulate(sizes)]
        bounds = [ends[bound] for bound in bounds]
        above, owners = owners, _numbered(map(sub, bounds[1:], bounds))
        sheet.length += lengths.frames(sizes)
        parents = owners
        if above or outline.root.own:
            parents = _numbered(sizes)
            sheet = _inside(sheet, parents)
        _columns(level, objects, sheet)
        _refuse_repeats(sheet, parents if above else owners)
    return Columns(sheet.arrays, sheet.days, bounds, owners), sheet.length


def _top(outline: Outline, documents: list[dict[str, Any]]) -> Sheet:
    """The answers themselves: what stands beside their columns and rows may differ."""
    root = outline.root
    (rows,) = root.arrays
    sheet = Sheet(outline.key, [None] * len(outline.types))
    if not all(document.keys() <= root.known for document in documents):
        raise Unusual
    if root.own and documents:
        names = (*root.own, rows)
        own = [{name: one[name] for name in names} for one in documents]
        _columns(root, own, sheet)
    sheet.below = [document[rows] for document in documents]
    sheet.length = sum([lengths.beside(document, rows) for document in documents])
    return sheet


def _nothing(outline: Outline, answers: int) -> Columns:
    arrays = [pa.nulls(0, type) for type in outline.types]
    return Columns(arrays, [], [0] * (answers + 1), [])


def _sizes(arrays: list[Any]) -> list[int]:
    if not {list}.issuperset(map(type, arrays)):
        raise Unusual
    return list(map(len, arrays))


def _numbered(sizes: Iterable[int]) -> list[int]:
    """0 as often as the first size says, then 1, and so on."""
    return list(chain.from_iterable(map(repeat, count(), sizes)))


def _inside(sheet: Sheet, parents: list[int]) -> Sheet:
    """The sheet for the objects inside, each of which has its parent's values."""
    taken = narrow(INT32, parents)
    arrays = [one if one is None else one.take(taken) for one in sheet.arrays]
    days = list(map(sheet.days.__getitem__, parents)) if sheet.days else []
    return Sheet(sheet.key, arrays, days=days, length=sheet.length)


def _refuse_repeats(sheet: Sheet, parents: list[int]) -> None:
    """Two rows can only be equal where two objects of one parent have the same key."""
    if len(set(zip(parents, *sheet.cells.values(), strict=True))) < len(parents):
        raise Unusual


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the columns of a Level are among the values of objects with these members."""

    others: tuple[tuple[int, str], ...]
    """Members that are not whole numbers, from the last to the first."""

    whole: tuple[tuple[int, int, bool], ...]
    """Columns of whole numbers: the place once the others are out, the index, int32?"""

    absent: tuple[Column, ...]

    frame: int
    """The bytes of the names, and of what stands between them and the values."""


def _columns(level: Level, objects: list[dict[str, Any]], sheet: Sheet) -> None:
    """Reads the columns of these objects, all of one level."""
    names = tuple(objects[0])
    width = len(names)
    if set(map(len, objects)) != {width}:
        raise Unusual
    layout = level.layouts.get(names) or _laid_out(level, names)
    # With the objects' own strings for names a look-up is a comparison of pointers.
    values = map(itemgetter(*names), objects)
    flat = list(chain.from_iterable(values)) if width > 1 else list(values)
    for place, name in layout.others:
        cells = flat[place::width]
        del flat[place::width]
        width -= 1
        _member(level, name, cells, sheet)
    if layout.whole:
        _matrix(layout, flat, width, sheet)
    for column in layout.absent:
        sheet.arrays[column.index] = pa.nulls(len(objects), column.type)
    sheet.length += layout.frame * len(objects)


def _laid_out(level: Level, names: tuple[str, ...]) -> Layout:
    """The layout of objects with these members. Raises Unusual for undocumented ones."""
    missing = level.known.difference(names)
    absent = [column for name in missing for column in level.under(name)]
    if not level.known.issuperset(names) or not level.arrays.keys() <= set(names):
        raise Unusual
    if not all(column.field.nullable for column in absent):
        raise Unusual
    whole = [name for name in names if level.is_whole(name)]
    others = [(place, name) for place, name in enumerate(names) if name not in whole]
    columns = [
        (place, one) for place, name in enumerate(whole) for one in level.leaves[name]
    ]
    matrix = [(place, one.index, one.field.type == "int32") for place, one in columns]
    frame = lengths.members(names)
    layout = Layout(tuple(reversed(others)), tuple(matrix), tuple(absent), frame)
    if len(level.layouts) >= LAYOUTS:
        level.layouts.clear()
    level.layouts[names] = layout
    return layout


def _member(level: Level, name: str, cells: list[Any], sheet: Sheet) -> None:
    if name in level.arrays:
        sheet.below = cells
        return
    if name in level.objects:
        _columns(level.objects[name], cells, sheet)
        return
    length = 0
    for column in level.leaves[name]:
        kind = column.field.type
        sheet.arrays[column.index], length = READ[kind](column, cells, sheet)
    sheet.length += length


def _matrix(layout: Layout, flat: list[Any], width: int, sheet: Sheet) -> None:
    packed = struct.pack(f"{len(flat)}q", *flat)
    # struct takes true for 1. Written again, true and false alone have an e.
    text = orjson.dumps(flat)
    if b"e" in text:
        raise Unusual
    sheet.length += len(text) - len(flat) - 1
    matrix = array("q", packed)
    rows = len(flat) // width
    for place, index, is_narrow in layout.whole:
        if index in sheet.key:
            sheet.cells[index] = flat[place::width]
        if is_narrow:
            sheet.arrays[index] = narrow(INT32, flat[place::width])
        else:
            data = pa.py_buffer(matrix[place::width])
            sheet.arrays[index] = pa.Array.from_buffers(INT64, rows, [None, data])


def narrow(type: pa.DataType, numbers: Sequence[int]) -> pa.Array:
    """These numbers in an array of 32 bits each. Raises struct.error."""
    data = pa.py_buffer(struct.pack(f"{len(numbers)}i", *numbers))
    return pa.Array.from_buffers(type, len(numbers), [None, data])


def _strings(column: Column, cells: list[Any], sheet: Sheet) -> Read:
    texts = pa.array(cells, pa.string())
    if texts.null_count and not column.field.nullable:
        raise Unusual
    if column.index in sheet.key:
        sheet.cells[column.index] = cells
    return texts, lengths.elements(cells)


def _dates(column: Column, cells: list[Any], sheet: Sheet) -> Read:
    days = list(map(column.days.__getitem__, cells))
    if column.index == 0:
        sheet.days = days
    if column.index in sheet.key:
        sheet.cells[column.index] = days
    return narrow(DATE32, days), lengths.elements(cells)


def _floats(column: Column, cells: list[Any], sheet: Sheet) -> Read:
    if not {float, int}.issuperset(map(type, cells)):
        raise Unusual
    if not -BEYOND < min(cells) <= max(cells) < BEYOND:
        raise Unusual
    return pa.array(cells, pa.float64()), lengths.UNKNOWN


def _flags(column: Column, cells: list[Any], sheet: Sheet) -> Read:
    if not {bool}.issuperset(map(type, cells)):
        raise Unusual
    return pa.array(cells, pa.bool_()), lengths.elements(cells)


def _lists(column: Column, cells: list[Any], sheet: Sheet) -> Read:
    sizes = _sizes(cells)
    offsets = narrow(INT32, list(accumulate(sizes, initial=0)))
    structs, length = _structs(column, list(chain.from_iterable(cells)))
    lists = pa.ListArray.from_arrays(offsets, structs, type=column.type)
    return lists, length + lengths.frames(sizes)


def _structs(column: Column, items: list[Any]) -> Read:
    type = column.type.value_type
    if not items or column.members is None:
        return pa.nulls(0, type), 0
    sheet = Sheet(frozenset(), [None] * type.num_fields)
    _columns(column.members, items, sheet)
    structs = pa.StructArray.from_arrays(sheet.arrays, fields=list(type))
    return structs, sheet.length


READ: dict[str, Callable[[Column, list[Any], Sheet], Read]] = {
    "string": _strings,
    "date32": _dates,
    "float64": _floats,
    "bool": _flags,
    "list": _lists,
}
"""From the cells of a column that is not in the matrix to its array."""
