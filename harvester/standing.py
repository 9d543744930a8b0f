"""What a run has learnt of those it asked: whom it need not ask again."""

from collections.abc import Callable
from dataclasses import dataclass, field

from harvester.api.codes import Decision, Refusal, Scope
from harvester.catalogue.endpoint import Endpoint
from harvester.plan import Call

Closed = Callable[[Endpoint], bool]
"""Whether a refusal ends the calls of an endpoint, of the same account."""


def reach(call: Call, refusal: Refusal) -> Closed:
    """The endpoints of the call's account that the refusal speaks of.

    A network in trouble is none of the account's, and may be well again in a moment.
    """
    if refusal.decision is Decision.RETRY:
        return lambda _: False
    if refusal.scope is Scope.ACCOUNT:
        return lambda _: True
    if refusal.decision is Decision.DENY_SET:
        wanted = call.endpoint.permission_set
        return lambda endpoint: endpoint.permission_set == wanted
    if refusal.scope is Scope.ENDPOINT:
        return lambda endpoint: endpoint.id == call.endpoint.id
    return lambda _: False


def ends_run(refusal: Refusal) -> bool:
    """Nobody can be harvested before the operator acts."""
    return refusal.decision in (Decision.STOP_PROCESS, Decision.STOP_EVERYTHING)


@dataclass(slots=True)
class Standing:
    """Refusals that hold for the rest of the run. Only the run itself adds to them."""

    _by_account: dict[str, list[tuple[Closed, Refusal]]] = field(default_factory=dict)
    _retired: dict[str, Refusal] = field(default_factory=dict)

    def learn(self, call: Call, refusal: Refusal) -> None:
        """The refusal ends more than the call that met it."""
        closed = reach(call, refusal)
        self._by_account.setdefault(call.appid, []).append((closed, refusal))

    def learn_retired(self, endpoint: Endpoint, refusal: Refusal) -> None:
        """The endpoint is gone for everybody."""
        self._retired[endpoint.id] = refusal

    def refusal(self, appid: str, endpoint: Endpoint) -> Refusal | None:
        """Why this need not be asked, if it need not."""
        for closed, refusal in self._by_account.get(appid, ()):
            if closed(endpoint):
                return refusal
        return self._retired.get(endpoint.id)
