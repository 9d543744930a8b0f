"""How many calls an account's own quota leaves to a run: an owner shares it.

1. A plan of more than `SMALL_PLAN` calls for one endpoint of one account asks
   `openapi/quota/get` once, before its first call; so does one that was parked by a
   used-up quota before. `quota_reserve` of the day's limit stays to the others.
2. A number in `daily_calls` stands in for the question; so does
   `daily_calls_unknown` where it brings no answer. Both count what earlier runs of
   the same day in China have used, by the ledger.
3. When nothing is left, the endpoint is parked for the account until midnight. A
   quota is never cleared.
"""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from harvester.api.client import Quota
from harvester.api.codes import Decision, Refusal, Scope
from harvester.plan import Call

SMALL_PLAN = 50
"""Calls for one endpoint of one account below which nobody is asked."""

PARKED = frozenset({"45009", "quota"})
"""Codes of cells that wait for tomorrow's quota."""

SPENT = Refusal(
    decision=Decision.PARK_ENDPOINT,
    code="quota",
    scope=Scope.ENDPOINT,
    message="today's share of the account's quota is used up",
    todo="run again tomorrow; limits.quota_reserve is what stays to the account's owner",
)

Key = tuple[str, str]
"""Appid and endpoint id."""

Question = Callable[[], Awaitable[Quota | Refusal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRule:
    """What the configuration says of quotas."""

    daily: int | None
    """Calls a day for each account and endpoint; None: WeChat is asked."""

    unknown: int
    reserve: float

    def expected(self) -> int:
        """What a plan, which asks nobody, takes for a day's calls."""
        return self.unknown if self.daily is None else self.daily

    def share(self, answer: Quota | Refusal, used: int) -> int:
        """The calls that a run may make, after what was used today."""
        if isinstance(answer, Refusal):
            return self.unknown - used
        return answer.remain - math.ceil(answer.daily_limit * self.reserve)


@dataclass(frozen=True, slots=True)
class Quotas:
    """The rule, and what earlier runs of the same day in China have used."""

    rule: QuotaRule
    used: Mapping[Key, int] = field(default_factory=Counter)


@dataclass(slots=True)
class Budget:
    """What each account's endpoint has left today, where that was looked at."""

    quotas: Quotas
    _left: dict[Key, int | None] = field(default_factory=dict)
    """Only of plans that may use it up; None: to be asked before the next call."""

    def expect(self, key: Key, calls: int, *, parked: bool) -> None:
        """So many calls are planned; `parked`: an earlier run used the quota up."""
        if key in self._left:
            return
        daily = self.quotas.rule.daily
        wanted = calls + self.quotas.used.get(key, 0)
        if daily is None:
            if parked or wanted > SMALL_PLAN:
                self._left[key] = None
        elif wanted > daily:
            self._left[key] = daily - self.quotas.used.get(key, 0)

    async def admits(self, call: Call, ask: Question) -> bool:
        """Whether the call may be made; takes it off what is left."""
        key = (call.appid, call.endpoint.id)
        if key not in self._left:
            return True
        left = self._left[key]
        if left is None:
            used = self.quotas.used.get(key, 0)
            left = self.quotas.rule.share(await ask(), used)
        self._left[key] = left - 1
        return left > 0

    def spend(self, call: Call, attempts: int) -> None:
        """Takes off what a call cost beyond its first attempt."""
        key = (call.appid, call.endpoint.id)
        left = self._left.get(key)
        if left is not None:
            self._left[key] = left - max(attempts - 1, 0)
