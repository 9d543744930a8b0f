"""Errors are decisions: what an answer's code means for the call, and for whom.

WeChat answers errors with HTTP 200, so that success has to be proven: no error code
where the catalogue says it stands, and rows where the catalogue says they stand.
The knowledge is the table in `api.rules`; here it is looked up and put into words.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harvester.api import rules
from harvester.api.masking import masked, masked_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harvester.catalogue.endpoint import Endpoint


class Decision(StrEnum):
    """What to do about an answer that is no success."""

    RETRY = "retry"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a decision
    SLOW_DOWN = "slow_down"
    PARK_ENDPOINT = "park_endpoint"
    DENY_ENDPOINT = "deny_endpoint"
    DENY_SET = "deny_set"
    ACCOUNT_GONE = "account_gone"
    RECOVER_REFRESH_TOKEN = "recover_refresh_token"  # noqa: S105
    PARK_ACCOUNT = "park_account"
    NOT_READY = "not_ready"
    NARROW = "narrow"
    RETIRED = "retired"
    EMPTY = "empty"
    STOP_PROCESS = "stop_process"
    STOP_EVERYTHING = "stop_everything"
    FAIL = "fail"


class Scope(StrEnum):
    """How far a decision reaches."""

    REQUEST = "request"
    ENDPOINT = "endpoint"
    """The account's calls of this endpoint (or, with `deny_set`, of its set)."""

    ACCOUNT = "account"
    PROCESS = "process"
    """Every call from this machine's address."""

    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one code means."""

    decision: Decision
    scope: Scope
    meaning: str
    todo: str = ""
    """What the operator can do; `{address}` stands for the address it names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer that is no success: its code, and what WeChat said."""

    rule: Rule
    code: str
    message: str
    rid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A call that brought nothing: a value, so that its neighbours go on."""

    decision: Decision
    code: str
    """WeChat's code, or a pseudo-code of `api.rules` such as `timeout`."""

    message: str
    """What happened, for a person: at most 300 characters, no secret."""

    scope: Scope = Scope.REQUEST
    rid: str = ""
    todo: str = ""
    attempts: int = 0
    """Requests that were sent for this call."""

    body: bytes | None = None
    """The answer that could not be taken, secrets masked; for `fail` and `retry`."""

    retry_after: float | None = None
    """Seconds until it makes sense to ask again, where that is known."""


class Refused(Exception):
    """Takes a refusal out of the token calls; `client.ask` makes a value of it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


MOST_CHARACTERS = 300

_TOUCHES_ACCOUNTS = frozenset(
    {
        Decision.RETRY,
        Decision.SLOW_DOWN,
        Decision.RECOVER_REFRESH_TOKEN,
        Decision.ACCOUNT_GONE,
        Decision.PARK_ACCOUNT,
        Decision.STOP_PROCESS,
        Decision.STOP_EVERYTHING,
    }
)
"""What a data call's rule may say of a token call as well."""

_CODE = re.compile(r"-?\d{1,9}")
_RID = re.compile(
    r"rid: ?([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})|hint: ?\[([^\]]{1,40})\]"
)
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|\b(?:[0-9a-f]{1,4}:){3,}[0-9a-f:]+")


@lru_cache(maxsize=512)
def rule_of(code: str, family: str = "") -> Rule:
    """What the code means in answers of this family."""
    row = rules.FAMILY_RULES.get(family, {}).get(code) or rules.RULES.get(code)
    return _rule(row or rules.UNKNOWN)


@lru_cache(maxsize=512)
def token_rule_of(code: str, call: str) -> Rule:
    """What the code means when this token call (`stable_token`, …) answers it."""
    special = rules.TOKEN_RULES[call].get(code)
    if special:
        return _rule(special)
    rule = rule_of(code)
    if rule.decision in _TOUCHES_ACCOUNTS:
        near = rule.scope is Scope.REQUEST
        return replace(rule, scope=Scope.ACCOUNT) if near else rule
    other = rules.TOKEN_RULES[call].get("", rules.ACCOUNT_FAILS)
    return replace(_rule(other), meaning=rule.meaning, todo=rule.todo)


