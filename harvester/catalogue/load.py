"""The catalogue: every endpoint and enumeration, read from TOML and checked once.

The files beside this module are shipped; an operator may add a file of the same
format. Its endpoints and labels come after the shipped ones and never silently
redefine them.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from harvester.catalogue import merge
from harvester.catalogue.endpoint import Endpoint, Label
from harvester.catalogue.records import FILE
from harvester.catalogue.values import Shape, nearest, text
from harvester.errors import UsageError

GROUPS = {"official_account": ("user", "article", "message", "interface")}
"""Names for several families at once."""

SHIPPED = ("labels.toml", "user.toml", "article.toml", "message.toml", "interface.toml")
"""The catalogue's files, in the catalogue's order."""

_SHIPPED_FILE = Shape({**FILE.readers, "version": text})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All endpoints by id, and all enumerations by name."""

    version: str
    endpoints: Mapping[str, Endpoint]
    labels: Mapping[str, tuple[Label, ...]]

    def select(self, selectors: Iterable[str]) -> tuple[Endpoint, ...]:
        """The endpoints that any of these names: ids, globs over ids, families, groups.

        In the catalogue's order, each once. Raises UsageError for a selector that
        names nothing.
        """
        wanted: set[str] = set()
        for selector in selectors:
            found = [one.id for one in self.endpoints.values() if _names(selector, one)]
            if not found:
                raise UsageError(
                    f"no endpoint matches {selector!r}", self._meant(selector)
                )
            wanted.update(found)
        return tuple(one for one in self.endpoints.values() if one.id in wanted)

    def _meant(self, selector: str) -> str:
        families = {endpoint.family for endpoint in self.endpoints.values()}
        return nearest(selector, {*self.endpoints, *families, *GROUPS})


def _names(selector: str, endpoint: Endpoint) -> bool:
    return (
        selector in (endpoint.id, endpoint.family)
        or endpoint.family in GROUPS.get(selector, ())
        or fnmatchcase(endpoint.id, selector)
    )


def catalogue(extra: Path | None = None) -> Catalogue:
    """The shipped catalogue, with an operator's own file added.

    Raises UsageError naming file, endpoint and field of the first thing wrong.
    """
    shipped = _shipped()
    if extra is None:
        return shipped
    data = _bytes(extra)
    added = _add(shipped, FILE.read(_toml(data, extra.name), extra.name), extra.name)
    digest = hashlib.sha256(data).hexdigest()[:8]
    return replace(added, version=f"{shipped.version}+{digest}")


@cache
def _shipped() -> Catalogue:
    folder = resources.files("harvester.catalogue")
    known = Catalogue("", {}, {})
    for name in SHIPPED:
        content = _SHIPPED_FILE.read(_toml((folder / name).read_bytes(), name), name)
        known = _add(known, content, name)
    return known


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        raise UsageError(message, "endpoints_file names a file of endpoints") from None


def _toml(data: bytes, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name}: byte {error.start} is not UTF-8", "save it as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: not TOML: {error}") from None


def _add(known: Catalogue, content: Mapping[str, Any], name: str) -> Catalogue:
    labels = merge.labels(known.labels, content, name)
    endpoints = merge.endpoints(known.endpoints, labels, content, name)
    return Catalogue(content.get("version", known.version), endpoints, labels)
