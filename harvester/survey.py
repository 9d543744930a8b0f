"""Who is to be harvested, what the lake holds of them, and what is missing.

The common ground of `plan`, `run` and `status`: all three walk over the same groups
of accounts and ask the same question, so that a plan is what a run then does.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from harvester import dates, plan, settling
from harvester.accounts import Account
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days
from harvester.lake.layout import Layout
from harvester.lake.ledger.ledger import EVERYONE, Ledger
from harvester.lanes import Lane, Work
from harvester.plan import Known, Phase, Policy
from harvester.quota import PARKED

WAVE = 64
"""Accounts built together where each has a directory of its own."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The missing days of one account's endpoint, and which of them are not due."""

    endpoint: Endpoint
    days: Days
    excused: Days
    answered_before: Days
    """Those that are held or known to be empty."""

    parked: bool
    """Some wait for a quota that an earlier run used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Plain values: nothing here does I/O but the ledger, which is in memory."""

    accounts: Sequence[Account]
    endpoints_of: Callable[[Account], tuple[Endpoint, ...]]
    policy: Policy
    layout: Layout
    ledger: Ledger
    calls_per_second: float

    def groups(self) -> Iterator[tuple[str, list[Account]]]:
        """The accounts in the order of a run: those that share files together."""
        if not self.layout.buckets:
            for start in range(0, len(self.accounts), WAVE):
                wave = list(self.accounts[start : start + WAVE])
                yield f"w{start // WAVE:06d}", wave
            return
        bucket = self._bucket
        for number, members in groupby(sorted(self.accounts, key=bucket), key=bucket):
            yield f"b{number:05d}", list(members)

    def _bucket(self, account: Account) -> int:
        return self.layout.bucket(account.appid)

    def wanted(self, account: Account, endpoint: Endpoint) -> Days:
        """The labels wanted of this account, ready now."""
        since = self.policy.since if account.since is None else account.since
        return plan.wanted(endpoint, since, self.policy.until, self.policy.last_ready)

    def known(self, account: Account) -> dict[str, list[Known]]:
        """What the ledger says of the account, and of its endpoints as a whole."""
        own = self.ledger.known(account.appid)
        everybody = self.ledger.known(EVERYONE)
        if not everybody:
            return own
        both = set(own) | set(everybody)
        return {id: [*own.get(id, ()), *everybody.get(id, ())] for id in both}

    def missing(self, account: Account) -> Iterator[Missing]:
        """What a run asks of the account, endpoint by endpoint."""
        known = self.known(account)
        for endpoint in self.endpoints_of(account):
            wanted = self.wanted(account, endpoint)
            held = known.get(endpoint.id, ())
            days = settling.missing(endpoint, held, wanted, self.policy)
            if days:
                due = settling.due(held, days)
                parked = any(one.code in PARKED for one in held)
                answered = dates.of(
                    (one.first, one.last)
                    for one in held
                    if one.outcome in settling.ANSWERED
                )
                yield Missing(
                    endpoint,
                    days,
                    excused=dates.subtract(days, due),
                    answered_before=dates.intersect(answered, days),
                    parked=parked,
                )

    def works(self) -> Iterator[Work]:
        """The run: the fresh days of all accounts, then the backfill of all."""
        for phase in Phase:
            if self.policy.only in (None, phase):
                for group, members in self.groups():
                    for account in members:
                        yield from self._work(account, phase, f"{phase}-{group}")

    def _work(self, account: Account, phase: Phase, group: str) -> Iterator[Work]:
        policy = self.policy
        lanes = deque(
            Lane(
                account.appid,
                one.endpoint,
                plan.calls(account.appid, one.endpoint, one.days, policy, phase),
                one.excused,
                one.answered_before,
                plan.count_calls(one.endpoint, one.days, policy),
                one.parked,
            )
            for one in self.missing(account)
        )
        if lanes:
            rate = account.calls_per_second or self.calls_per_second
            yield Work(account, group, 1 / rate, lanes)
