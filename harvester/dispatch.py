"""Which call goes next: decided without waiting, so that tests need no loop.

1. An account has at most `in_flight` calls under way and starts them `interval`
   seconds apart; a paused account starts none.
2. Accounts take turns; a slow one holds up its own calls and nobody else's.
3. A retired endpoint is probed by three accounts at once at most, until one of
   them has an answer; three that find it gone without any answer close it for all.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from harvester.catalogue.endpoint import Endpoint, Status
from harvester.lanes import Lane, Work
from harvester.plan import Call

PROBES = 3
"""Accounts that must find an endpoint retired before it is so for all."""


class Dispatch:
    """Deals the calls out; its owner does the waiting.

    The order of a run lives here and nowhere else: `take`, `finish`, `put_back`,
    `pause` and `close` change it, all from one thread.
    """

    def __init__(self, works: Iterator[Work], *, in_flight: int, active: int) -> None:
        self._works = works
        self._in_flight = in_flight
        self._active_most = active
        self._active: dict[str, Work] = {}
        self._following: dict[str, Work] = {}
        self._ready: deque[Work] = deque()
        self._later: list[tuple[float, int, Work]] = []
        self._blocked: list[Work] = []
        self._tie = count()
        self._exhausted = False
        self._groups = _Groups()
        self._finished_accounts: list[str] = []
        self._probing: dict[str, set[str]] = {}
        self._offered: set[str] = set()
        self._gone: dict[str, set[str]] = {}

    @property
    def finished(self) -> bool:
        """Nothing is under way and nothing is left."""
        return self._exhausted and not self._active

    def take(self, now: float) -> Call | None:
        """The next call that may start now, or None."""
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        self._fill(now)
        while self._ready:
            work = self._ready.popleft()
            work.queued = False
            if work.next_at > now and work.lanes:  # paused since
                self._queue(work, now)
                continue
            call = work.take(self._may_probe)
            if call is None:
                self._set_aside(work)
                self._fill(now)
                continue
            self._note_probe(call)
            work.next_at = max(now, work.next_at) + work.interval
            self._queue(work, now)
            return call
        return None

    def next_at(self) -> float | None:
        """When the first paced or paused account may go on, if one waits for it."""
        return self._later[0][0] if self._later else None

    def finish(self, call: Call, *, answered: bool, now: float) -> None:
        """The call has come to an end; its account may start another."""
        work = self._active[call.appid]
        work.finish(call.endpoint, answered=answered)
        if answered and call.endpoint.status is Status.RETIRED:
            self._offered.add(call.endpoint.id)
        self._queue(work, now)
        if call.endpoint.status is Status.RETIRED:
            self._probing.get(call.endpoint.id, set()).discard(call.appid)
            blocked, self._blocked = self._blocked, []
            for waiting in blocked:
                self._queue(waiting, now)

    def lane(self, call: Call) -> Lane | None:
        """The lane that the call came from, unless it was closed meanwhile."""
        return self._active[call.appid].lane(call.endpoint)

    def known_lane(self, call: Call) -> Lane | None:
        """The lane that the call came from, closed or not."""
        return self._active[call.appid].known_lane(call.endpoint)

    def group(self, appid: str) -> str:
        """The group of an account that has a call under way."""
        return self._active[appid].group

    def put_back(self, call: Call, *calls: Call) -> None:
        """Asks these calls before the others of the lane that `call` came from."""
        self._active[call.appid].put_back(call.endpoint, calls)

    def pause(self, appid: str, until: float) -> None:
        """The account starts no call before `until`."""
        work = self._active[appid]
        work.next_at = max(work.next_at, until)

    def close(self, appid: str, closed: Callable[[Endpoint], bool]) -> list[Lane]:
        """Takes the account's lanes of such endpoints out and returns them."""
        phases = (self._active.get(appid), self._following.get(appid))
        return [lane for work in phases if work for lane in work.close(closed)]

    def retired(self, call: Call) -> list[tuple[str, Lane]]:
        """The account finds the endpoint gone: the lanes that this closes."""
        endpoint = call.endpoint
        gone = self._gone.setdefault(endpoint.id, set())
        gone.add(call.appid)
        everywhere = len(gone) >= PROBES and endpoint.id not in self._offered
        return [
            (appid, lane)
            for appid in (list(self._active) if everywhere else [call.appid])
            for lane in self.close(appid, lambda other: other is endpoint)
        ]

    def gone_for_all(self, endpoint: Endpoint) -> bool:
        """Three accounts found the endpoint retired and none had an answer."""
        gone = self._gone.get(endpoint.id, ())
        return len(gone) >= PROBES and endpoint.id not in self._offered

    def stop(self) -> None:
        """Starts nothing any more; what is under way may finish."""
        self._works, self._exhausted = iter(()), True
        self._following.clear()
        for work in list(self._active.values()):
            work.close(lambda _: True)
            self._retire(work)

    def finished_groups(self) -> list[str]:
        """The groups that ended since the last question."""
        return self._groups.ended()

    def finished_accounts(self) -> list[str]:
        """The accounts that ended since the last question, each phase by itself."""
        ended, self._finished_accounts = self._finished_accounts, []
        return ended

    def _fill(self, now: float) -> None:
        """Takes accounts on: one a call while others are ready, more when none is."""
        while not self._exhausted and self._room():
            work = next(self._works, None)
            if work is None:
                self._exhausted = True
                self._groups.enter("")
                return
            self._groups.enter(work.group)
            if work.account.appid in self._active:  # its earlier phase goes first
                self._following[work.account.appid] = work
                continue
            self._activate(work, now)
            if self._ready:
                return

    def _room(self) -> bool:
        return len(self._active) + len(self._following) < self._active_most

    def _activate(self, work: Work, now: float) -> None:
        self._active[work.account.appid] = work
        self._queue(work, now)

    def _queue(self, work: Work, now: float) -> None:
        if work.queued or work.in_flight >= self._in_flight:
            return
        work.queued = True
        if work.next_at > now and work.lanes:
            heapq.heappush(self._later, (work.next_at, next(self._tie), work))
        else:
            self._ready.append(work)

    def _set_aside(self, work: Work) -> None:
        """An account with nothing to start: done, or waiting for others' probes."""
        if work.lanes and not work.in_flight:
            self._blocked.append(work)
        self._retire(work)

    def _retire(self, work: Work) -> None:
        appid = work.account.appid
        if not work.finished or self._active.get(appid) is not work:
            return
        del self._active[appid]
        self._groups.leave(work.group)
        following = self._following.pop(appid, None)
        if following is None:
            self._finished_accounts.append(appid)
        else:
            self._activate(following, work.next_at)

    def _may_probe(self, endpoint: Endpoint) -> bool:
        if endpoint.status is Status.ACTIVE or endpoint.id in self._offered:
            return True
        probing = self._probing.get(endpoint.id)
        if not probing:
            return True
        return len(probing | self._gone.get(endpoint.id, set())) < PROBES

    def _note_probe(self, call: Call) -> None:
        endpoint = call.endpoint
        if endpoint.status is Status.RETIRED and endpoint.id not in self._offered:
            self._probing.setdefault(endpoint.id, set()).add(call.appid)


class _Groups:
    """Accounts come group after group: a group ends with its last account."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._entering = ""
        self._ended: list[str] = []

    def enter(self, group: str) -> None:
        """An account of this group begins; an empty name: none will follow."""
        last, self._entering = self._entering, group
        if group:
            self._open[group] = self._open.get(group, 0) + 1
        if last and last != group:
            self._end_if_empty(last)

    def leave(self, group: str) -> None:
        """An account of this group is through."""
        self._open[group] -= 1
        if group != self._entering:
            self._end_if_empty(group)

    def ended(self) -> list[str]:
        """The groups that ended since the last question."""
        ended, self._ended = self._ended, []
        return ended

    def _end_if_empty(self, group: str) -> None:
        if self._open.get(group) == 0:
            del self._open[group]
            self._ended.append(group)
