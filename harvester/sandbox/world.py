"""The seeded world: what WeChat holds of every account on every day.

A pure function of (seed, appid, endpoint, day), so a check can compute the truth at any
time. Only totals of articles also depend on the day on which they are looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from harvester.sandbox import messages, people, publishing, reading, replies
from harvester.sandbox.clock import Label, labels, last_ready, period
from harvester.sandbox.endpoints import ENDPOINTS
from harvester.sandbox.profiles import Profile, profile

Rows = list[dict[str, Any]]

_SETTLED: dict[str, Callable[[Profile, int], Rows]] = {
    "getusersummary": people.summary,
    "getusercumulate": people.cumulate,
    "getarticlesummary": reading.summary,
    "getuserread": reading.by_source,
    "getuserreadhour": reading.by_source_and_hour,
    "getusershare": reading.by_scene,
    "getusersharehour": reading.by_scene_and_hour,
    "getarticleread": publishing.read,
    "getarticleshare": publishing.share,
    "getbizsummary": publishing.business,
    "getupstreammsg": partial(messages.by_type, Label.DAY),
    "getupstreammsghour": messages.by_hour,
    "getupstreammsgweek": partial(messages.by_type, Label.WEEK),
    "getupstreammsgmonth": partial(messages.by_type, Label.MONTH),
    "getupstreammsgdist": partial(messages.distribution, Label.DAY),
    "getupstreammsgdistweek": partial(messages.distribution, Label.WEEK),
    "getupstreammsgdistmonth": partial(messages.distribution, Label.MONTH),
    "getinterfacesummary": replies.by_day,
    "getinterfacesummaryhour": replies.by_hour,
}

_MOVING: dict[str, Callable[[Profile, int, int], Rows]] = {
    "getarticletotal": reading.total,
    "getarticletotaldetail": publishing.total_detail,
}
"""Totals that grow: the third argument is the last day that has figures."""


@dataclass(frozen=True, slots=True)
class World:
    """All accounts, all endpoints, all days."""

    seed: int

    def rows(
        self, endpoint_id: str, appid: str, day: date, as_of: date | None = None
    ) -> Rows:
        """The rows of one label exactly as the platform sends them.

        `day` is the day, the week's Monday, the month's 1st or the publish day; `as_of`
        the last day that has figures (nothing: long after everything settled). A label
        whose period is not over by then has no rows, nor has a day that is no label.
        """
        last = as_of.toordinal() if as_of else date.max.toordinal()
        return self._rows(endpoint_id, appid, day.toordinal(), last)

    def answer(
        self, endpoint_id: str, appid: str, first: date, last: date, now: datetime
    ) -> dict[str, Any]:
        """The body for a window at this moment: `{"list": [...]}`, some with `is_delay`."""
        endpoint = ENDPOINTS[endpoint_id]
        ready = last_ready(now)
        asked = labels(endpoint.label, first.toordinal(), last.toordinal())
        rows = [
            row
            for label in asked
            for row in self._rows(endpoint_id, appid, label, ready)
        ]
        if not endpoint.delays:
            return {"list": rows}
        return {"list": rows, "is_delay": last.toordinal() > ready}

    def _rows(self, endpoint_id: str, appid: str, start: int, as_of: int) -> Rows:
        endpoint = ENDPOINTS[endpoint_id]
        days = period(endpoint.label, start)
        if not days or days[-1] > as_of or start < endpoint.earliest:
            return []
        who = profile(self.seed, appid)
        moving = _MOVING.get(endpoint_id)
        return (
            moving(who, start, as_of) if moving else _SETTLED[endpoint_id](who, start)
        )
