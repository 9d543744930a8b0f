"""One account's calls under way: which of its endpoints may start the next one."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from harvester import dates
from harvester.accounts import Account
from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days
from harvester.plan import Call


@dataclass(slots=True)
class Lane:
    """The calls of one endpoint of one account, in the order to be asked."""

    appid: str
    endpoint: Endpoint
    calls: Iterator[Call]
    excused: Days = ()
    """Days known from before the run to be denied, retired or unavailable: not due."""

    answered_before: Days = ()
    """Days that are held or known to be empty, and looked at again."""

    planned: int = 0
    """Calls of the whole plan for it, both phases together."""

    parked: bool = False
    """An earlier run used its quota up."""

    in_flight: int = 0
    answered: bool = False

    def put_back(self, calls: Iterable[Call]) -> None:
        """Asks these before the others."""
        self.calls = chain(calls, self.calls)

    def rest(self) -> Days:
        """The days not asked yet; the lane is empty afterwards."""
        days = dates.of(piece for call in self.calls for piece in call.owned)
        self.calls = iter(())
        return days


@dataclass(slots=True)
class Work:
    """One account in one phase of the run.

    The scout: until a permission set, and then an endpoint, has its first answer,
    one call of it is under way, so that a revoked account costs a call a set.
    """

    account: Account
    group: str
    """The accounts whose rows go into the same files."""

    interval: float
    """Seconds between the starts of two calls."""

    lanes: deque[Lane]
    in_flight: int = 0
    next_at: float = 0.0
    queued: bool = False
    _closed: list[Lane] = field(default_factory=list)
    _under_way: dict[int | None, int] = field(default_factory=dict)
    _granted: set[int | None] = field(default_factory=set)

    @property
    def finished(self) -> bool:
        """Nothing is under way and nothing is left."""
        return not self.lanes and not self.in_flight

    def lane(self, endpoint: Endpoint) -> Lane | None:
        """The endpoint's lane, unless it has run dry or was closed."""
        return next((lane for lane in self.lanes if lane.endpoint is endpoint), None)

    def take(self, may_probe: Callable[[Endpoint], bool]) -> Call | None:
        """The next call that may start: the endpoints take turns."""
        for _ in range(len(self.lanes)):
            lane = self.lanes.popleft()
            if not self._free(lane, may_probe):
                self.lanes.append(lane)
                continue
            call = next(lane.calls, None)
            if call is not None:
                self._start(lane)
            if lane.in_flight:  # its answer may put calls back
                self.lanes.append(lane)
            if call is not None:
                return call
        return None

    def finish(self, endpoint: Endpoint, *, answered: bool) -> None:
        """A call of the endpoint has come to an end."""
        self.in_flight -= 1
        self._under_way[endpoint.permission_set] -= 1
        lane = self.lane(endpoint)
        if lane is not None:
            lane.in_flight -= 1
            lane.answered |= answered
        if answered:
            self._granted.add(endpoint.permission_set)

    def put_back(self, endpoint: Endpoint, calls: Iterable[Call]) -> None:
        """Asks these calls before the endpoint's others."""
        lane = self.lane(endpoint)
        if lane is not None:
            lane.put_back(calls)

    def close(self, closed: Callable[[Endpoint], bool]) -> list[Lane]:
        """Takes the lanes of such endpoints out and returns them."""
        shut = [lane for lane in self.lanes if closed(lane.endpoint)]
        self.lanes = deque(ln for ln in self.lanes if not closed(ln.endpoint))
        self._closed += shut
        return shut

    def known_lane(self, endpoint: Endpoint) -> Lane | None:
        """The endpoint's lane, closed or not."""
        every = (*self.lanes, *self._closed)
        return next((lane for lane in every if lane.endpoint is endpoint), None)

    def _free(self, lane: Lane, may_probe: Callable[[Endpoint], bool]) -> bool:
        needed = lane.endpoint.permission_set
        if needed not in self._granted and self._under_way.get(needed):
            return False
        return lane.answered or (not lane.in_flight and may_probe(lane.endpoint))

    def _start(self, lane: Lane) -> None:
        needed = lane.endpoint.permission_set
        self.in_flight += 1
        lane.in_flight += 1
        self._under_way[needed] = self._under_way.get(needed, 0) + 1
