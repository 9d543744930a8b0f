"""How a run ended: one object for programs, one exit code; pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from harvester import dates
from harvester.beliefs import Told
from harvester.plan import Outcome
from harvester.run import SIGNALS
from harvester.tally import BAD, Tally

DONE, PARTIAL, REFUSED, LATER, STORAGE = 0, 3, 4, 5, 6

OUTCOMES = {
    DONE: "complete",
    PARTIAL: "partial",
    REFUSED: "stopped",
    LATER: "pending",
    STORAGE: "stopped",
    130: "interrupted",
    143: "interrupted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the summary needs beside the tally."""

    run_id: str
    started_at: datetime
    ended_at: datetime
    calls: int
    retries: int
    token_refreshes: int
    stopped: str
    """Why the run ended early; nothing: it did not."""

    stop_message: str
    accounts: int
    until_not_ready: bool
    """`--until` named a day that is not ready."""

    complete_until: Mapping[str, int | None]
    narrowed: Told
    """Spans believed to be narrower than documented."""

    accounts_behind: int
    """Accounts with a due cell that is neither held nor empty, by the ledger."""

    pending: int
    """Cells that wait for WeChat, those of earlier runs included."""


def exit_code(tally: Tally, facts: Facts) -> int:
    """DESIGN's order: interrupted, storage, nobody, some failed, later, done."""
    if facts.stopped in SIGNALS:
        return SIGNALS[facts.stopped]
    if facts.stopped == "storage":
        return STORAGE
    if facts.stopped in ("refused", "clock") or _nobody(tally, facts):
        return REFUSED
    lost = sum(tally.due[outcome] for outcome in BAD)
    if facts.stopped == "outage" or not tally.answered:
        lost -= tally.unreached  # nobody answers: WeChat's side, not the accounts'
    if lost > 0:
        return PARTIAL
    early = facts.stopped in ("time", "outage") or facts.until_not_ready
    pending = tally.due[Outcome.PENDING] or facts.pending or tally.unreached
    return LATER if early or pending else DONE


def _nobody(tally: Tally, facts: Facts) -> bool:
    """Every account was refused for good, and none answered anything."""
    refused = tally.refused_accounts - tally.answered
    return bool(refused) and len(refused) == facts.accounts


def summary(tally: Tally, facts: Facts) -> dict[str, Any]:
    """The object that `run --json` prints and `<lake>/runs/` keeps."""
    return {
        "run_id": facts.run_id,
        "started_at": facts.started_at.isoformat(),
        "ended_at": facts.ended_at.isoformat(),
        "outcome": OUTCOMES[exit_code(tally, facts)],
        "exit_code": exit_code(tally, facts),
        "stopped": facts.stop_message or _not_ready(facts),
        "calls": facts.calls,
        "retries": facts.retries,
        "token_refreshes": facts.token_refreshes,
        "rows": tally.rows,
        "rows_outside_window": tally.dropped,
        "rows_repeated": tally.collapsed,
        "cells_shrunk": tally.shrunk,
        "unknown_fields": sorted(tally.unknown_fields),
        "narrowed": facts.narrowed,
        "cells": _cells(tally, facts),
        "files": tally.files,
        "bytes": tally.bytes,
        "by_endpoint": _by_endpoint(tally),
        "accounts": _accounts(tally, facts),
        "complete_until": {
            endpoint: None if day is None else dates.text(day)
            for endpoint, day in facts.complete_until.items()
        },
        "failures": [
            asdict(failure)
            for failure in sorted(tally.failures.values(), key=lambda f: -f.count)
        ],
    }


def _not_ready(facts: Facts) -> str:
    if not facts.until_not_ready:
        return ""
    return "--until names a day whose figures are not ready: run again later"


def _cells(tally: Tally, facts: Facts) -> dict[str, int]:
    cells = {outcome.value: tally.cells[outcome] for outcome in Outcome}
    cells["pending"] = max(cells["pending"], facts.pending)
    return cells


def _by_endpoint(tally: Tally) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {
        endpoint: {"calls": calls, "rows": tally.rows_by_endpoint[endpoint]}
        for endpoint, calls in sorted(tally.calls_by_endpoint.items())
    }
    for (endpoint, outcome), cells in sorted(tally.cells_by_endpoint.items()):
        line = table.setdefault(endpoint, {"calls": 0, "rows": 0})
        line[str(outcome)] = cells
    return table


def _accounts(tally: Tally, facts: Facts) -> dict[str, int]:
    """Accounts by how much of what was due they gave; the ledger knows after a stop."""
    behind = len(tally.troubled)
    failed = len(tally.troubled - tally.answered)
    if facts.stopped:
        behind = max(behind, facts.accounts_behind)
        failed = max(failed, behind - len(tally.answered))
    done = facts.accounts - behind
    return {"done": done, "partial": behind - failed, "failed": failed}
