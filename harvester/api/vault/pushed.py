"""What pushes bring besides an account's standing: the ticket, and codes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from harvester.api.callback.contract import Code
from harvester.api.vault.records import Ticket
from harvester.api.vault.sealing import Seals

KNOWN_AFTER_SECONDS = 86_400.0
"""So long after its end a code stays known: a push may come twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tickets:
    """The newest ticket, and when the platform was last asked to push."""

    newest: Ticket = field(default_factory=Ticket)
    asked_at: float = 0.0


def with_ticket(known: Tickets, ticket: Ticket) -> Tickets:
    """An empty ticket changes nothing, and an older one never replaces a newer one."""
    if not ticket.value or ticket.created_at < known.newest.created_at:
        return known
    return replace(known, newest=ticket)


def with_request(known: Tickets, now: float, every: float) -> Tickets | None:
    """Pushes are asked for now; None: that was done less than `every` seconds ago."""
    if now - every < known.asked_at <= now:
        return None
    return replace(known, asked_at=now)


def ticket_document(known: Tickets, seals: Seals) -> dict[str, Any]:
    """The ticket as it may be stored."""
    found: dict[str, Any] = {"asked_at": known.asked_at}
    if known.newest.value:
        found["value"] = seals.seal(known.newest.value)
        found["created_at"] = known.newest.created_at
    return found


def tickets(found: Mapping[str, Any], seals: Seals) -> Tickets:
    """The ticket in a document. Raises AuthorisationError when no key opens it."""
    newest = Ticket()
    if "value" in found:
        value = seals.unseal(found["value"])
        newest = Ticket(value=value, created_at=found["created_at"])
    return Tickets(newest=newest, asked_at=found.get("asked_at", 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A code that is known. `claimed_until`: so long somebody works at it."""

    code: Code
    claimed_until: float = 0.0

    @property
    def done(self) -> bool:
        """Nobody need exchange it; it stays known without its value."""
        return not self.code.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """The platform's codes, by a hash of their value."""

    pending: Mapping[str, Pending] = field(default_factory=dict)


def with_code(known: Codes, code: Code, now: float, seconds: float) -> Codes | None:
    """The code is claimed for so long; None: it was known. Those long over go."""
    key = _key(code)
    if key in known.pending:
        return None
    kept = {
        one: pending
        for one, pending in known.pending.items()
        if pending.code.until + KNOWN_AFTER_SECONDS > now
    }
    kept[key] = Pending(code=code, claimed_until=now + seconds)
    return Codes(pending=kept)


def claimed(
    known: Codes, now: float, seconds: float, most: int
) -> tuple[Codes, Sequence[Code]]:
    """The oldest codes that nobody works at, now claimed for so long."""
    free = [
        (pending.code.created_at, key)
        for key, pending in known.pending.items()
        if not pending.done and pending.claimed_until <= now
    ]
    keys = [key for _, key in sorted(free)[:most]]
    taken = {
        key: replace(known.pending[key], claimed_until=now + seconds) for key in keys
    }
    codes = [pending.code for pending in taken.values()]
    return Codes(pending={**known.pending, **taken}), codes


def without(known: Codes, code: Code) -> Codes:
    """The code is done."""
    key = _key(code)
    if key not in known.pending:
        return known
    done = Pending(code=replace(known.pending[key].code, value=""))
    return Codes(pending={**known.pending, key: done})


def codes_document(known: Codes, seals: Seals) -> dict[str, Any]:
    """The codes as they may be stored."""
    return {key: _pending(one, seals) for key, one in known.pending.items()}


def codes(found: Mapping[str, Any], seals: Seals) -> Codes:
    """The codes in a document. Raises AuthorisationError when no key opens them."""
    return Codes(pending={key: _read(one, seals) for key, one in found.items()})


def _pending(pending: Pending, seals: Seals) -> dict[str, Any]:
    code = pending.code
    found: dict[str, Any] = {
        "appid": code.appid,
        "created_at": code.created_at,
        "until": code.until,
        "claimed_until": pending.claimed_until,
    }
    return found if pending.done else {**found, "value": seals.seal(code.value)}


def _read(found: Mapping[str, Any], seals: Seals) -> Pending:
    value = seals.unseal(found["value"]) if "value" in found else ""
    code = Code(
        value=value,
        appid=found["appid"],
        created_at=found["created_at"],
        until=found["until"],
    )
    return Pending(code=code, claimed_until=found["claimed_until"])


def _key(code: Code) -> str:
    return sha256(code.value.encode()).hexdigest()[:32]
