"""Which data files a partition has, and what the next one is called."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from harvester.lake.layout import part, part_number


class File(Protocol):
    """A data file, as the ledger commits it."""

    @property
    def path(self) -> str: ...

    @property
    def endpoint(self) -> str: ...

    @property
    def removed(self) -> bool: ...


class Parts:
    """The files of the endpoints that were asked for, each loaded when first needed.

    A nightly run in directories of days makes new partitions only, and never asks.
    """

    def __init__(self, load: Callable[[str], pa.Table]) -> None:
        """`load` gives an endpoint's files, one row each, by path."""
        self._load = load
        self._loaded: dict[str, pa.Table] = {}
        self._added: dict[str, dict[str, bool]] = defaultdict(dict)

    def live(self, partition: str, endpoint_id: str) -> list[str]:
        """The partition's files, the lowest number first."""
        found = self._files(partition, endpoint_id)
        live = [path for path, removed in found.items() if not removed]
        return sorted(live, key=part_number)

    def next(self, partition: str, endpoint_id: str) -> str:
        """One number above all files there are or were."""
        found = self._files(partition, endpoint_id)
        number = max(map(part_number, found), default=-1) + 1
        return f"{partition}/{part(number)}"

    def add(self, files: Sequence[File]) -> None:
        """Takes files that were committed just now."""
        for file in files:
            if file.endpoint in self._loaded:
                folder = file.path.rpartition("/")[0]
                self._added[folder][file.path] = file.removed

    def _files(self, partition: str, endpoint_id: str) -> dict[str, bool]:
        """By path, whether it was removed."""
        if endpoint_id not in self._loaded:
            self._loaded[endpoint_id] = self._load(endpoint_id).select(
                ["path", "removed"]
            )
        before = dict(_inside(self._loaded[endpoint_id], partition))
        return {**before, **self._added.get(partition, {})}


def _inside(files: pa.Table, partition: str) -> Iterator[tuple[str, bool]]:
    paths, removed = files.column("path"), files.column("removed")
    start = f"{partition}/"
    at = bisect_left(range(len(paths)), start, key=lambda row: paths[row].as_py())
    while at < len(paths) and (path := paths[at].as_py()).startswith(start):
        yield path, removed[at].as_py()
        at += 1
