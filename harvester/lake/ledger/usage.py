"""How many calls the ledger knows of since a moment, by account and endpoint."""

from collections import Counter
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from harvester.lake import layout
from harvester.lake.ledger import segments
from harvester.lake.ledger.ledger import CELLS

COLUMNS = ("account", "endpoint", "fetched_at", "run_id", "attempts")


def calls_since(root: Path, moment: datetime) -> Counter[tuple[str, str]]:
    """Calls (retries included) from `moment` on, by appid and endpoint.

    One call may have left several entries; they share run and moment.
    """
    recent = pc.field("fetched_at") >= pa.scalar(moment, CELLS.field("fetched_at").type)
    found = segments.read(
        root / layout.CELLS,
        CELLS,
        COLUMNS,
        lambda table: table.filter(recent & (pc.field("attempts") > 0)),
    )
    attempts: dict[tuple[str, str, int, str], int] = {}
    columns = [found.column(name).cast(CELLS.field(name).type) for name in COLUMNS]
    columns[2] = columns[2].cast("int64")
    for account, endpoint, at, run_id, count in zip(
        *(column.to_pylist() for column in columns), strict=True
    ):
        attempts[account, endpoint, at, run_id] = count
    used: Counter[tuple[str, str]] = Counter()
    for (account, endpoint, _, _), count in attempts.items():
        used[account, endpoint] += count
    return used
