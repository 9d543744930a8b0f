"""What is wrong with a configuration, in lines for a person: place, expectation, mend."""

import re
from collections.abc import Callable, Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harvester.config import keys
from harvester.errors import UsageError

MOST = 20
"""More lines than this help nobody."""

_SHOWN = (bool, int, float)
"""Values of other types stay unsaid: a secret may stand where it does not belong."""

_EXPECTED = {
    "tuple_type": "expected a list",
    "string_type": "expected text in quotes",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "finite_number": "expected a number",
    "missing": "missing",
}

_STARTS = re.compile(r"^Input should be (?=(greater|less)?)")


def of(
    error: ValidationError, origin: Callable[[str], str], prefix: str = ""
) -> Iterator[str]:
    """A line for each finding: origin, place (`accounts[3].appid`) and complaint.

    `origin` tells where a place was written. `prefix` is the place of what was
    validated: `accounts[].` for one account.
    """
    for detail in error.errors(include_url=False):
        place = _place(detail["loc"])
        parts = (origin(place), place, _complaint(detail, prefix + place))
        yield ": ".join(filter(None, parts))


def refused(lines: list[str]) -> UsageError:
    """The error that says all of this."""
    further = [f"… and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return UsageError("\n".join(lines[:MOST] + further))


def _place(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).lstrip(".").removesuffix(".[key]")


def _complaint(detail: ErrorDetails, place: str) -> str:
    if detail["type"] == "extra_forbidden":
        return _unknown(place)
    if detail["type"] == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    text = _EXPECTED.get(detail["type"]) or _STARTS.sub(_start, detail["msg"])
    given = detail["input"]
    return f"{text}, got {given!r}" if isinstance(given, _SHOWN) else text


def _start(match: re.Match[str]) -> str:
    return "expected a number " if match[1] else "expected "


def _unknown(place: str) -> str:
    numbers = re.findall(r"\[\d+\]", place)
    meant = keys.nearest(re.sub(r"\[\d+\]", "[]", place))
    meant = meant.replace("[]", numbers[0] if numbers else "[]")
    return f"unknown key; did you mean {meant}?" if meant else "unknown key"
