"""What a run would do, without doing it: calls, cells, files, time."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from harvester import dates, plan
from harvester.accounts import Account
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days, Granularity
from harvester.lake.layout import Layout
from harvester.quota import Key, Quotas
from harvester.survey import Survey

MANY_FILES = 100_000
"""Files a year from which a plan warns."""

LARGEST = 10
PERIODS_A_YEAR = {
    Granularity.WEEK: 53,
    Granularity.MONTH: 12,
}


@dataclass(slots=True)
class Forecast:
    """The figures of a plan; `calls` is what the run makes when nothing fails."""

    calls: int = 0
    cells: int = 0
    files: int = 0
    by_endpoint: Counter[str] = field(default_factory=Counter)
    accounts: int = 0
    """Accounts with at least one call."""

    largest: list[tuple[int, str]] = field(default_factory=list)
    """The accounts with the most calls, and how many those are."""

    calls_today: int = 0
    """Those of them that the quotas, as far as they are known, allow today."""

    late: list[tuple[int, int, str, str]] = field(default_factory=list)
    """Days needed, calls, appid and endpoint of the plans that take the longest."""

    unfinished: int = 0
    """Plans, of one account's endpoint each, that will not finish today."""

    seconds: float = 0.0
    """How long the account with the most calls takes at its rate."""

    @property
    def by_account_max(self) -> int:
        """The calls of the account with the most."""
        return self.largest[0][0] if self.largest else 0


def forecast(
    survey: Survey,
    quota: Quotas,
    *,
    enough: Callable[[Forecast], bool] | None = None,
) -> Forecast:
    """Adds the plan up, account by account; `enough` ends it early."""
    total = Forecast()
    for _, members in survey.groups():
        partitions: dict[str, Days] = {}
        for account in members:
            _add_account(total, survey, quota, account, partitions)
            if not survey.layout.buckets:
                total.files += _files(survey.layout, partitions)
            if enough is not None and enough(total):
                return total
        if survey.layout.buckets:
            total.files += _files(survey.layout, partitions)
    total.largest.sort(reverse=True)
    total.late.sort(reverse=True)
    return total


def _add_account(
    total: Forecast,
    survey: Survey,
    quota: Quotas,
    account: Account,
    partitions: dict[str, Days],
) -> None:
    if not survey.layout.buckets:
        partitions.clear()
    calls = 0
    for missing in survey.missing(account):
        days = plan.chosen_days(missing.days, survey.policy)
        count = plan.count_calls(missing.endpoint, missing.days, survey.policy)
        endpoint = missing.endpoint.id
        partitions[endpoint] = dates.union(partitions.get(endpoint, ()), days)
        total.by_endpoint[endpoint] += count
        total.cells += dates.size(days)
        _add_quota(total, quota, (account.appid, endpoint), count)
        calls += count
    if not calls:
        return
    total.calls += calls
    total.accounts += 1
    rate = account.calls_per_second or survey.calls_per_second
    total.seconds = max(total.seconds, calls / rate)
    _keep(total.largest, (calls, account.appid))


def _add_quota(total: Forecast, quota: Quotas, key: Key, calls: int) -> None:
    """How many of an endpoint's calls go today, and how many days the rest takes."""
    daily = quota.rule.expected()
    today = min(calls, max(0, daily - quota.used.get(key, 0)))
    total.calls_today += today
    if today == calls:
        return
    total.unfinished += 1
    _keep(total.late, (1 + -(-(calls - today) // daily), calls, *key))


def _keep(heap: list[Any], item: tuple[Any, ...]) -> None:
    """Keeps the largest few."""
    heapq.heappush(heap, item)
    if len(heap) > LARGEST:
        heapq.heappop(heap)


def _files(layout: Layout, partitions: dict[str, Days]) -> int:
    """Data files that these days make, one a partition."""
    return sum(_periods(layout, days) for days in partitions.values())


def _periods(layout: Layout, days: Days) -> int:
    if layout.date == "day":
        return dates.size(days)
    months: set[int] = set()
    for first, last in days:
        months.update(range(_month(first), _month(last) + 1))
    return len(months)


def _month(day: int) -> int:
    inside = date.fromordinal(day)
    return inside.year * 12 + inside.month


def files_a_year(layout: Layout, accounts: int, endpoints: list[Endpoint]) -> int:
    """Data files that a year of these accounts makes, before they are folded."""
    places = min(layout.buckets, accounts) if layout.buckets else accounts
    return places * sum(_a_year(layout, endpoint) for endpoint in endpoints)


def _a_year(layout: Layout, endpoint: Endpoint) -> int:
    periods = PERIODS_A_YEAR.get(endpoint.granularity, 366)
    return min(periods, 12) if layout.date == "month" else periods


def yearly_files(survey: Survey) -> int:
    """`files_a_year` of the survey's accounts and their endpoints."""
    endpoints = {
        one.id: one
        for account in survey.accounts
        for one in survey.endpoints_of(account)
    }
    return files_a_year(survey.layout, len(survey.accounts), list(endpoints.values()))
