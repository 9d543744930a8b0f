"""What an endpoint must obey once each of its keys is well-formed.

Every rule is a generator of (what is wrong, what to do about it): pure, and the
first one found is told.
"""

from collections.abc import Iterator, Mapping
from itertools import chain

from harvester.catalogue.endpoint import Endpoint, Field, Label
from harvester.catalogue.values import nearest

TYPES = ("int32", "int64", "float64", "string", "bool", "date32", "list")
"""Types of columns that every reader of Parquet takes."""

PATH_KEYS = frozenset({"endpoint", "account", "bucket", "date", "month"})
"""Keys of the lake's paths: a column of that name carries a `_` suffix."""

_NUMBERS = frozenset({"int32", "int64", "float64"})
_LABELLED = {"int32": int, "int64": int, "string": str}

Problems = Iterator[tuple[str, str]]
Labels = Mapping[str, tuple[Label, ...]]


def problems(endpoint: Endpoint, labels: Labels) -> Problems:
    """Everything that is wrong with the endpoint, and the mend of each."""
    yield from _windows(endpoint)
    yield from _names(endpoint)
    yield from _key(endpoint)
    yield from _places(endpoint)
    for field in endpoint.fields:
        yield from _column(field)
        for one in (field, *field.fields):
            yield from _meaning(one, labels)


def _windows(endpoint: Endpoint) -> Problems:
    if endpoint.safe_span > endpoint.span:
        yield (
            f"`safe_span` {endpoint.safe_span} is longer than `span` {endpoint.span}",
            f"expected at most {endpoint.span}",
        )
    if endpoint.request.whole_period and endpoint.span > 1:
        yield (
            f"`span` is {endpoint.span} beside `whole_period`",
            "expected 1: a period a call",
        )


def _names(endpoint: Endpoint) -> Problems:
    names = [field.name for field in endpoint.fields]
    if names[0] != "ref_date":
        yield f"the first field is {names[0]}", "expected ref_date, the label's day"
    first = endpoint.fields[0]
    if (first.type, first.nullable, first.at) != ("date32", False, endpoint.label):
        yield (
            "field ref_date is not the label",
            f'expected type = "date32", not nullable, at = "{endpoint.label}"',
        )
    for name in sorted(PATH_KEYS.intersection(names)):
        yield f"field {name} is a key of the lake's paths", f"call it {name}_"
    yield from (
        ("field " + name + " is there twice", "keep one") for name in _twice(names)
    )


def _twice(names: list[str]) -> list[str]:
    return [name for position, name in enumerate(names) if name in names[:position]]


def _key(endpoint: Endpoint) -> Problems:
    names = [field.name for field in endpoint.fields]
    for name in endpoint.key:
        if name not in names:
            yield f"`key` names {name!r}, which is no field", nearest(name, names)
    if "ref_date" not in endpoint.key:
        yield (
            "`key` is without ref_date",
            "add it: rows of two days are never the same row",
        )
    for name in _twice(list(endpoint.key)):
        yield f"`key` names {name} twice", "keep one"


def arrays(place: str) -> str:
    """The arrays on the way to this place: `list[].detail` for a row is in `list[]`."""
    return place[: place.rfind("[]") + 2] if "[]" in place else ""


def _places(endpoint: Endpoint) -> Problems:
    first, *others = endpoint.rows
    outer = arrays(first[:-2])
    for row in others:
        if arrays(row[:-2]) != outer:
            yield (
                f"`rows` {first} and {row} are not in the same array",
                "make it two endpoints",
            )
    for what, place in chain(
        [("`label`", endpoint.label)],
        ((f"field {field.name}", field.at) for field in endpoint.fields),
    ):
        array = arrays(place)
        if array and array != first and not first.startswith(f"{array}."):
            yield (
                f"{what} is at {place}, outside the rows",
                f"expected it on the way to {first}",
            )


def _column(field: Field) -> Problems:
    if (field.type == "list") != bool(field.fields):
        mend = (
            "expected a list of its structs' fields"
            if not field.fields
            else 'of a "list" only'
        )
        yield f"field {field.name}: `fields` do not go with type {field.type}", mend
    for name in _twice([member.name for member in field.fields]):
        yield f"field {field.name}: {name} is there twice", "keep one"


def _meaning(field: Field, labels: Labels) -> Problems:
    if (field.additive or field.cumulative) and field.type not in _NUMBERS:
        yield (
            f"field {field.name}: a {field.type} is no figure",
            "leave out additive, cumulative",
        )
    if field.additive and field.cumulative:
        yield (
            f"field {field.name}: a running total cannot be added up",
            "additive = false",
        )
    if not field.labels:
        return
    if field.labels not in labels:
        yield (
            f"field {field.name}: no labels {field.labels!r}",
            nearest(field.labels, labels),
        )
    elif any(
        type(one.value) is not _LABELLED.get(field.type) for one in labels[field.labels]
    ):
        yield (
            f"field {field.name}: labels {field.labels} do not fit {field.type}",
            "see its values",
        )
