"""One catalogue file's content, added to what is known already: pure.

`name` is the file's, for the errors. Nothing is redefined unless the file says
`replaces = true`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harvester.catalogue import records
from harvester.catalogue.endpoint import Endpoint, Label
from harvester.catalogue.rules import Labels, problems
from harvester.catalogue.values import nearest
from harvester.errors import UsageError


def labels(known: Labels, content: Mapping[str, Any], name: str) -> Labels:
    """All enumerations; a file may add one, or values to one."""
    own = {
        enumeration: _enumeration(
            known.get(enumeration, ()), raw, f"{name}: labels {enumeration}"
        )
        for enumeration, raw in content.get("labels", {}).items()
    }
    return {**known, **own}


def _enumeration(known: tuple[Label, ...], raw: Any, place: str) -> tuple[Label, ...]:
    if not isinstance(raw, list):
        raise UsageError(f"{place}: expected a list", "write [{ value = …, en = … }]")
    shipped = {label.value: label for label in known}
    own: dict[int | str, Label] = {}
    for number, one in enumerate(raw, 1):
        label, replaces = records.label(one, f"{place}, number {number}")
        _may_add(label.value, shipped, own, replaces, f"{place}, value {label.value}")
        own[label.value] = label
    merged = {**shipped, **own}
    if len({type(value) for value in merged}) > 1:
        raise UsageError(f"{place}: numbers beside texts", "expected one kind of value")
    return tuple(merged.values())


def endpoints(
    known: Mapping[str, Endpoint], labels: Labels, content: Mapping[str, Any], name: str
) -> Mapping[str, Endpoint]:
    """All endpoints; one that replaces another keeps its position."""
    own: dict[str, Endpoint] = {}
    for endpoint, replaces, place in _own(content, name):
        _may_add(endpoint.id, known, own, replaces, place)
        for message, mend in problems(endpoint, labels):
            raise UsageError(f"{place}: {message}", mend)
        own[endpoint.id] = endpoint
    merged = {**known, **own}
    for endpoint in own.values():
        _check_successors(endpoint, merged, name)
    return merged


def _own(content: Mapping[str, Any], name: str) -> Iterator[tuple[Endpoint, bool, str]]:
    """The file's endpoints, whether each may replace one, and where it stands."""
    defaults, columns = content.get("defaults", {}), content.get("columns", {})
    records.DEFAULTS.refuse_unknown(defaults, f"{name}: defaults")
    for column, raw in columns.items():
        if not isinstance(raw, dict):
            raise UsageError(
                f"{name}: column {column} is no table", "write { type = … }"
            )
        records.COLUMN.refuse_unknown(raw, f"{name}: column {column}")
    raws = content.get("endpoints", [])
    if not isinstance(raws, list) or not all(isinstance(raw, dict) for raw in raws):
        raise UsageError(
            f"{name}: `endpoints` is no list of tables", "write [[endpoints]]"
        )
    for number, raw in enumerate(raws, 1):
        own_id = raw.get("id")
        called = own_id if isinstance(own_id, str) else f"number {number}"
        place = f"{name}: endpoint {called}"
        yield *records.endpoint(raw, defaults, columns, place), place


def _may_add(
    key: int | str, known: Iterable[Any], own: Iterable[Any], replaces: bool, place: str
) -> None:
    """Refuses to redefine silently, and to replace what is not there."""
    if key in own:
        raise UsageError(f"{place}: it is there twice", "keep one")
    if key in known and not replaces:
        raise UsageError(
            f"{place}: it is there already", "`replaces = true` redefines it"
        )
    if replaces and key not in known:
        raise UsageError(
            f"{place}: it replaces nothing", nearest(str(key), map(str, known))
        )


def _check_successors(endpoint: Endpoint, known: Iterable[str], name: str) -> None:
    for other in endpoint.replaced_by:
        if other not in known:
            message = f"{name}: endpoint {endpoint.id}: `replaced_by` names no endpoint: {other!r}"
            raise UsageError(message, nearest(other, known))
