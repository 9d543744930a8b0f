"""From the tables of a catalogue file to its records: which keys there are.

What a table leaves out is the record's own default (`endpoint`), except for what
follows from other keys: `safe_span` is the span, a column stands in the row itself,
and `ref_date` stands where the label does.
"""

from collections.abc import Mapping
from typing import Any

from harvester import dates
from harvester.catalogue.endpoint import Endpoint, Field, Label, Request, Status
from harvester.catalogue.rules import PATH_KEYS, TYPES
from harvester.catalogue.values import (
    Shape,
    anything,
    code,
    day,
    flag,
    like,
    many,
    nearest,
    one_of,
    page_size,
    pair,
    parameters,
    table,
    text,
    whole,
)
from harvester.errors import UsageError

FILE = Shape(
    {"labels": table, "defaults": table, "columns": table, "endpoints": anything}
)
_STEP = r"[^.@\[\]\s]+(\[\])?"
_NAME = like(r"[a-z][a-z0-9_]*", "a-z, 0-9 and _, a letter first")
_PLACE = like(rf"@rows|{_STEP}(\.{_STEP})*", "a place such as list[].title")
_ROWS = like(rf"{_STEP}(\.{_STEP})*(?<=\[\])", "arrays such as list[].details[]")

LABEL = Shape(
    {"value": code, "en": text, "zh": text, "total": flag, "replaces": flag},
    required=("value", "en"),
)
FIELD = Shape(
    {
        "name": _NAME,
        "at": _PLACE,
        "type": one_of({name: name for name in TYPES}),
        "nullable": flag,
        "en": text,
        "zh": text,
        "unit": text,
        "labels": text,
        "additive": flag,
        "cumulative": flag,
        "fields": many(anything, least=1),
    },
    required=("name", "type"),
)
MEMBER = Shape(
    {
        **{
            key: read
            for key, read in FIELD.readers.items()
            if key not in ("at", "fields")
        },
        "name": like(_STEP.removesuffix(r"(\[\])?"), "a plain name"),
        "type": one_of({name: name for name in TYPES if name != "list"}),
    },
    required=FIELD.required,
)
REQUEST = Shape(
    {
        "method": one_of({"POST": "POST", "GET": "GET"}),
        "first": text,
        "last": text,
        "format": one_of({name: name for name in dates.FORMATS}),
        "whole_period": flag,
        "constant": parameters,
        "page": text,
        "page_size": page_size,
        "total": text,
    }
)
ENDPOINT = Shape(
    {
        "id": _NAME,
        "family": _NAME,
        "path": like(r"(/[A-Za-z0-9_-]+)+", "a path such as /datacube/getusersummary"),
        "en": text,
        "zh": text,
        "span": whole(1),
        "safe_span": whole(1),
        "granularity": one_of({item.value: item for item in dates.Granularity}),
        "earliest": day,
        "settle_days": whole(0),
        "permission_set": whole(1),
        "status": one_of({item.value: item for item in Status}),
        "replaced_by": many(text),
        "request": table,
        "errors": pair,
        "rows": many(_ROWS, least=1),
        "label": _PLACE,
        "label_format": one_of({name: name for name in dates.PARSERS}),
        "key": many(text, least=1),
        "fields": many(anything, least=1),
        "fields_at": _PLACE,
        "source": like(r"https://\S+", "an address with https://"),
        "notes": many(text),
        "replaces": flag,
    },
    required=(
        "id",
        "family",
        "path",
        "en",
        "span",
        "granularity",
        "earliest",
        "key",
        "fields",
    ),
)
COLUMN = Shape({key: read for key, read in FIELD.readers.items() if key != "name"})
DEFAULTS = Shape(
    {
        key: read
        for key, read in ENDPOINT.readers.items()
        if key not in ("id", "key", "fields", "replaces")
    }
)


def label(raw: Any, place: str) -> tuple[Label, bool]:
    """One value of an enumeration, and whether it may replace one.

    Raises UsageError naming the place.
    """
    values = LABEL.read(raw, place)
    replaces = values.pop("replaces", False)
    return Label(**values), replaces


def endpoint(
    raw: Mapping[str, Any],
    defaults: Mapping[str, Any],
    columns: Mapping[str, Any],
    place: str,
) -> tuple[Endpoint, bool]:
    """One endpoint, and whether it may replace one.

    `defaults` and `columns` are the file's: what an endpoint, and a column of that
    name, takes where it says nothing itself. Raises UsageError naming the place.
    """
    values = ENDPOINT.read(_with_id({**defaults, **raw}), place)
    replaces = values.pop("replaces", False)
    values.setdefault("safe_span", values["span"])
    values["request"] = Request(
        **REQUEST.read(values.get("request", {}), f"{place}, request")
    )
    inside = values.pop("fields_at", values.get("rows", ("list[]",))[0])
    places = {"ref_date": values.setdefault("label", "list[].ref_date")}
    places |= {f"{key}_": f"{inside}.{key}" for key in PATH_KEYS}
    values["fields"] = tuple(
        _field(_column(one, columns, place), places, inside, place)
        for one in values["fields"]
    )
    return Endpoint(**values), replaces


def _with_id(raw: dict[str, Any]) -> dict[str, Any]:
    """`{id}` in a path or a source stands for the endpoint's id."""
    for key in ("path", "source"):
        if isinstance(raw.get(key), str):
            raw[key] = raw[key].replace("{id}", str(raw.get("id")))
    return raw


def _column(raw: Any, columns: Mapping[str, Any], place: str) -> Any:
    """The column with what [columns] says of its name; a text is the name alone."""
    if isinstance(raw, str):
        if raw not in columns:
            message = f"{place}: field {raw!r} is not in [columns]"
            raise UsageError(
                message, nearest(raw, columns) if columns else "write a table"
            )
        return {"name": raw, **columns[raw]}
    if isinstance(raw, dict) and isinstance(raw.get("name"), str):
        return {**columns.get(raw["name"], {}), **raw}
    return raw


def _field(raw: Any, places: Mapping[str, str], inside: str, place: str) -> Field:
    name = raw.get("name") if isinstance(raw, dict) else None
    place = f"{place}, field {name}" if isinstance(name, str) else f"{place}, fields"
    values = FIELD.read(raw, place)
    values.setdefault("at", places.get(values["name"], f"{inside}.{values['name']}"))
    values["fields"] = tuple(_member(one, place) for one in values.get("fields", ()))
    return Field(**values)


def _member(raw: Any, place: str) -> Field:
    values = MEMBER.read(raw, f"{place}, fields")
    return Field(at=values["name"], **values)
