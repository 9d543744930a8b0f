"""Every key of the configuration by its dotted name: for messages, the environment, the docs."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from harvester.config.fields import Ticket
from harvester.config.models import Config, Section
from harvester.secret import Secret

VARIABLE_PREFIX = "HARVESTER__"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that a person can write: `limits.in_flight`, `accounts[].appid`."""

    name: str
    field: FieldInfo

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return VARIABLE_PREFIX + self.name.upper().replace(".", "__")

    @property
    def is_secret(self) -> bool:
        """Whether its value must never be shown."""
        return bool(_types(self.field.annotation) & {Secret, Ticket})

    @property
    def is_text(self) -> bool:
        """Whether `1234` means these four characters, and not a number."""
        kinds = _types(self.field.annotation)
        text = {str, Secret, Ticket, Path, NoneType}
        return kinds <= text or {tuple, Secret} <= kinds


def every(section: type[Section] = Config, prefix: str = "") -> Iterator[Key]:
    """All keys, in the order of the file."""
    for name, field in section.model_fields.items():
        inner = _section_in(field.annotation)
        if inner is None:
            yield Key(prefix + name, field)
        else:
            listed = "[]" if tuple in _types(field.annotation) else ""
            yield from every(inner, f"{prefix}{name}{listed}.")


def nearest(wrong: str) -> str:
    """The known key, or section, that a person most likely meant; or nothing."""
    names = [key.name for key in every()]
    leaf = wrong.rpartition(".")[2]
    elsewhere = [name for name in names if name.rpartition(".")[2] == leaf]
    sections = [name for name in Config.model_fields if name not in names]
    known = elsewhere or get_close_matches(wrong, names + sections, 1)
    return known[0] if known else ""


def value(text: str, *, is_text: bool) -> object:
    """What a variable or a cell of a csv file says: a TOML value, else the text itself.

    For a key that holds text, `1234` and `true` are text.
    """
    if is_text and not text.startswith(('"', "'", "{", "[")):
        return text
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that a type holds: itself, in an optional, or in a tuple."""
    found = (one for one in _types(annotation) if _is_section(one))
    return next(found, None)


def _is_section(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, Section)


def _types(annotation: Any) -> set[Any]:
    """The plain types in an annotation; of a container, itself and what it holds."""
    origin = get_origin(annotation)
    if origin is None:
        return {annotation}
    inner = get_args(annotation)[:1] if origin is Annotated else get_args(annotation)
    if origin is Literal:
        return {type(one) for one in inner}
    return ({origin} & {tuple, dict}).union(*(_types(one) for one in inner))
