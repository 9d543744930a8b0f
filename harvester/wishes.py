"""What is wanted: the configuration and the command line's selection, as a survey.

Reads the lake, takes no lock and writes nothing. The configuration comes no further
than here and `harvest`: below travel plain values.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from harvester import dates
from harvester.accounts import Account, select
from harvester.beliefs import Beliefs, remembered
from harvester.catalogue.endpoint import Endpoint
from harvester.catalogue.load import Catalogue, catalogue
from harvester.config.fields import FIRST_DAY
from harvester.config.models import Config, Limits
from harvester.config.settings import Loaded
from harvester.errors import UsageError
from harvester.lake import layout as lake_layout
from harvester.lake.layout import Layout
from harvester.lake.ledger.ledger import Ledger
from harvester.lake.ledger.usage import calls_since
from harvester.plan import Phase, Policy
from harvester.quota import Key, QuotaRule, Quotas
from harvester.survey import Survey

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line wants of the configuration's whole."""

    accounts: Sequence[str] = ()
    endpoints: Sequence[str] = ()
    since: int | None = None
    until: int | None = None
    as_of: datetime | None = None
    only: Phase | None = None
    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A survey, and what of the wishes it cannot show."""

    survey: Survey
    catalogue: Catalogue
    quotas: Quotas
    beliefs: Beliefs
    until_not_ready: bool
    clock: Clock


def clock(as_of: datetime | None) -> Clock:
    """The run's clock: the real one, or one that starts at `as_of`."""
    shift = (as_of - datetime.now(UTC)) if as_of else timedelta()
    return lambda: datetime.now(UTC) + shift


def surveyed(loaded: Loaded, wishes: Wishes) -> Wanted:
    """What is missing. Reads the lake, takes no lock, writes nothing.

    Raises UsageError when a wish names nothing, or the lake has another layout.
    """
    config = loaded.config
    now = clock(wishes.as_of)
    known = catalogue(config.endpoints_file)
    beliefs = remembered(Path(config.lake.path) / lake_layout.RUNS, now())
    policy = replace(_policy(config, wishes, now()), narrowed=dict(beliefs.spans))
    survey = Survey(
        accounts=_accounts(loaded, wishes),
        endpoints_of=_endpoints_of(config, wishes, known),
        policy=policy,
        layout=_layout(config),
        ledger=Ledger.load(Path(config.lake.path)),
        calls_per_second=config.limits.calls_per_second,
    )
    named = wishes.until or config.harvest.until
    return Wanted(
        survey=survey,
        catalogue=known,
        quotas=Quotas(_quota(config.limits), _used_today(config, now())),
        beliefs=beliefs,
        until_not_ready=isinstance(named, int) and named > policy.last_ready,
        clock=now,
    )


def _quota(limits: Limits) -> QuotaRule:
    return QuotaRule(
        daily=limits.daily_calls if isinstance(limits.daily_calls, int) else None,
        unknown=limits.daily_calls_unknown,
        reserve=limits.quota_reserve,
    )


def _used_today(config: Config, now: datetime) -> Counter[Key]:
    midnight = dates.midnight_after(now) - timedelta(days=1)
    return calls_since(Path(config.lake.path), midnight)


def _accounts(loaded: Loaded, wishes: Wishes) -> tuple[Account, ...]:
    if not loaded.accounts:
        raise UsageError(
            f"{loaded.path}: there are no accounts", "add [[accounts]] or accounts_file"
        )
    return tuple(select(loaded.accounts, wishes.accounts))


def _policy(config: Config, wishes: Wishes, now: datetime) -> Policy:
    harvest = config.harvest
    until = harvest.until if wishes.until is None else wishes.until
    policy = Policy(
        since=harvest.since if wishes.since is None else wishes.since,
        until=until if isinstance(until, int) else dates.china_day(now) - 1,
        now=now,
        ready_at=harvest.ready_at,
        recheck_empty_days=harvest.recheck_empty_days,
        refresh_days=harvest.refresh_days,
        wide_windows=harvest.wide_windows,
        refresh=wishes.refresh,
        only=wishes.only,
        oldest_first=harvest.order == "oldest-first",
    )
    if policy.since < FIRST_DAY:
        raise UsageError(
            f"--since {dates.text(policy.since)}",
            "expected a date from 2014-12-01 on: WeChat holds no earlier ones",
        )
    if policy.since > policy.until:
        raise UsageError(
            f"since ({dates.text(policy.since)}) is after until "
            f"({dates.text(policy.until)})",
            "nothing lies between them",
        )
    return policy


def _layout(config: Config) -> Layout:
    """The lake's own layout; UsageError when the configuration names another."""
    configured = Layout(config.lake.buckets, config.lake.date)
    found = lake_layout.read(Path(config.lake.path))
    if found is not None:
        lake_layout.check_agrees(found.layout, configured)
    return configured


def _endpoints_of(
    config: Config, wishes: Wishes, known: Catalogue
) -> Callable[[Account], tuple[Endpoint, ...]]:
    asked = {one.id for one in known.select(wishes.endpoints)} or set(known.endpoints)

    @cache
    def chosen(selectors: tuple[str, ...]) -> tuple[Endpoint, ...]:
        return tuple(one for one in known.select(selectors) if one.id in asked)

    if not wishes.endpoints:
        chosen(config.harvest.endpoints)  # a wrong name is told before anything is done
    return lambda account: chosen(
        account.endpoints
        or (wishes.endpoints and tuple(wishes.endpoints))
        or config.harvest.endpoints
    )
