"""Spans that turned out to be narrower than documented, believed for a while.

A window that WeChat refused as too long, and then took in smaller pieces, says that
the endpoint takes less than its documents promise. Every run's summary carries what
is believed on to the next.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

KEPT = timedelta(days=30)

Told = dict[str, dict[str, Any]]
"""Endpoint id → `span` in days and `since`, an ISO time: as a summary holds it."""


@dataclass(slots=True)
class Beliefs:
    """What a run starts with and what it learns. `spans` is what plans look at."""

    spans: dict[str, int]
    since: dict[str, datetime]
    _news: set[str] = field(default_factory=set)

    def learn(self, endpoint_id: str, span: int, now: datetime) -> bool:
        """Believes a span from now on; says whether it is news."""
        if self.spans.get(endpoint_id, span + 1) <= span:
            return False
        self.spans[endpoint_id] = span
        self.since[endpoint_id] = now
        self._news.add(endpoint_id)
        return True

    def learnt(self, endpoint_id: str) -> bool:
        """Whether this run has found it out by itself."""
        return endpoint_id in self._news

    def told(self) -> Told:
        """For the summary."""
        return {
            endpoint: {"span": span, "since": self.since[endpoint].isoformat()}
            for endpoint, span in sorted(self.spans.items())
        }


def remembered(runs: Path, now: datetime) -> Beliefs:
    """What the newest summary in this folder says, as far as it is not too old.

    A folder that is not there, or a summary that cannot be read, is no belief: then
    a window too long is refused once more.
    """
    found = Beliefs({}, {})
    for endpoint, span, since in _told(_newest(runs)):
        if since + KEPT > now:
            found.spans[endpoint], found.since[endpoint] = span, since
    return found


def _newest(runs: Path) -> dict[str, Any]:
    newest = max(
        runs.glob("*.json"), key=lambda path: path.stat().st_mtime, default=None
    )
    try:
        content = json.loads(newest.read_bytes()) if newest else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _told(summary: dict[str, Any]) -> Iterator[tuple[str, int, datetime]]:
    for endpoint, belief in summary.get("narrowed", {}).items():
        yield endpoint, int(belief["span"]), datetime.fromisoformat(belief["since"])
