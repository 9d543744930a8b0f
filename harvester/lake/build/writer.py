"""From rows and findings to data files and ledger entries, commit by commit.

A partition's files and the entries of its cells are one commit: at no moment is one
there without the other. What a crash leaves of a commit, the next start writes again,
under the same names.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain

import pyarrow as pa

from harvester import dates, tables
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days
from harvester.errors import StorageError
from harvester.lake import layout
from harvester.lake.build import cut, findings, revise
from harvester.lake.build.builder import Built, Enough, Site
from harvester.lake.build.commit import Commit, Place
from harvester.lake.build.encode import encode
from harvester.lake.build.findings import Finding
from harvester.lake.build.revise import Cell
from harvester.lake.ledger.ledger import DataFile


class Writer:
    """Writes one endpoint's partitions of one build."""

    def __init__(
        self,
        site: Site,
        endpoint: Endpoint,
        wanted: Callable[[], bool],
        built: list[Built],
        *,
        again: bool,
    ) -> None:
        """What is done is added to `built`, so that it is known whatever comes.

        `again`: a dead run may have written some of the files before.
        """
        self._built = built
        self._site = site
        self._endpoint = endpoint
        self._wanted = wanted
        self._again = again
        self._schema = tables.schema(endpoint, account=True)
        self._none = self._schema.empty_table()
        self._file_schema = tables.schema(
            endpoint,
            account=site.layout.buckets > 0,
            version=site.recipe.catalogue_version,
        )

    def flush(
        self, rows: pa.Table, cells: Sequence[Place], refusals: Sequence[Finding]
    ) -> None:
        """Puts rows into data files, and what became of all cells into the ledger.

        `cells` are those of answers, with the rows' own among them. Raises
        StorageError, and Enough between two commits.
        """
        by_partition = self._by_partition(cells)
        fresh = dict(cut.partitions(rows, self._endpoint, self._site.layout))
        looks = self._looks(cells)
        written = dict.fromkeys([*fresh, *looks])
        quiet = [its for name, its in by_partition.items() if name not in written]
        commit = Commit(cells=list(chain.from_iterable(quiet)), refusals=list(refusals))
        for partition in written:
            its_rows = fresh.get(partition, self._none)
            self._stage_partition(commit, partition, its_rows, looks.get(partition, ()))
            commit.cells += by_partition[partition]
            if commit.full:
                self._finish(commit)
                commit = Commit()
        self._finish(commit)
        if self._again:
            self._set_aside(by_partition)

    def check(self) -> None:
        """Raises Enough when the rest is not wanted now."""
        if not self._wanted():
            raise Enough

    def note(self, found: Sequence[Finding]) -> None:
        """Counts what parsing left out."""
        parsed = [finding.parsed for finding in found if finding.parsed]
        self._built.append(
            Built(
                dropped=sum(one.dropped for one in parsed),
                collapsed=sum(one.collapsed for one in parsed),
                extra=frozenset(
                    f"{self._endpoint.id}: {name}"
                    for one in parsed
                    for name in one.extra
                ),
            )
        )

    def _by_partition(self, cells: Sequence[Place]) -> dict[str, list[Place]]:
        partitions: dict[str, list[Place]] = defaultdict(list)
        for finding, day in cells:
            partitions[self._partition(finding, day)].append((finding, day))
        return dict(partitions)

    def _looks(self, cells: Sequence[Place]) -> dict[str, set[Cell]]:
        """By partition: the cells that may have rows in its files already."""
        looks: dict[str, set[Cell]] = defaultdict(set)
        noted: dict[int, Days] = {}
        for finding, day in cells:
            if finding.position not in noted:
                noted[finding.position] = self._site.ledger.noted(
                    finding.record.appid,
                    self._endpoint.id,
                    finding.record.first,
                    finding.record.last,
                )
            if dates.contains(noted[finding.position], day):
                looks[self._partition(finding, day)].add((finding.record.appid, day))
        return dict(looks)

    def _partition(self, finding: Finding, day: int) -> str:
        appid = finding.record.appid
        return self._site.layout.partition(self._endpoint.id, appid, day)

    def _stage_partition(
        self, commit: Commit, partition: str, fresh: pa.Table, looks: Collection[Cell]
    ) -> None:
        """Stages the partition's next file, and the old ones that change."""
        rest = fresh
        if looks:
            paths = self._site.ledger.parts(partition, self._endpoint.id)
            account = next(iter(looks))[0]
            old = revise.look(self._site.disk.root, paths, self._schema, account)
            revision = revise.revise(old, fresh, looks, always=self._again)
            commit.changes |= revision.changes
            rest = revision.rest
            for path, rows in revision.files:
                self._stage(commit, path, rows.sort_by(cut.order(self._endpoint)))
        if rest.num_rows:
            self._stage(commit, self._next_path(partition), rest)

    def _next_path(self, partition: str) -> str:
        root = self._site.disk.root
        if not (root / partition).is_dir():
            return f"{partition}/{layout.part(0)}"
        path = self._site.ledger.next_part(partition, self._endpoint.id)
        if not self._again and (root / path).exists():
            raise StorageError(
                f"{root / path} is there and the ledger does not know it",
                "make the ledger again with `harvester verify --rebuild`",
            )
        return path

    def _stage(self, commit: Commit, path: str, rows: pa.Table) -> None:
        recipe = self._site.recipe
        data = encode(cut.of_file(rows, self._file_schema), recipe.compression)
        staged = self._site.disk.stage(memoryview(data))
        file = DataFile(
            path=path,
            endpoint=self._endpoint.id,
            rows=rows.num_rows,
            bytes=data.size,
            sha256=hashlib.sha256(data).hexdigest(),
            run_id=recipe.run_id,
        )
        commit.add(staged, file)

    def _finish(self, commit: Commit) -> None:
        if commit.empty:
            return
        disk, recipe = self._site.disk, self._site.recipe
        try:
            self.check()
        except Enough:
            disk.discard(staged for staged, _ in commit.moves)
            raise
        self._stage_bodies(commit)
        said = list(commit.entries(recipe.catalogue_version))
        entries = [entry for _, entry in said]
        self._site.ledger.commit(disk, entries, commit.files, commit.moves)
        self._built.append(commit.built(self._endpoint.id, said))

    def _stage_bodies(self, commit: Commit) -> None:
        """The bytes that could not be taken lie where the ledger says."""
        disk = self._site.disk
        for finding in commit.refusals:
            for place, body in findings.bodies(finding):
                disk.make_folder(place.rpartition("/")[0], 0o700)
                commit.moves.append((disk.stage(body, 0o600), place))

    def _set_aside(self, partitions: Mapping[str, object]) -> None:
        """Takes the dead run's files that no ledger names out of `data`."""
        root, run_id = self._site.disk.root, self._site.recipe.run_id
        moves = []
        for partition in partitions:
            known = set(self._site.ledger.parts(partition, self._endpoint.id))
            for path in sorted((root / partition).glob("*.parquet")):
                place = path.relative_to(root).as_posix()
                if place not in known:
                    name = place.replace("/", "~")
                    moves.append((path, f"{layout.REJECTED}/{run_id}/{name}"))
        if moves:
            self._site.disk.make_folder(f"{layout.REJECTED}/{run_id}", 0o700)
            self._site.disk.move(moves)
