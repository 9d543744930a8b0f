"""The ledger against the data files: nothing is locked, and nothing is written."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from harvester.catalogue.endpoint import Endpoint
from harvester.errors import UsageError
from harvester.lake import layout
from harvester.lake.layout import Lake
from harvester.lake.sql.query import connected
from harvester.lake.verify.examination import PAUSE, Examination, Tools, foreign
from harvester.lake.verify.problems import EXAMPLES, Problem, Report
from harvester.lake.verify.snapshot import Selection, endpoints

MEMORY = "512MB"
"""What DuckDB may hold before it turns to the disk: more for every thread."""

THREADS = 4

Show = Callable[[str, int, int], None]


def _pause() -> None:
    time.sleep(PAUSE)


def verify(
    root: Path,
    known: Mapping[str, Endpoint],
    selection: Selection,
    *,
    show: Show = lambda *_: None,
    pause: Callable[[], None] = _pause,
    most: int = EXAMPLES,
) -> Report:
    """Compares what is selected; keeps `most` problems of each kind.

    Raises UsageError where there is no lake or its ledger is lost, StorageError for a
    ledger or a folder that cannot be read.
    """
    lake = layout.read(root)
    if lake is None:
        raise UsageError(f"{root} is no lake", "`harvester run` makes one")
    layout.check_ledger(root)
    selection = _placed(selection, lake)
    report = Report(most)
    if selection.endpoints is None:
        for problem in _between_endpoints(root):
            report.add(problem)
    names = _names(root, known, selection)
    with connected(MEMORY) as connection, ThreadPoolExecutor(os.cpu_count()) as pool:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"SET threads = {min(THREADS, os.cpu_count() or 1)}")
        tools = Tools(root, lake, connection, pool, pause, most)
        for number, name in enumerate(names):
            show(name, number, len(names))
            report.merge(Examination(tools, name, known.get(name), selection).report())
    return report


def _placed(selection: Selection, lake: Lake) -> Selection:
    if selection.accounts is None:
        return selection
    places = frozenset(lake.layout.place(account) for account in selection.accounts)
    return replace(selection, places=places)


def _names(
    root: Path, known: Mapping[str, Endpoint], selection: Selection
) -> list[str]:
    """The endpoints to look at: in the catalogue's order, then those it lacks."""
    there = endpoints(root)
    if selection.endpoints is not None:
        there &= selection.endpoints
    return [name for name in known if name in there] + sorted(there - set(known))


def _between_endpoints(root: Path) -> Iterator[Problem]:
    """What lies in `data` itself and is no endpoint's folder."""
    for path in sorted((root / layout.DATA).glob("*")):
        if not (path.is_dir() and path.name.startswith("endpoint=")):
            yield foreign(f"{layout.DATA}/{path.name}", "")
