"""Which fault meets which call: `name[=value][@account[/endpoint]][%percent][*times]`.

busy                          every call of every account
busy@wx12*                    accounts by glob
quota@wx12*/getuser*          and endpoints by glob
reset%5                       5 of 100 calls, by the seed
slow=0.5*3                    half a second, three times in all
"""

import re
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from harvester.errors import UsageError
from harvester.sandbox.dice import below, rolls
from harvester.sandbox.faults import FAULTS, Fault

_TEXT = re.compile(
    r"(?P<name>[^=@%*/]+)(=(?P<value>[^@%*]+))?"
    r"(@(?P<account>[^/%]+?)(/(?P<endpoint>[^%]+?))?)?"
    r"(%(?P<percent>\d{1,3}))?(\*(?P<times>\d+))?"
)


_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
_WHOLE = re.compile(r"-?\d+", re.ASCII)

_MOST_TRIES = 200_000
"""Calls whose tries are remembered; then the count starts anew."""


@dataclass(frozen=True, slots=True)
class Place:
    """One call: where a fault may strike."""

    name: str
    """The endpoint's id, or the last word of another call's path."""

    appid: str
    first: str = ""
    last: str = ""
    """The window as the call wrote it; nothing where there is none."""


@dataclass(slots=True)
class Armed:
    """A fault, whom it meets, and how often it still does."""

    text: str
    fault: Fault
    value: str
    account: str = "*"
    endpoints: tuple[str, ...] = ()
    percent: int = 100
    left: int | None = None
    fired: int = 0

    def meets(self, place: Place) -> bool:
        """Whether account, endpoint and window are those it looks for."""
        if not fnmatchcase(place.appid, self.account) or self.left == 0:
            return False
        if self.fault.wide_only and place.first == place.last:
            return False
        return any(fnmatchcase(place.name, glob) for glob in self.endpoints)


def parse(text: str) -> Armed:
    """The fault that this text describes. Raises UsageError."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        form = "name[=value][@account[/endpoint]][%percent][*times]"
        raise UsageError(f"{text!r} does not describe a fault", f"write {form}")
    part = match.groupdict()
    fault = FAULTS.get(part["name"])
    if fault is None:
        near = get_close_matches(part["name"], FAULTS, n=1, cutoff=0)
        raise UsageError(
            f"no fault is called {part['name']!r}", f"the nearest is {near[0]}"
        )
    _check_value(fault, part["value"])
    _check_place(fault, part["endpoint"])
    return Armed(
        text=text.strip(),
        fault=fault,
        value=part["value"] or fault.value,
        account=part["account"] or "*",
        endpoints=(part["endpoint"],) if part["endpoint"] else fault.where,
        percent=int(part["percent"] or 100),
        left=int(part["times"]) if part["times"] else None,
    )


def _check_value(fault: Fault, value: str | None) -> None:
    """A fault whose usual value is a number takes another number only. Raises UsageError."""
    numeric = fault.code is not None or _NUMBER.fullmatch(fault.value)
    pattern = _NUMBER if "." in fault.value else _WHOLE
    if value is not None and numeric and not pattern.fullmatch(value):
        kind = "a number" if pattern is _NUMBER else "a whole number"
        raise UsageError(f"{fault.name}={value} makes no sense", f"its value is {kind}")


def _check_place(fault: Fault, endpoint: str | None) -> None:
    """What goes wrong with pushes meets nothing else. Raises UsageError."""
    if fault.misdeliver is not None and endpoint and not endpoint.startswith("push_"):
        raise UsageError(
            f"{fault.name} meets no call of {endpoint}", "write push_*, or leave it out"
        )


class Injection:
    """The faults of a sandbox; they may come and go while it runs."""

    def __init__(self, seed: int, texts: tuple[str, ...] = ()) -> None:
        self._seed = seed
        self._armed = [parse(text) for text in texts]
        self._tries: Counter[tuple[str, Place]] = Counter()
        self._met: set[tuple[int, str]] = set()

    def add(self, text: str) -> None:
        """From now on this fault strikes too. Raises UsageError."""
        self._armed.append(parse(text))

    def clear(self) -> None:
        """From now on everything is well."""
        self._armed.clear()

    def fired(self) -> dict[str, int]:
        """How often each fault struck."""
        return {armed.text: armed.fired for armed in self._armed}

    def candidates(self, place: Place) -> list[Armed]:
        """The faults that may strike this call; the first that can, does."""
        return [
            armed
            for armed in self._armed
            if armed.meets(place) and self._due(armed, place)
        ]

    def strike(self, armed: Armed, place: Place) -> None:
        """Counts a fault that did strike."""
        armed.fired += 1
        if armed.left is not None:
            armed.left -= 1
        if armed.fault.once:
            self._met.add((id(armed), place.appid))

    def _due(self, armed: Armed, place: Place) -> bool:
        if (
            armed.fault.once
            and armed.left is None
            and (id(armed), place.appid) in self._met
        ):
            return False
        return armed.percent >= 100 or self._falls(armed, place)

    def _falls(self, armed: Armed, place: Place) -> bool:
        """The dice: the same for the same call and try, in whatever order calls come."""
        if len(self._tries) > _MOST_TRIES:
            self._tries.clear()
        self._tries[armed.text, place] += 1
        tries = self._tries[armed.text, place]
        key = (
            self._seed,
            armed.text,
            place.name,
            place.appid,
            place.first,
            place.last,
            tries,
        )
        return below(rolls(*key)[0], 100) < armed.percent
