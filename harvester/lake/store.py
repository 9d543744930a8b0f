"""The lake, opened for writing: one run at a time."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import orjson

from harvester.catalogue.endpoint import Endpoint
from harvester.errors import StorageError, UsageError
from harvester.lake import layout
from harvester.lake.build import sweep
from harvester.lake.build.builder import Built, Recipe, Site
from harvester.lake.durable import Disk
from harvester.lake.layout import Layout
from harvester.lake.ledger.fold import SEGMENTS, Settled, fold
from harvester.lake.ledger.ledger import Ledger, first_segments
from harvester.lake.lock import Lock
from harvester.lake.spool import Record, Spool

FOLDERS = {
    layout.DATA: 0o755,
    layout.CELLS: 0o755,
    layout.FILES: 0o755,
    layout.RUNS: 0o755,
    layout.SPOOL: 0o700,
    layout.REJECTED: 0o700,
    layout.TMP: 0o700,
}
"""What every lake has, and who may look inside."""


def _always() -> bool:
    return True


class Store:
    """A lake whose lock is held. All calls block; one thread puts away, one builds."""

    def __init__(self, lock: Lock, site: Site, spool: Spool) -> None:
        self._lock = lock
        self._site = site
        self._spool = spool
        self._recovered = not spool.groups()

    @classmethod
    def open(
        cls,
        root: Path,
        wanted: Layout,
        recipe: Recipe,
        *,
        create: bool = True,
        demo: bool = False,
    ) -> Self:
        """Takes the lake at this path, or makes it.

        Raises UsageError (another layout, not a lake, ledger lost), LockedError,
        StorageError (not writable, damaged); nothing is changed then.
        """
        layout.checked_run_id(recipe.run_id)
        layout.check_folder(root)
        if not create and layout.read(root) is None:
            raise UsageError(
                f"there is no lake at {root}", "make one with `harvester run`"
            )
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{root} cannot be made ({error.strerror})",
                "mend the permissions, or name another lake",
            ) from error
        lock = Lock.take(root, recipe.run_id)
        try:
            return cls._opened(lock, root, wanted, recipe, demo=demo)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _opened(
        cls, lock: Lock, root: Path, wanted: Layout, recipe: Recipe, *, demo: bool
    ) -> Self:
        disk = Disk(root)
        found = layout.read(root)
        if found is None:
            disk.write_first(layout.LAKE_JSON, layout.born(wanted, demo=demo))
        else:
            layout.check_agrees(found.layout, wanted)
        layout.check_ledger(root)
        for place, mode in FOLDERS.items():
            disk.make_folder(place, mode)
        disk.clear()
        disk.probe()
        first_segments(disk)
        ledger = Ledger.load(root)
        return cls(lock, Site(disk, ledger, wanted, recipe), Spool(disk))

    @property
    def ledger(self) -> Ledger:
        """What the lake holds; it follows what is built."""
        return self._site.ledger

    def recover(self) -> Built:
        """Builds what a dead run left: before anything else.

        Raises StorageError, UsageError.
        """
        self._site.ledger.discard_uncommitted(self._site.disk)
        groups = self._spool.groups()
        built = Built.total(
            [sweep.rebuild(self._site, self._spool, group) for group in groups]
        )
        self._recovered = True
        return built

    def put_away(self, group: str, records: Sequence[Record]) -> None:
        """Makes the records durable. Raises StorageError."""
        if not self._recovered:
            raise RuntimeError("a dead run left answers: recover() comes first")
        self._spool.append(group, records)

    def build(self, group: str, *, wanted: Callable[[], bool] = _always) -> Built:
        """Builds data files and ledger from what the group put away so far.

        When `wanted` says no, it ends soon; the next start builds the rest. Raises
        StorageError and loses nothing.
        """
        return sweep.build(self._site, self._spool, group, wanted)

    def fold(self, settled: Settled) -> bool:
        """Joins the ledger's segments where there are many; says whether it did.

        Not while the spool holds anything: recovery has to find its entries.
        """
        if self._spool.groups():
            return False
        endpoints: Mapping[str, Endpoint] = self._site.recipe.endpoints
        return fold(self._site.disk, endpoints, settled, more_than=SEGMENTS)

    def write_summary(self, run_id: str, summary: Mapping[str, Any]) -> None:
        """Writes `runs/<run_id>.json`. Raises StorageError."""
        place = f"{layout.RUNS}/{layout.checked_run_id(run_id)}.json"
        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        self._site.disk.replace(place, orjson.dumps(summary, option=option))

    def close(self) -> None:
        """Lets the next run in; what was not built waits in the spool for it."""
        self._spool.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