def _rule(row: rules.Row) -> Rule:
    decision, scope, meaning, todo = row
    return Rule(Decision(decision), Scope(scope), meaning, todo)


def verdict(document: "Mapping[str, Any]", endpoint: "Endpoint") -> Verdict | None:
    """None for a success; otherwise what the answer means.

    A success names no error and has an array where the catalogue puts the rows.
    """
    code, message = error_of(document, endpoint.errors)
    if code:
        return Verdict(rule_of(code, endpoint.family), code, message, rid_of(message))
    if has_rows(document, endpoint.rows):
        return None
    keys = ", ".join(sorted(map(str, document))[:10])
    return Verdict(rule_of("no_rows"), "no_rows", f"it holds: {keys or 'nothing'}")


def refusal(
    verdict: Verdict,
    *,
    attempts: int = 0,
    sent: tuple[str, ...] = (),
    body: bytes | None = None,
    retry_after: float | None = None,
) -> Refusal:
    """The verdict as the value that a call returns, without the secrets `sent`."""
    rule = verdict.rule
    said = " ".join(masked(verdict.message, sent).split())
    message = f"{rule.meaning}: {said}" if said else rule.meaning
    kept = body if rule.decision in (Decision.FAIL, Decision.RETRY) else None
    return Refusal(
        decision=rule.decision,
        code=verdict.code,
        message=message[:MOST_CHARACTERS],
        scope=rule.scope,
        rid=masked(verdict.rid, sent),
        todo=rule.todo.format(address=address_of(said) or "this machine's address"),
        attempts=attempts,
        body=None if kept is None else masked_bytes(kept, sent),
        retry_after=retry_after,
    )


def refused_by_us(code: str, call: str = "stable_token") -> Refusal:
    """A refusal that no answer stands behind: one of our pseudo-codes."""
    return refusal(Verdict(token_rule_of(code, call), code, ""))


def error_of(
    document: "Mapping[str, Any]", places: tuple[str, str] = ("errcode", "errmsg")
) -> tuple[str, str]:
    """Code and message of an answer; two empty texts when it names no error.

    `places` are dotted paths. Gateways answer outside them, so that the last
    part at the top and the plain `errcode` count as well.
    """
    for code_at, message_at in _error_places(places):
        code = _at(document, code_at)
        if code is None or code == "0" or (code == 0 and code is not False):
            continue
        message = str(_at(document, message_at) or "")
        if _CODE.fullmatch(str(code)):
            return str(code), message
        return "unknown", f"the code is {code!r}: {message}"
    return "", ""


def has_rows(document: "Mapping[str, Any]", rows: tuple[str, ...]) -> bool:
    """Whether an array stands where rows may stand, and nothing else does."""
    found = [_at(document, place) for place in _row_places(rows)]
    arrays = sum(isinstance(value, list) for value in found)
    return arrays > 0 and arrays + found.count(None) == len(found)


def rid_of(message: str) -> str:
    """The request id that WeChat names in its message, or nothing."""
    match = _RID.search(message)
    return (match[1] or match[2]) if match else ""


def address_of(message: str) -> str:
    """The caller's address that a message names, or nothing."""
    match = _ADDRESS.search(message)
    return match[0] if match else ""


@lru_cache(maxsize=64)
def _error_places(
    places: tuple[str, str],
) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    code, message = (tuple(place.split(".")) for place in places)
    known = [(code, message), (code[-1:], message[-1:]), (("errcode",), ("errmsg",))]
    return tuple(dict.fromkeys(known))


@lru_cache(maxsize=256)
def _row_places(rows: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        dict.fromkeys(tuple(row.partition("[]")[0].split(".")) for row in rows)
    )


def _at(document: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document
