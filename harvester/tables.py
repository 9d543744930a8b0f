"""From answers to Arrow: pure, strict, and quick where nothing is unusual.

Answers of one endpoint are read together (`columnwise`). When anything about them is
unusual, each is read alone; the unusual ones value after value (`rowwise`), so that
one account's odd answer neither changes nor costs another's.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa

from harvester import columnwise, dates, rowwise
from harvester.catalogue.endpoint import Endpoint, Field
from harvester.columnwise import INT32, Columns, Unusual, narrow
from harvester.dates import EPOCH, Days
from harvester.decoding import Unreadable, exact
from harvester.outline import Outline, arrow_type, outline
from harvester.rowwise import Mismatch


class Payload(NamedTuple):
    """What one call brought: its account and window, the dates it owns, its pages."""

    account: str
    first: int
    last: int
    owned: Days
    documents: tuple[dict[str, Any], ...]
    bodies: tuple[bytes, ...]
    """The bytes of the documents: what is unusual is read from them again."""


class Parsed(NamedTuple):
    """What a payload gave, beside its rows."""

    rows: dict[int, int]
    """Rows kept, by owned day; a day without rows is not there."""

    delayed: bool
    """WeChat says that the figures are not final yet."""

    dropped: int
    """Rows dated outside the window."""

    ignored: int
    """Rows inside the window on days that the call does not own."""

    collapsed: int
    """Rows that repeated another one in every column."""

    extra: tuple[str, ...]
    """Fields that the catalogue does not know."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why nothing of a payload could be taken: the place, what stands there, what was due."""

    reason: str


Outcome = Parsed | Rejected
Result = tuple[pa.RecordBatch, list[Outcome]]
Places = Sequence[int] | None
"""Which rows stay; None: all."""

Verdict = tuple[Outcome, Places]
"""What becomes of a payload, and which of its rows stay."""

Case = tuple[int, int, Days, bool, tuple[int, ...]]
"""Of a payload: first, last, owned, whether it is delayed, its rows' days (as Arrow
counts). Payloads of one batch are much alike: equal ones are judged once."""

Line = tuple[list[Any], str | None]
"""The values of a row's fields, and its `_extra`."""

_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Form:
    """An endpoint's answers and its table: made once."""

    outline: Outline
    schema: pa.Schema


_forms: dict[str, Form] = {}


def schema(endpoint: Endpoint, *, account: bool, version: str = "") -> pa.Schema:
    """The schema of an endpoint's data files; with `account` where accounts share one."""
    fields = [_described(one) for one in endpoint.fields]
    if account:
        fields.insert(0, pa.field("account", pa.string(), nullable=False))
    about = {
        "endpoint": endpoint.id,
        "catalogue_version": version,
        "source": endpoint.source,
    }
    extra = pa.field(
        "_extra",
        pa.string(),
        metadata={"description": "fields not in the catalogue, as JSON"},
    )
    return pa.schema([*fields, extra], metadata=_said(about))


def parse(endpoint: Endpoint, payloads: Sequence[Payload]) -> Result:
    """The rows of these payloads in their order, and what became of each payload.

    The batch has the columns of `schema(endpoint, account=True)`; rows of a rejected
    payload are not in it.
    """
    form = _form(endpoint)
    try:
        return _quickly(form, payloads)
    except (Unusual, Mismatch):
        pass
    if len(payloads) == 1:
        return _exactly(form, payloads[0])
    parts = [parse(endpoint, [payload]) for payload in payloads]
    outcomes = [outcome for _, (outcome,) in parts]
    return _joined(form, [batch for batch, _ in parts]), outcomes


def _form(endpoint: Endpoint) -> Form:
    form = _forms.get(endpoint.id)
    if form is None or form.outline.endpoint is not endpoint:
        form = Form(outline(endpoint), schema(endpoint, account=True))
        _forms[endpoint.id] = form
    return form


def _described(one: Field) -> pa.Field:
    about = {
        "description": one.en,
        "description_zh": one.zh,
        "unit": one.unit,
        "source": one.at,
        "additive": str(one.additive).lower(),
        "labels": one.labels,
    }
    return pa.field(
        one.name, arrow_type(one), nullable=one.nullable, metadata=_said(about)
    )


def _said(about: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in about.items() if text}


