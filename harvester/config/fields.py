"""The kinds of value a configuration holds: how each is read, checked and shown.

A validator raises ValueError with what was expected; pydantic adds the place.
What a value may point at (files, variables) comes as `Source` in the validation's
context, so that nothing here asks for the working directory or the environment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
)

from harvester import dates, secret
from harvester.errors import AuthorisationError
from harvester.secret import Secret

FIRST_DAY = dates.parse("2014-12-01")
"""WeChat holds no statistics of earlier days."""

_APPID = re.compile(r"wx[0-9a-f]{16}")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """What values may point at, and the secrets found on the way."""

    folder: Path = field(default_factory=Path.cwd)
    environ: Mapping[str, str] = field(default_factory=dict)
    secrets: list[Secret] = field(default_factory=list)
    plain: list[Secret] = field(default_factory=list)
    """Those of them that stand in the file itself."""


def _source(info: ValidationInfo) -> Source:
    return info.context if isinstance(info.context, Source) else Source()


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {expected}")
    return value


def _secret(value: object, info: ValidationInfo) -> Secret:
    source = _source(info)
    found = secret.resolve(value, source.folder, source.environ)
    source.secrets.append(found)
    if isinstance(value, str):
        source.plain.append(found)
    return found


@dataclass(frozen=True, slots=True)
class Ticket:
    """Reads the ticket anew: another program replaces its file every ten minutes."""

    value: Secret
    file: Path | None = None

    def __call__(self) -> Secret:
        """The newest ticket; AuthorisationError when its file holds none."""
        try:
            return secret.from_file(self.file) if self.file else self.value
        except ValueError as error:
            raise AuthorisationError(
                f"platform.ticket: {error}", "put it there"
            ) from None


def _ticket(value: object, info: ValidationInfo) -> Ticket:
    found = _secret(value, info)
    if isinstance(value, dict) and "file" in value:
        return Ticket(found, _source(info).folder / Path(value["file"]).expanduser())
    return Ticket(found)


def _appid(value: object) -> str:
    expected = "wx and 16 characters of 0-9 and a-f"
    if not _APPID.fullmatch(_text(value, expected)):
        raise ValueError(f"expected {expected}, got {str(value)[:40]!r}")
    return str(value)


def _day(value: object) -> int:
    """Takes a TOML date or its text; days are ordinals from here on."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    try:
        day = dates.parse(_text(value, "a date"))
    except ValueError:
        raise ValueError("expected a date such as 2024-12-07") from None
    if day < FIRST_DAY:
        raise ValueError(f"expected a date from 2014-12-01 on, got {dates.text(day)}")
    return day


def _last_day(value: object) -> int | str:
    if value == "yesterday":
        return "yesterday"
    try:
        return _day(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "yesterday"') from None


def _clock(value: object) -> time:
    if isinstance(value, time):
        value = value.isoformat("minutes")
    match = _CLOCK.fullmatch(_text(value, '"HH:MM"'))
    if match is None:
        raise ValueError(f'expected "HH:MM", 00:00 to 23:59, got {str(value)[:40]!r}')
    return time(int(match[1]), int(match[2]))


def _url(value: object) -> str:
    """Never repeats the value: an address may carry a password."""
    expected = "an address such as https://example.com"
    text = _text(value, expected).rstrip("/")
    try:
        parts = urlsplit(text)
        known = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
        )
    except ValueError:
        known = False
    if not known or not text.isprintable() or " " in text or parts.fragment:
        raise ValueError(f"expected {expected} (http or https)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected an address without user name and password in it")
    return text


def _token_url(value: object) -> str:
    text = _url(value)
    if "{appid}" not in text:
        raise ValueError(
            "expected {appid} in the address, where the account's appid goes"
        )
    return text


def _file(value: object, info: ValidationInfo) -> Path:
    name = _text(value, "a file's path")
    if not name.strip():
        raise ValueError("expected a file's path")
    return _source(info).folder / Path(name).expanduser()


def _lake(value: object, info: ValidationInfo) -> str:
    name = _text(value, "a directory's path")
    if _SCHEME.match(name):
        raise ValueError(
            "expected a local directory: this build keeps its lake on a disk"
        )
    return str(_file(value, info))


