"""Lakes for tests: what WeChat would answer, records of it, and what a lake then holds."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from harvester import dates
from harvester.catalogue.load import catalogue
from harvester.lake.build.builder import Recipe
from harvester.lake.layout import Layout
from harvester.lake.ledger.ledger import Ledger
from harvester.lake.spool import Record
from harvester.lake.store import Store

ENDPOINT = catalogue().endpoints["getusersummary"]
FIRST = dates.parse("2024-12-30")
"""Two days before a month, so that a week lies in two months."""

MOMENT = 1_735_700_000_000_000

LAYOUTS = [Layout(0, "day"), Layout(0, "month"), Layout(3, "day"), Layout(3, "month")]

Rows = Mapping[int, Sequence[tuple[int, int, int]]]
"""By day: user_source, new_user and cancel_user of each row."""


def appid(number: int) -> str:
    return f"wx{number:016x}"


def rows(days: Iterable[int], *, seed: int = 1, sources: int = 3) -> Rows:
    """Some rows for each of these days."""
    return {
        day: [(source, (seed * day + source) % 89, seed) for source in range(sources)]
        for day in days
    }


def body(content: Rows, **more: Any) -> bytes:
    """The answer that holds these rows."""
    found = [
        {
            "ref_date": dates.text(day),
            "user_source": source,
            "new_user": new,
            "cancel_user": cancel,
        }
        for day, its in content.items()
        for source, new, cancel in its
    ]
    return orjson.dumps({"list": found, **more})


def record(
    account: int, first: int, last: int, content: Rows, **changed: Any
) -> Record:
    """An answer; `changed` are other values of its fields."""
    values: dict[str, Any] = {
        "appid": appid(account),
        "endpoint": ENDPOINT.id,
        "first": first,
        "last": last,
        "owned": ((first, last),),
        "outcome": "answered",
        "fetched_at": MOMENT,
        "run_id": "run-1",
        "pages": (body(content),),
    }
    return Record(**{**values, **changed})


def refusal(
    account: int, first: int, last: int, outcome: str, **changed: Any
) -> Record:
    """A call that brought nothing."""
    values = {"outcome": outcome, "pages": (), **changed}
    return record(account, first, last, {}, **values)


def recipe(**changed: Any) -> Recipe:
    values: dict[str, Any] = {
        "endpoints": catalogue().endpoints,
        "catalogue_version": catalogue().version,
        "run_id": "run-1",
    }
    return Recipe(**{**values, **changed})


def opened(root: Path, layout: Layout = LAYOUTS[0], **changed: Any) -> Store:
    """The lake, recovered and ready."""
    store = Store.open(root, layout, recipe(**changed))
    store.recover()
    return store


Truth = Mapping[int, Rows]
"""By account."""


def held(root: Path) -> Counter[tuple[Any, ...]]:
    """All rows of the lake: account (or bucket's account), day, source, new, cancel."""
    if not any((root / "data").glob("*/*/*/*.parquet")):
        return Counter()
    columns = ["account", "ref_date", "user_source", "new_user", "cancel_user"]
    found = ds.dataset(root / "data", format="parquet", partitioning="hive")
    table = found.to_table(columns=columns)
    return Counter(
        (str(row["account"]), row["ref_date"].toordinal(), *list(row.values())[2:])
        for row in table.to_pylist()
    )


def expected(truth: Truth) -> Counter[tuple[Any, ...]]:
    """The same, of the truth."""
    return Counter(
        (appid(account), day, *row)
        for account, days in truth.items()
        for day, its in days.items()
        for row in its
    )


def outcomes(
    ledger: Ledger, account: int, endpoint: str = ENDPOINT.id
) -> dict[int, str]:
    """What the ledger says of each day of an account."""
    return {
        day: str(known.outcome)
        for known in ledger.known(appid(account)).get(endpoint, [])
        for day in range(known.first, known.last + 1)
    }


def check_files(root: Path) -> None:
    """Ledger and data agree to the byte, and nothing else lies about."""
    live = [row for row in Ledger.load(root).files().to_pylist() if not row["removed"]]
    there = {path.relative_to(root).as_posix() for path in (root / "data").rglob("*.*")}
    assert {row["path"] for row in live} == there
    for row in live:
        content = (root / row["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert pq.read_metadata(root / row["path"]).num_rows == row["rows"]
        assert len(content) == row["bytes"]
    assert list((root / "tmp").iterdir()) == []
    assert list((root / "spool").iterdir()) == []


def cells(ledger: Ledger) -> list[dict[str, Any]]:
    """The ledger's entries in the order of their commits, days as ordinals."""
    found = ledger.cells().to_pylist()
    for entry in found:
        for name in ("first_date", "last_date"):
            entry[name] = entry[name].toordinal()
    return found
