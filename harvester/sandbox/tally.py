"""What came in: counts to compare with those of a run."""

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from harvester.sandbox.injection import Place

_ANSWERS = 100


class Entry(NamedTuple):
    """One call that was answered, or was meant not to be."""

    at: float
    """Seconds since 1970."""

    place: Place
    outcome: str
    """`ok`, the error code, or the fault's name."""


class Tally:
    """Counts of everything since the start."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        """Statistics, by (endpoint, appid); the appid is empty where the token is unknown."""

        self.token_calls: Counter[tuple[str, str]] = Counter()
        self.other_calls: Counter[tuple[str, str]] = Counter()
        self.log: deque[Entry] = deque(maxlen=10_000)
        self.cookies = 0
        """Calls that brought a cookie along."""

        self.elsewhere = 0
        """Calls that followed a redirect."""

        self.pushes: Counter[str] = Counter()
        """Pushes that were sent, by kind."""

        self.push_answers: Counter[str] = Counter()
        """How their receiver answered: `success`, or what else."""

        self.unknown = 0
        """Calls of paths that do not exist."""

        self._in_flight: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        """The most statistics of an account that were under way at once."""

        self.peak_of_all = 0

    @contextmanager
    def statistic(self, name: str, appid: str) -> Iterator[None]:
        """Counts a call of a statistic while it is under way."""
        self.calls[name, appid] += 1
        self._in_flight[appid] += 1
        self.peak[appid] = max(self.peak[appid], self._in_flight[appid])
        self.peak_of_all = max(self.peak_of_all, self._in_flight.total())
        try:
            yield
        finally:
            self._in_flight[appid] -= 1
            if not self._in_flight[appid]:
                del self._in_flight[appid]

    def note(self, place: Place, outcome: str) -> None:
        """Writes a line of the log."""
        self.log.append(Entry(time.time(), place, outcome))

    def note_push(self, kind: str, answer: str) -> None:
        """Counts a push and its answer; of answers that differ the first hundred."""
        self.pushes[kind] += 1
        many = len(self.push_answers) >= _ANSWERS and answer not in self.push_answers
        self.push_answers["other" if many else answer] += 1

    def stats(self) -> dict[str, Any]:
        """The counts as `GET /sandbox/stats` shows them."""
        return {
            "calls": self.calls.total(),
            "token_calls": self.token_calls.total(),
            "other_calls": self.other_calls.total(),
            "accounts": len({appid for _, appid in self.calls if appid}),
            "by_endpoint": _by_name(self.calls),
            "by_token_call": _by_name(self.token_calls),
            "by_other_call": _by_name(self.other_calls),
            "pushes": dict(self.pushes),
            "push_answers": dict(self.push_answers),
            "max_in_flight": self.peak_of_all,
            "max_in_flight_per_account": max(self.peak.values(), default=0),
            "cookies": self.cookies,
            "redirects_followed": self.elsewhere,
            "unknown_paths": self.unknown,
        }


def _by_name(counts: Counter[tuple[str, str]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for (name, _), number in counts.items():
        total[name] += number
    return dict(sorted(total.items()))