def _vault(value: object, info: ValidationInfo) -> str:
    """SQLite's address with the file made absolute; Redis's as it is.

    Never repeats the value: an address may carry a password.
    """
    expected = "sqlite:///FILE or redis://HOST"
    name = _text(value, expected)
    if name.startswith(("redis://", "rediss://")):
        return _redis(name, info)
    if not name.startswith("sqlite:///") or name == "sqlite:///" or "?" in name:
        raise ValueError(f"expected {expected}")
    return f"sqlite:///{_file(name.removeprefix('sqlite:///'), info)}"


def _redis(url: str, info: ValidationInfo) -> str:
    try:
        password = urlsplit(url).password
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host:
        raise ValueError("expected redis://HOST, with port and number of its database")
    if password:
        source = _source(info)
        source.secrets.append(Secret(password))
        source.plain.append(Secret(password))
    return url


def _shown_vault(url: str) -> str:
    """Without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme != "sqlite" else url


def _keys(value: object, info: ValidationInfo) -> tuple[Secret, ...]:
    """A single secret, or a list of them."""
    every = value if isinstance(value, list | tuple) else [value]
    return tuple(_secret(one, info) for one in every)


def _callback_path(value: object) -> str:
    expected = "a path such as /wechat/events, not /authorize or /authorized"
    text = _text(value, expected)
    taken = text.rstrip("/") in ("", "/authorize", "/authorized")
    if not text.startswith("/") or taken or not text.isprintable() or " " in text:
        raise ValueError(f"expected {expected}")
    return text


def _daily_calls(value: object) -> int | str:
    if value == "ask":
        return "ask"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ValueError('expected "ask" or a whole number from 1')


def _ages(value: object) -> tuple[int, ...]:
    expected = "ages in days from 1 to 366, ascending, such as [1, 2, 3, 7]"
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected {expected}")
    if any(type(age) is not int or not 1 <= age <= 366 for age in value):
        raise ValueError(f"expected {expected}")
    if list(value) != sorted(set(value)):
        raise ValueError(f"expected {expected}, got {list(value)}")
    return tuple(value)


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("expected at least one")
    return values


def as_tuple(value: object) -> object:
    """TOML has lists, frozen models have tuples."""
    return tuple(value) if isinstance(value, list) else value


def _shown_ticket(_: object) -> str:
    return "***"


def _shown_day(value: int | str) -> str:
    return dates.text(value) if isinstance(value, int) else value


SecretValue = Annotated[Secret, PlainValidator(_secret), PlainSerializer(str)]
TicketValue = Annotated[Ticket, PlainValidator(_ticket), PlainSerializer(_shown_ticket)]
AppId = Annotated[str, PlainValidator(_appid)]
Day = Annotated[int, PlainValidator(_day), PlainSerializer(_shown_day)]
LastDay = Annotated[int | str, PlainValidator(_last_day), PlainSerializer(_shown_day)]
Clock = Annotated[
    time, PlainValidator(_clock), PlainSerializer(lambda at: at.strftime("%H:%M"))
]
Url = Annotated[str, PlainValidator(_url)]
TokenUrl = Annotated[str, PlainValidator(_token_url)]
File = Annotated[Path, PlainValidator(_file), PlainSerializer(str)]
LakePath = Annotated[str, PlainValidator(_lake)]
VaultUrl = Annotated[str, PlainValidator(_vault), PlainSerializer(_shown_vault)]
Keys = Annotated[
    tuple[Secret, ...],
    PlainValidator(_keys),
    PlainSerializer(lambda keys: [*map(str, keys)]),
]
CallbackPath = Annotated[str, PlainValidator(_callback_path)]
DailyCalls = Annotated[int | str, PlainValidator(_daily_calls)]
Ages = Annotated[tuple[int, ...], PlainValidator(_ages), PlainSerializer(list)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
SomeNames = Annotated[Names, AfterValidator(_some)]
Urls = Annotated[tuple[Url, ...], BeforeValidator(as_tuple)]
