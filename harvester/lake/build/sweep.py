"""A build: the spool's records of one group, endpoint by endpoint, in order of date.

The sweep goes from the first window to the last. Behind it no record can add to a
partition any more: such partitions are written and forgotten, so that memory holds a
slab of days, however long the history.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from harvester import dates, tables
from harvester.catalogue.endpoint import Endpoint
from harvester.errors import UsageError
from harvester.lake.build import cut, findings
from harvester.lake.build.builder import Built, Enough, Site
from harvester.lake.build.commit import Place
from harvester.lake.build.findings import Finding
from harvester.lake.build.writer import Writer
from harvester.lake.frames import Chunk
from harvester.lake.ledger.ledger import Landed
from harvester.lake.spool import ANSWERED, EVER, Record, Segment, Spool, read_chunk
from harvester.plan import Outcome

BATCH = 64
"""Answers that are parsed together."""

MEGABYTE = 1024 * 1024

_CHUNK = 1 << 24
"""More than the records of a chunk."""

Source = tuple[Path, Chunk]

_ANSWERS = (ANSWERED, Outcome.EMPTY)


def build(site: Site, spool: Spool, group: str, wanted: Callable[[], bool]) -> Built:
    """Builds what the group has in the spool. Raises StorageError, UsageError.

    When `wanted` says no, it ends after the commit under way and leaves the rest.
    """
    return _build(site, spool, spool.seal(group), wanted, None)


def rebuild(site: Site, spool: Spool, group: str) -> Built:
    """Builds what a dead run left of the group, without what had landed before."""
    segments = spool.seal(group)
    run_ids = {
        record.run_id
        for segment in segments
        for chunk in segment.chunks
        for record in read_chunk(segment.path, chunk)
    }
    landed = site.ledger.landed(run_ids)
    return _build(site, spool, segments, lambda: True, landed)


def _build(
    site: Site,
    spool: Spool,
    segments: Sequence[Segment],
    wanted: Callable[[], bool],
    landed: Landed | None,
) -> Built:
    sources: dict[str, list[Source]] = defaultdict(list)
    for segment in segments:
        for chunk in segment.chunks:
            sources[chunk.endpoint].append((segment.path, chunk))
    parts: list[Built] = []
    try:
        for endpoint_id, its_sources in sorted(sources.items()):
            endpoint = _endpoint(site, endpoint_id, its_sources)
            writer = Writer(site, endpoint, wanted, parts, again=landed is not None)
            Sweep(endpoint, site, writer, landed or {}).run(its_sources)
    except Enough:
        return Built.total(parts)
    spool.retire(segments)
    return Built.total(parts)


class Sweep:
    """One endpoint's records of one group."""

    def __init__(
        self, endpoint: Endpoint, site: Site, writer: Writer, landed: Landed
    ) -> None:
        self._endpoint = endpoint
        self._layout = site.layout
        self._budget = site.recipe.memory_mb * MEGABYTE
        self._writer = writer
        self._landed = landed
        self._pending: list[tuple[int, Record]] = []
        self._findings: list[Finding] = []
        self._open: dict[str, set[int]] = {}
        self._rows = tables.schema(endpoint, account=True).empty_table()
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0

    def run(self, sources: Sequence[Source]) -> None:
        """Reads, parses and writes them all. Raises StorageError and Enough."""
        chunks = [chunk for _, chunk in sources]
        starts = findings.slabs(
            chunks, self._budget // 2
        )  # the rest is for open months
        for first, end in zip(starts, [*starts[1:], EVER], strict=True):
            self._slab(sources, first, end)
            self._parse()
            self._flush(end)

    def _slab(self, sources: Sequence[Source], first: int, end: int) -> None:
        for number, (path, chunk) in enumerate(sources):
            if chunk.last < first or chunk.first >= end:
                continue
            for at, record in enumerate(read_chunk(path, chunk)):
                if first <= record.first < end:  # its place is the same in each slab
                    self._take(number * _CHUNK + at, record)

    def _take(self, position: int, record: Record) -> None:
        key = (record.run_id, record.endpoint, record.appid, record.fetched_at)
        if key in self._landed:
            left = dates.subtract(record.owned, self._landed[key])
            record = replace(record, owned=left)
        if not record.owned:
            return
        if record.outcome in _ANSWERS:
            self._claim(record)
        self._pending.append((position, record))
        if len(self._pending) >= BATCH:
            self._parse()

    def _claim(self, record: Record) -> None:
        """An answer to cells that another one answered before replaces that one."""
        days = set(dates.each(record.owned))
        if not days.isdisjoint(self._open.get(record.appid, ())):
            self._parse()
            self._flush(EVER)
        self._open.setdefault(record.appid, set()).update(days)

    def _parse(self) -> None:
        self._writer.check()
        batch, found = findings.read(self._endpoint, self._pending)
        self._pending = []
        self._writer.note(found)
        self._findings += found
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes > self._budget:
            self._flush(EVER)

    def _flush(self, before: int) -> None:
        """Writes the partitions that are complete when all days before this one are."""
        before = before if before == EVER else self._layout.start(before)
        fresh = pa.Table.from_batches(self._batches, schema=self._rows.schema)
        done, self._rows = cut.split(pa.concat_tables([self._rows, fresh]), before)
        self._batches, self._bytes = [], self._rows.nbytes
        cells: list[Place] = []
        for finding in self._findings:
            if finding.parsed:
                ready = dates.intersect(finding.days, ((0, before - 1),))
                cells += [(finding, day) for day in dates.each(ready)]
                finding.days = dates.subtract(finding.days, ready)
        refusals = [finding for finding in self._findings if not finding.parsed]
        self._findings = [one for one in self._findings if one.parsed and one.days]
        self._open = {}
        for finding in self._findings:
            open_days = self._open.setdefault(finding.record.appid, set())
            open_days.update(dates.each(finding.days))
        self._writer.flush(done, cells, refusals)


def _endpoint(site: Site, endpoint_id: str, sources: Sequence[Source]) -> Endpoint:
    endpoint = site.recipe.endpoints.get(endpoint_id)
    if endpoint is None:
        raise UsageError(
            f"{sources[0][0]} holds answers of {endpoint_id}, which no catalogue knows",
            "put the endpoint back into endpoints_file, or move that file away",
        )
    return endpoint
