"""Reads `accounts.toml`: the file, what the environment overrides, the accounts file.

Everything is read and checked once, before anything is done; all findings are told
at once. What comes out is frozen.
"""

import copy
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harvester import dates
from harvester.accounts import Account
from harvester.catalogue.load import catalogue
from harvester.config import accounts_file, keys, lines, problems
from harvester.config.accounts_file import Listed
from harvester.config.fields import Source
from harvester.config.models import Config
from harvester.config.origins import Origins, Value, effective, flat
from harvester.errors import UsageError
from harvester.secret import Secret


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that holds, and all accounts of it."""

    path: Path
    config: Config
    accounts: tuple[Account, ...]
    values: tuple[Value, ...]
    secrets: tuple[Secret, ...]
    warnings: tuple[str, ...]


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """The configuration in this file. Raises UsageError with every finding in a line."""
    text = _text(path)
    written = _toml(path, text)
    variables = _variables(environ)
    overrides = {place: key.variable for place, key in variables.items()}
    origins = Origins(path.name, lines.of(text), dict(flat(written)), overrides)
    source = Source(path.absolute().parent, environ)
    config = _validated(_overridden(written, variables, environ), source, origins)
    listed = Source(path.absolute().parent, environ)
    return Loaded(
        path=path,
        config=config,
        accounts=tuple(_accounts(config, listed, origins)),
        values=tuple(effective(config, origins)),
        secrets=(*source.secrets, *listed.secrets),
        warnings=(
            *_not_yet(config),
            *_open_to_all(path, source),
            *_open_to_all(config.accounts_file, listed),
        ),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        todo = "`harvester init` writes one; --config names another"
        raise UsageError(f"{path}: no such file", todo) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", "save it as UTF-8") from error


def _toml(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path.name}: not valid TOML: {error}") from error


def _variables(environ: Mapping[str, str]) -> dict[str, keys.Key]:
    """The keys that the environment overrides, by their place."""
    known = {key.variable: key for key in keys.every() if "[]" not in key.name}
    given = sorted(name for name in environ if name.startswith(keys.VARIABLE_PREFIX))
    unknown = [_unknown_variable(name, known) for name in given if name not in known]
    if unknown:
        raise problems.refused(unknown)
    return {known[name].name: known[name] for name in given}


def _unknown_variable(name: str, known: Mapping[str, keys.Key]) -> str:
    place = name.removeprefix(keys.VARIABLE_PREFIX).lower().replace("__", ".")
    meant = next(
        (key for key in known.values() if key.name == keys.nearest(place)), None
    )
    mend = (
        f"did you mean {meant.variable}?"
        if meant
        else "`harvester config` lists the keys"
    )
    return f"environment variable {name}: unknown key; {mend}"


def _overridden(
    written: dict[str, Any],
    variables: Mapping[str, keys.Key],
    environ: Mapping[str, str],
) -> dict[str, Any]:
    data = copy.deepcopy(written)
    for place, key in variables.items():
        section, _, name = place.rpartition(".")
        table = data.setdefault(section, {}) if section else data
        if isinstance(table, dict):
            table[name] = _override(key, environ[key.variable])
    return data


def _override(key: keys.Key, text: str) -> object:
    """A secret goes on as the variable's name, so that it counts as not written down."""
    value = keys.value(text, is_text=key.is_text)
    return {"env": key.variable} if key.is_secret and isinstance(value, str) else value


def _validated(data: dict[str, Any], source: Source, origins: Origins) -> Config:
    try:
        return Config.model_validate(data, context=source)
    except ValidationError as error:
        raise problems.refused(list(problems.of(error, origins.near))) from None


def _accounts(config: Config, source: Source, origins: Origins) -> list[Account]:
    return accounts_file.unique(_listed(config, source, origins))


def _listed(config: Config, source: Source, origins: Origins) -> Iterator[Listed]:
    """All accounts with their places; UsageError when some cannot work."""
    unknown = _selectors(config.endpoints_file)
    wrong = [
        f"{origins.near('harvest.endpoints')}: harvest.endpoints: {complaint}"
        for complaint in filter(None, map(unknown, config.harvest.endpoints))
    ]
    for place, account in _everywhere(config, source, origins):
        wrong += [f"{place}: {complaint}" for complaint in _unworkable(config, account)]
        wrong += [
            f"{place}: {one}" for one in filter(None, map(unknown, account.endpoints))
        ]
        yield place, account
    if wrong:
        raise problems.refused(wrong)


def _selectors(extra: Path | None) -> Callable[[str], str]:
    """Tells what is wrong with a selector of endpoints; nothing: it names some."""
    known = catalogue(extra)

    @cache
    def complaint(selector: str) -> str:
        try:
            known.select([selector])
        except UsageError as error:
            return str(error)
        return ""

    return complaint


def _everywhere(config: Config, source: Source, origins: Origins) -> Iterator[Listed]:
    for number, entry in enumerate(config.accounts):
        place = f"accounts[{number}]"
        yield f"{origins.near(place)}: {place}", accounts_file.of(entry)
    if config.accounts_file:
        yield from accounts_file.listed(config.accounts_file, source)


def _unworkable(config: Config, account: Account) -> Iterator[str]:
    """What the rest of the configuration does not allow this account."""
    platform, until = config.platform, config.harvest.until
    if account.refresh_token and not (platform and platform.secret):
        yield "refresh_token needs [platform] with a secret: it was authorised to one"
    if account.credential == "platform" and not platform:
        yield "no way to a token: give it secret or token_url, or fill in [platform]"
    if account.since and isinstance(until, int) and account.since > until:
        yield f"since ({dates.text(account.since)}) is after harvest.until ({dates.text(until)})"


def _open_to_all(path: Path | None, source: Source) -> Iterator[str]:
    if path and source.plain and path.stat().st_mode & stat.S_IROTH:
        yield (
            f"{path.name} holds secrets and everybody on this machine can read it: "
            f'chmod 600 {path}, or write {{ env = "NAME" }}'
        )


def _not_yet(config: Config) -> Iterator[str]:
    """What is asked for in writing and not done by this build."""
    if config.lake.raw:
        yield "lake.raw: this build keeps no archive of raw answers"
    platform = config.platform
    if platform and platform.discover and "discover" in platform.model_fields_set:
        yield "platform.discover: this build harvests the listed accounts alone"
