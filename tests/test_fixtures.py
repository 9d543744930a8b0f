"""Bodies that others published parse to the values they hold.

What a body holds is worked out here a second time, from the catalogue's places alone
and without the product's readers.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from harvester import columnwise, dates, tables
from harvester.catalogue.endpoint import Endpoint, Field
from harvester.catalogue.load import catalogue
from harvester.columnwise import Unusual
from harvester.decoding import decode
from harvester.outline import outline

HERE = Path(__file__).parent
CATALOGUE = catalogue(HERE / "data" / "next_families.endpoints.toml")
BODIES = sorted((HERE / "fixtures").rglob("*.json"))
ACCOUNT = "wx0123456789abcdef"
EVER = (dates.parse("2014-01-01"), dates.parse("2030-12-31"))

INCOMPLETE = {
    "easyswoole/publisher_cps_general.json": 'list[0].date is the text "20XX-XX-XX"',
    "skit/publisher_cps_general.json": 'list[0].date is the text "20XX-XX-XX"',
}
"""Bodies whose author masked the date, which every answer has."""

WITH_UNKNOWN_FIELDS = {
    "wechatpy/getinterfacesummary.json": {"max_time_count": 123},
    "wechatpy/getinterfacesummaryhour.json": {"max_time_count": 123},
    "newapi_sdk_tests/getarticleread__is_delay_string.json": {
        "new_field": {"nested": 7}
    },
}
"""Bodies with a field that no document names: it is kept in `_extra`."""


def of_an_endpoint(path: Path) -> bool:
    return path.stem.split("__")[0] in CATALOGUE.endpoints


ANSWERS = [path for path in BODIES if of_an_endpoint(path)]
ERRORS = [path for path in BODIES if not of_an_endpoint(path)]


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def endpoint_of(path: Path) -> Endpoint:
    return CATALOGUE.endpoints[path.stem.split("__")[0]]


def payload(body: bytes) -> tables.Payload:
    return tables.Payload(ACCOUNT, *EVER, (EVER,), (decode(body),), (body,))


def parsed(endpoint: Endpoint, body: bytes) -> tuple[list[dict[str, Any]], Any]:
    batch, (outcome,) = tables.parse(endpoint, [payload(body)])
    batch.validate(full=True)
    return batch.to_pylist(), outcome


def flattened(endpoint: Endpoint, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of an answer, from the places that the catalogue names."""
    for array in endpoint.rows:
        for around in _objects({"": document}, "", array.split(".")):
            row = {
                one.name: _value(endpoint, one, array, around)
                for one in endpoint.fields
            }
            yield {"account": ACCOUNT, **row, "_extra": None}


def _objects(
    around: dict[str, Any], path: str, segments: list[str]
) -> Iterator[dict[str, Any]]:
    """Every chain of objects along these segments, each by its own path."""
    if not segments:
        yield around
        return
    segment, *rest = segments
    inner = around[path][segment.removesuffix("[]")]
    below = f"{path}.{segment}".lstrip(".")
    for one in inner if segment.endswith("[]") else [inner]:
        yield from _objects({**around, below: one}, below, rest)


def _value(endpoint: Endpoint, one: Field, array: str, around: dict[str, Any]) -> Any:
    if one.at == "@rows":
        return array.removesuffix("[]")
    at = one.at.replace(endpoint.rows[0], array, 1)
    nearest = max(
        (path for path in around if f"{at}.".startswith(f"{path}.") or not path),
        key=len,
    )
    value = around[nearest]
    for name in at.removeprefix(nearest).strip(".").split("."):
        value = (value or {}).get(name)
    return _as(endpoint, one, value)


def _as(endpoint: Endpoint, one: Field, value: Any) -> Any:
    if value is None:
        return None
    if one.type == "date32":
        return _day(endpoint.label_format, value)
    if one.type == "list":
        return [
            {m.name: _as(endpoint, m, item.get(m.name)) for m in one.fields}
            for item in value
        ]
    return float(value) if one.type == "float64" else value


def _day(spelling: str, text: str) -> date:
    shapes = {"YYYY-MM-DD": "%Y-%m-%d", "YYYYMMDD": "%Y%m%d", "YYYYMM": "%Y%m"}
    if spelling == "YYYYMMDD-YYYYMMDD":
        text, spelling = text[:8], "YYYYMMDD"
    return datetime.strptime(text, shapes[spelling]).date()  # noqa: DTZ007


def missing(endpoint: Endpoint, rows: list[dict[str, Any]]) -> list[str]:
    """The required columns that some row lacks."""
    required = [one.name for one in endpoint.fields if not one.nullable]
    return [name for name in required if any(row[name] is None for row in rows)]


@pytest.mark.parametrize("path", ANSWERS, ids=named)
def test_every_published_body_parses_to_the_values_it_holds(path: Path) -> None:
    endpoint, body = endpoint_of(path), path.read_bytes()
    rows, outcome = parsed(endpoint, body)
    if named(path) in INCOMPLETE:
        assert outcome == tables.Rejected(outcome.reason)
        assert outcome.reason.startswith(INCOMPLETE[named(path)])
        return
    held = list(flattened(endpoint, json.loads(body)))
    if lacking := missing(endpoint, held):
        assert lacking[0] in outcome.reason
        return
    for row in rows if named(path) in WITH_UNKNOWN_FIELDS else ():
        assert json.loads(row.pop("_extra")) == WITH_UNKNOWN_FIELDS[named(path)]
        row["_extra"] = None
    assert rows == held
    assert outcome.dropped == outcome.ignored == outcome.collapsed == 0
    assert sum(outcome.rows.values()) == len(rows)


@pytest.mark.parametrize("path", ANSWERS, ids=named)
def test_published_bodies_need_no_exact_reading(path: Path) -> None:
    endpoint, body = endpoint_of(path), path.read_bytes()
    _, outcome = parsed(endpoint, body)
    several_arrays = len(endpoint.rows) > 1
    answers = [((decode(body),), (body,))]
    unusual = several_arrays or named(path) in WITH_UNKNOWN_FIELDS
    if isinstance(outcome, tables.Rejected) or unusual:
        with pytest.raises(Unusual):
            columnwise.read(outline(endpoint), answers)
    else:
        assert len(columnwise.read(outline(endpoint), answers).days) > 0


def test_every_endpoint_of_the_catalogue_has_a_published_body() -> None:
    official = catalogue().select(["official_account"])
    assert len(official) == 21
    assert {one.id for one in official} <= {path.stem for path in BODIES}


@pytest.mark.parametrize("path", ERRORS, ids=named)
def test_an_error_body_is_read_and_gives_no_rows(path: Path) -> None:
    body = path.read_bytes()
    assert decode(body) == json.loads(body)
    rows, outcome = parsed(CATALOGUE.endpoints["getusersummary"], body)
    assert rows == []
    assert outcome == tables.Rejected("list is missing where the array of rows is due")


def test_a_body_with_a_text_for_is_delay_is_final_and_keeps_its_new_field() -> None:
    path = (
        HERE / "fixtures" / "newapi_sdk_tests" / "getarticleread__is_delay_string.json"
    )
    document = json.loads(path.read_bytes())
    document["list"][0]["detail"] = {"read_user": 7, "read_user_source": None}
    rows, outcome = parsed(endpoint_of(path), json.dumps(document).encode())
    assert outcome.delayed is False
    assert outcome.extra == ("new_field",)
    assert rows[0]["_extra"] == '{"new_field":{"nested":7}}'
    assert rows[0]["read_user_source"] is None
