"""Which values are in force, and where each of them was written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harvester.config import lines
from harvester.config.models import Config


@dataclass(frozen=True, slots=True)
class Value:
    """One effective value: its dotted key, what may be shown of it, where it is from."""

    key: str
    shown: Any
    source: str


@dataclass(frozen=True, slots=True)
class Origins:
    """Where each value was written."""

    file: str
    lines: Mapping[str, int]
    written: Mapping[str, object]
    """What the file says, by place: `accounts[0].appid`; tables included."""

    variables: Mapping[str, str]
    """The environment variable by the place it overrides."""

    def of(self, place: str) -> str:
        """`accounts.toml:12`, a variable's name, or `default`."""
        if place in self.variables:
            return f"variable {self.variables[place]}"
        if place not in self.written:
            return "default"
        return f"{self.near(place)}{_pointer(self.written[place])}"

    def near(self, place: str) -> str:
        """The same for a place that may not be there: then the table around it."""
        if place in self.variables:
            return f"variable {self.variables[place]}"
        line = lines.nearest(self.lines, place)
        return f"{self.file}:{line}" if line else self.file


def effective(config: Config, origins: Origins) -> Iterator[Value]:
    """Every value of the configuration; of an account only what was written."""
    accounts = config.model_dump(mode="json", include={"accounts"}, exclude_unset=True)
    rest = config.model_dump(mode="json", exclude={"accounts"})
    for place, shown in flat({**rest, **accounts}):
        if not isinstance(shown, dict) and not _holds_tables(shown):
            yield Value(place, shown, origins.of(place))


def _holds_tables(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def flat(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every place with what stands there, tables and lists of tables included."""
    if place:
        yield place, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number, inner in enumerate(value):
            yield from flat(inner, f"{place}[{number}]")


def _pointer(written: object) -> str:
    """What a secret's table names: the variable or the file."""
    match written:
        case {"env": str(name)}:
            return f" (variable {name})"
        case {"file": str(name)}:
            return f" (file {name})"
    return ""
