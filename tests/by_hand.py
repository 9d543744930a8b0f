"""Small lakes for whoever reads one: laid out by hand, or built from answers."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harvester import dates, tables
from harvester.catalogue.endpoint import Endpoint
from harvester.catalogue.load import catalogue
from harvester.lake import layout
from harvester.lake.build.builder import Recipe
from harvester.lake.durable import Disk
from harvester.lake.layout import Layout
from harvester.lake.ledger.ledger import DataFile, Entry, Ledger
from harvester.lake.spool import ANSWERED, Record
from harvester.lake.sql.views import Shelf
from harvester.lake.store import Store

LAYOUTS = (Layout(0, "day"), Layout(0, "month"), Layout(3, "day"), Layout(3, "month"))
ONE, TWO = "wx00000000000000a1", "wx00000000000000b2"

KNOWN = catalogue()

Row = Mapping[str, Any]


def endpoint(name: str) -> Endpoint:
    return KNOWN.endpoints[name]


def shelf(root: Path, cut: Layout) -> Shelf:
    """An empty lake."""
    root.mkdir(parents=True, exist_ok=True)
    (root / layout.LAKE_JSON).write_bytes(layout.born(cut, demo=False))
    return Shelf(str(root), cut)


def lay(
    place: Shelf,
    name: str,
    rows: Iterable[Row],
    *,
    schema: pa.Schema | None = None,
    part: int = 0,
) -> None:
    """Writes the rows (each with its account) into the partitions they belong to."""
    known = endpoint(name)
    files: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        day = row["ref_date"].toordinal()
        files[place.layout.partition(name, row["account"], day)].append(row)
    columns = schema or tables.schema(known, account=True)
    if not place.layout.buckets:
        columns = columns.remove(columns.get_field_index("account"))
    for folder, its in files.items():
        path = Path(place.root, folder, layout.part(part))
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(its), columns), path)


def day(text: str) -> date:
    return date.fromisoformat(text)


def followers(account: str, figures: Mapping[str, int]) -> list[Row]:
    return [
        {
            "account": account,
            "ref_date": day(when),
            "user_source": 0,
            "cumulate_user": figure,
        }
        for when, figure in figures.items()
    ]


def readers(account: str, when: str, figures: Mapping[int, int]) -> list[Row]:
    """Rows of getuserread: readers by source."""
    names = [field.name for field in endpoint("getuserread").fields[2:]]
    return [
        {
            "account": account,
            "ref_date": day(when),
            "user_source": source,
            **dict.fromkeys(names, 0),
            "int_page_read_user": figure,
        }
        for source, figure in figures.items()
    ]


FETCHED = 1_736_900_000_000_000
"""In January 2025: figures of 2024 do not change any more."""

RECIPE = Recipe(endpoints=KNOWN.endpoints, catalogue_version=KNOWN.version, run_id="r1")


def days(first: str, last: str) -> Iterable[date]:
    return map(date.fromordinal, range(dates.parse(first), dates.parse(last) + 1))


def answer(
    appid: str,
    endpoint: str,
    first: str,
    last: str,
    rows: list[dict[str, Any]],
    **more: Any,
) -> Record:
    """An accepted answer to one call, which owns its whole window."""
    window = dates.parse(first), dates.parse(last)
    page = json.dumps({"list": rows}).encode()
    values = {
        "outcome": ANSWERED,
        "fetched_at": FETCHED,
        "run_id": "r1",
        "pages": (page,),
        **more,
    }
    return Record(
        appid=appid,
        endpoint=endpoint,
        first=window[0],
        last=window[1],
        owned=(window,),
        **values,
    )


def gained(when: date, source: int, people: int) -> dict[str, Any]:
    return {
        "ref_date": when.isoformat(), "user_source": source, "new_user": people, "cancel_user": 0,
    }  # fmt: skip


def grown(root: Path, cut: Layout) -> Path:
    """A healthy lake of two accounts: days with rows, empty ones, weeks, a denial."""
    records = []
    for appid in (ONE, TWO):
        rows = [
            gained(when, source, 3)
            for when in days("2024-11-29", "2024-12-03")
            for source in (0, 1)
        ]
        records += [
            answer(appid, "getusersummary", "2024-11-29", "2024-12-05", rows),
            answer(appid, "getusersummary", "2024-12-06", "2024-12-07", []),
            answer(appid, "getinterfacesummary", "2024-12-01", "2024-12-02", [], pages=(), outcome="denied", code="48001"),
        ]  # fmt: skip
        records += [week(appid, monday) for monday in ("2024-11-25", "2024-12-02")]
    put(root, cut, records)
    return root


def week(appid: str, monday: str) -> Record:
    rows = [
        {"ref_date": monday, "msg_type": kind, "msg_user": 1, "msg_count": 2}
        for kind in (1, 2)
    ]
    return answer(appid, "getupstreammsgweek", monday, monday, rows)


def put(root: Path, cut: Layout, records: list[Record]) -> None:
    with Store.open(root, cut, RECIPE) as store:
        store.recover()
        store.put_away("g", records)
        store.build("g")


def data_file(root: Path, endpoint: str = "getusersummary") -> Path:
    return sorted(root.glob(f"data/endpoint={endpoint}/*/*/*.parquet"))[0]


def rewrite(root: Path, path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Changes a file's rows and lets the ledger know the file, as a wrong writer would."""
    changed = change(pq.ParquetFile(path).read())
    pq.write_table(changed, path)
    acknowledge(root, path)


def acknowledge(root: Path, path: Path) -> None:
    data = path.read_bytes()
    try:
        rows = pq.read_metadata(path).num_rows
    except pa.ArrowException:
        rows = 0
    file = DataFile(
        path=path.relative_to(root).as_posix(),
        endpoint=path.parts[-4].removeprefix("endpoint="),
        rows=rows,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        run_id="r2",
    )
    commit(root, files=[file])


def commit(
    root: Path, entries: Sequence[Entry] = (), files: Sequence[DataFile] = ()
) -> None:
    Ledger.load(root).commit(Disk(root), entries, files)