def _quickly(form: Form, payloads: Sequence[Payload]) -> Result:
    """All payloads at once. Raises Unusual or Mismatch."""
    answers = [(one.documents, one.bodies) for one in payloads]
    columns = columnwise.read(form.outline, answers)
    days, bounds = columns.days, columns.bounds
    known: dict[Case, Verdict] = {}
    judged = []
    for payload, (start, end) in zip(payloads, pairwise(bounds), strict=True):
        case = _case(payload, days[start:end], payload.documents)
        if case not in known:
            known[case] = _judged(case)
        judged.append(known[case])
    extra = pa.nulls(len(days), pa.string())
    arrays = [_accounts(payloads, columns), *columns.arrays, extra]
    batch = pa.RecordBatch.from_arrays(arrays, schema=form.schema)
    outcomes = [outcome for outcome, _ in judged]
    chosen = [places for _, places in judged]
    if chosen.count(None) == len(chosen):
        return batch, outcomes
    return batch.take(_kept(bounds, chosen)), outcomes


def _accounts(payloads: Sequence[Payload], columns: Columns) -> pa.Array:
    if len(payloads) == 1:
        name = pa.scalar(payloads[0].account, pa.string())
        return pa.repeat(name, len(columns.days))
    names = pa.array([one.account for one in payloads], pa.string())
    return names.take(narrow(INT32, columns.owners))


def _kept(bounds: list[int], chosen: list[Places]) -> pa.Array:
    """Which rows of the batch stay."""
    kept = [
        start + place
        for (start, end), places in zip(pairwise(bounds), chosen, strict=True)
        for place in (range(end - start) if places is None else places)
    ]
    return pa.array(kept, pa.int64())


def _exactly(form: Form, payload: Payload) -> Result:
    """One payload, value after value."""
    try:
        documents = tuple(map(exact, payload.bodies)) or payload.documents
        rows = [row for one in documents for row in rowwise.rows(form.outline, one)]
        lines = [(row.values, _json(row.extra)) for row in rows]
        different = list({repr(line): line for line in lines}.values())
        days = [values[0] for values, _ in different]
        outcome, places = _judged(_case(payload, days, documents))
    except (Mismatch, Unreadable) as error:
        return _batch(form, payload.account, []), [Rejected(str(error))]
    except RecursionError:
        return _batch(form, payload.account, []), [Rejected("nested too deeply")]
    if isinstance(outcome, Parsed):
        extra = {_INDEX.sub("[]", name) for row in rows for name in row.extra}
        collapsed = len(rows) - len(different)
        outcome = outcome._replace(collapsed=collapsed, extra=tuple(sorted(extra)))
    if places is not None:
        different = [different[place] for place in places]
    return _batch(form, payload.account, different), [outcome]


def _case(
    payload: Payload, days: list[int], documents: Sequence[dict[str, Any]]
) -> Case:
    """All that counts for what becomes of a payload. Raises Mismatch."""
    delayed = False
    for document in documents:
        delayed |= rowwise.delayed(document)
    return payload.first, payload.last, payload.owned, delayed, tuple(days)


def _judged(case: Case) -> Verdict:
    """What becomes of a payload whose rows are readable."""
    first, last, owned, delayed, days = case
    rows = {day + EPOCH: days.count(day) for day in set(days)}
    low, high = owned[0] if owned else (1, 0)
    if not rows or low <= min(rows) <= max(rows) <= high:
        return Parsed(rows, delayed, 0, 0, 0, ()), None
    own = {day: rows[day] for day in rows if dates.contains(owned, day)}
    within = sum(rows[day] for day in rows if first <= day <= last)
    if not within:
        window = f"{dates.text(first)}..{dates.text(last)}"
        wrong = ", ".join(map(dates.text, sorted(rows)[:3]))
        return Rejected(f"all {len(days)} rows lie outside {window}: {wrong}"), ()
    places = [place for place, day in enumerate(days) if day + EPOCH in own]
    dropped, ignored = len(days) - within, within - len(places)
    return Parsed(own, delayed, dropped, ignored, 0, ()), places


def _json(extra: dict[str, Any]) -> str | None:
    if not extra:
        return None
    return json.dumps(extra, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _batch(form: Form, account: str, lines: Sequence[Line]) -> pa.RecordBatch:
    """The batch of one account's rows."""
    types = form.outline.types
    values = [values for values, _ in lines]
    columns = list(zip(*values, strict=True)) or [()] * len(types)
    arrays = [
        pa.array([account] * len(lines), pa.string()),
        *map(pa.array, columns, types),
        pa.array([extra for _, extra in lines], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=form.schema)


def _joined(form: Form, batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches, schema=form.schema).combine_chunks()
    return table.to_batches()[0] if table.num_rows else batches[0]
