"""What became of records: pure. Bytes → rows, and what the ledger says of the cells."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from harvester import dates, tables
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days
from harvester.decoding import Unreadable, decode
from harvester.lake import layout
from harvester.lake.build.revise import Cell, Change
from harvester.lake.frames import Chunk
from harvester.lake.ledger.ledger import Entry
from harvester.lake.spool import ANSWERED, Record
from harvester.plan import Outcome
from harvester.tables import Parsed, Payload, Rejected

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")

IS_DELAY = "is_delay"
BAD_VALUE = "bad_value"

NOTHING = Change(before=0, changed=0)
"""Of a cell that is in no file yet."""


@dataclass(slots=True)
class Finding:
    """One record, read: its cells, until each is in the ledger."""

    position: int
    """Later records have higher ones."""

    record: Record
    """With its pages only where they could not be taken."""

    days: Days
    """Owned days that are not in the ledger yet."""

    parsed: Parsed | None = None
    """None for a refusal, and for an answer that could not be taken."""

    answer: bool = True
    """False for a refusal."""


Ruling = tuple[str, int, int, str, str]
"""A cell's outcome, rows, rows_changed, code and message."""


def read(
    endpoint: Endpoint, records: Sequence[tuple[int, Record]]
) -> tuple[pa.RecordBatch, list[Finding]]:
    """The rows of these records (position first), and what became of each."""
    findings: dict[int, Finding] = {}
    payloads: dict[int, Payload] = {}
    for position, record in records:
        if record.outcome != ANSWERED:
            findings[position] = _refused(position, record)
            continue
        try:
            payloads[position] = _payload(record)
        except Unreadable as error:
            findings[position] = _failed(position, record, error.reason)
    batch, outcomes = tables.parse(endpoint, list(payloads.values()))
    results = dict(zip(payloads, outcomes, strict=True))
    for position, record in records:
        if position in results:
            findings[position] = _answered(position, record, results[position])
    return batch, [findings[position] for position, _ in records]


def entries(
    finding: Finding, days: Sequence[int], changes: Mapping[Cell, Change], version: str
) -> Iterator[Entry]:
    """The ledger's entries for these (ascending) days: what is equal is joined."""
    cells = [(day, _ruling(finding, day, changes)) for day in days]
    start = 0
    for at in range(1, len(cells) + 1):
        if at < len(cells) and _continues(cells[at - 1], cells[at]):
            continue
        rulings = [ruling for _, ruling in cells[start:at]]
        yield _entry(
            finding.record, (cells[start][0], cells[at - 1][0]), rulings, version
        )
        start = at


def refusals(finding: Finding, version: str) -> Iterator[Entry]:
    """The entries of a finding that has no rows to look for: one a range of days."""
    record = finding.record
    said = [record.message] if record.message else []
    said += [f"kept as {place}" for place, _ in bodies(finding)[:1]]
    ruling = (record.outcome, 0, 0, record.code, "; ".join(said))
    for span in finding.days:
        yield _entry(record, span, [ruling], version)


def rows(finding: Finding, day: int) -> int:
    """The rows that an answer has for this day."""
    return finding.parsed.rows.get(day, 0) if finding.parsed else 0


def bodies(finding: Finding) -> list[tuple[str, bytes]]:
    """Where the bytes that could not be taken are kept, the same after a crash."""
    record = finding.record
    first, _ = _UNSAFE.subn("_", f"{record.appid}-{record.endpoint}")
    folder = f"{layout.REJECTED}/{layout.checked_run_id(record.run_id)}"
    stem = f"{folder}/{first}-{dates.text(record.first)}-{record.fetched_at}"
    return [(f"{stem}-{page}.body", body) for page, body in enumerate(record.pages, 1)]


def slabs(chunks: Sequence[Chunk], budget: int) -> list[int]:
    """First days of the slabs of a sweep: each with about `budget` bytes of answers.

    A chunk's bytes are taken to be spread evenly over the first days of its windows.
    """
    starts = [min((chunk.first for chunk in chunks), default=0)]
    if sum(chunk.raw for chunk in chunks) <= budget:
        return starts
    weights: dict[int, float] = defaultdict(float)
    for chunk in chunks:
        share = chunk.raw / (chunk.last - chunk.first + 1)
        weights[chunk.first] += share
        weights[chunk.last + 1] -= share
    density = filled = 0.0
    for day in range(starts[0], max(chunk.last for chunk in chunks) + 1):
        density += weights[day]
        if filled and filled + density > budget:
            starts.append(day)
            filled = 0.0
        filled += density
    return starts


def _payload(record: Record) -> Payload:
    """Raises Unreadable."""
    documents = tuple(decode(page) for page in record.pages)
    return Payload(
        account=record.appid,
        first=record.first,
        last=record.last,
        owned=record.owned,
        documents=documents,
        bodies=record.pages,
    )


def _answered(position: int, record: Record, outcome: Parsed | Rejected) -> Finding:
    if isinstance(outcome, Rejected):
        return _failed(position, record, outcome.reason)
    return Finding(position, replace(record, pages=()), record.owned, outcome)


def _refused(position: int, record: Record) -> Finding:
    """An empty day is an answer, whichever way it was said: held rows stay."""
    parsed = None
    if record.outcome == Outcome.EMPTY:
        parsed = Parsed({}, False, 0, 0, 0, ())
    return Finding(position, record, record.owned, parsed, answer=False)


def _failed(position: int, record: Record, reason: str) -> Finding:
    failed = replace(
        record, outcome=Outcome.FAILED.value, code=BAD_VALUE, message=reason
    )
    return Finding(position, failed, record.owned)


def _ruling(finding: Finding, day: int, changes: Mapping[Cell, Change]) -> Ruling:
    """What the ledger says of one cell of an answer.

    1. Delayed: pending, whatever rows there are.
    2. Rows: held; fewer than before is said.
    3. None now, some before: held, as they were.
    4. None now, none before: empty.
    """
    record, now = finding.record, rows(finding, day)
    change = changes.get((record.appid, day), NOTHING)
    kept = now or change.before
    if finding.parsed and finding.parsed.delayed:
        return Outcome.PENDING, kept, change.changed, IS_DELAY, _said(now, change)
    if kept:
        return Outcome.HELD, kept, change.changed, record.code, _said(now, change)
    return Outcome.EMPTY, 0, 0, record.code, record.message


def _said(now: int, change: Change) -> str:
    if now >= change.before:
        return ""
    if now == 0:
        return f"no rows now: the {change.before} of before stay"
    return f"{now} rows, {change.before} before"


def _continues(one: tuple[int, Ruling], other: tuple[int, Ruling]) -> bool:
    """Whether the next day joins: outcome, code and message alike."""
    (day, left), (next_day, right) = one, other
    return next_day == day + 1 and left[0] == right[0] and left[3:] == right[3:]


def _entry(
    record: Record, days: dates.Range, rulings: Sequence[Ruling], version: str
) -> Entry:
    outcome, _, _, code, message = rulings[0]
    return Entry(
        endpoint=record.endpoint,
        account=record.appid,
        first_date=days[0],
        last_date=days[1],
        outcome=str(outcome),
        rows=sum(ruling[1] for ruling in rulings),
        rows_changed=sum(ruling[2] for ruling in rulings),
        fetched_at=record.fetched_at,
        run_id=record.run_id,
        attempts=record.attempts,
        code=code,
        rid=record.rid,
        message=message,
        next_try_at=record.next_try_at,
        catalogue_version=version,
    )
