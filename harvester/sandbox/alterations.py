"""Answers that say something wrong: changes of the document, then of its bytes.

An alteration of a document changes it in place and returns whether it could: a body
without rows cannot have a wrong one. One of bytes returns None where it cannot.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import orjson

Document = dict[str, Any]
Row = dict[str, Any]

_NO_FIGURES = {
    "ref_hour",
    "user_source",
    "share_scene",
    "msg_type",
    "count_interval",
    "publish_type",
}


def encode(document: Any) -> bytes:
    """The document as JSON; numbers beyond 64 bits too."""
    try:
        return orjson.dumps(document)
    except TypeError:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _rows(document: Document) -> list[Row]:
    rows = document.get("list")
    return rows if isinstance(rows, list) else []


def _records(document: Document) -> list[Row]:
    """The objects that hold the figures: the rows, or what is nested in them."""
    found: list[Row] = []
    for row in _rows(document):
        nested = (
            row.get("detail") or row.get("details") or row.get("detail_list") or row
        )
        found.extend(nested if isinstance(nested, list) else [nested])
    return found


def _figure(record: Row, name: str) -> str | None:
    """The named field, or the last whole number that is a figure."""
    if name:
        return name if name in record else None
    figures = [
        key
        for key, value in record.items()
        if type(value) is int and key not in _NO_FIGURES
    ]
    return figures[-1] if figures else None


def _put(value: Any) -> Callable[[Document, str], bool]:
    """Puts this value in place of a figure of the first record."""

    def alter(document: Document, name: str) -> bool:
        for record in _records(document)[:1]:
            figure = _figure(record, name)
            if figure is not None:
                record[figure] = value
                return True
        return False

    return alter


fraction = _put(1.5)
boolean = _put(True)
huge_integer = _put(2**64)
null_field = _put(None)


def missing_field(document: Document, name: str) -> bool:
    """Leaves a field out of the first record."""
    for record in _records(document)[:1]:
        figure = _figure(record, name)
        if figure is not None:
            del record[figure]
            return True
    return False


def extra_field(document: Document, name: str) -> bool:
    """Adds a field that no document knows to every record."""
    records = _records(document)
    for record in records:
        record[name] = {"values": [1, "二"], "note": "new"}
    return bool(records)


def text_numbers(document: Document, _: str) -> bool:
    """Writes every whole number of the rows as text."""
    document["list"] = _as_text(_rows(document))
    return bool(document["list"])


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_text(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_as_text(member) for member in value]
    return str(value) if type(value) is int else value


def outside(document: Document, date: str) -> bool:
    """Adds a copy of the last row under a date that nobody asked for."""
    rows = _rows(document)
    rows.extend([{**rows[-1], "ref_date": date}] if rows else [])
    return bool(rows)


def only_outside(document: Document, date: str) -> bool:
    """Puts every row under a date that nobody asked for."""
    rows = _rows(document)
    for row in rows:
        row["ref_date"] = date
    return bool(rows)


def duplicate_rows(document: Document, _: str) -> bool:
    """Sends the last row twice."""
    rows = _rows(document)
    rows.extend(rows[-1:])
    return bool(rows)


def delayed(document: Document, spelling: str) -> bool:
    """Says that the figures are not final, as a boolean or as text."""
    document["is_delay"] = "true" if spelling == "text" else True
    return True


def empty_list(document: Document, _: str) -> bool:
    """Sends no row."""
    document["list"] = []
    return True


def no_list(document: Document, _: str) -> bool:
    """Sends a success without the rows' place."""
    document.clear()
    document.update({"errcode": 0, "errmsg": "ok"})
    return True


def zero_code(document: Document, _: str) -> bool:
    """Says success twice: rows, and an errcode of 0."""
    document.update({"errcode": 0, "errmsg": "ok"})
    return True


def without_refresh_token(document: Document, _: str) -> bool:
    """Hands out an account's token with an empty refresh token."""
    if "authorizer_refresh_token" not in document:
        return False
    document["authorizer_refresh_token"] = ""
    return True


def without_tokens(document: Document, _: str) -> bool:
    """Grants nothing that needs a token."""
    granted = document.get("authorization_info", {})
    for name in ("authorizer_access_token", "authorizer_refresh_token", "expires_in"):
        granted.pop(name, None)
    return bool(granted)


def empty_token(document: Document, _: str) -> bool:
    """Leaves the token's value out of a success."""
    named = [name for name in document if name.endswith("access_token")]
    document.update(dict.fromkeys(named, ""))
    return bool(named)


_NUMBER = re.compile(rb"(:)\d+(?=[,}\]])")
_CODE = re.compile(rb'("errcode":)(-?\d+)')
_TITLE = re.compile(rb'("title":")')
_DATE = re.compile(rb'("ref_date":"[^"]*")')


def _replaced(
    pattern: re.Pattern[bytes], by: bytes
) -> Callable[[bytes, str], bytes | None]:
    """Replaces the first match; None where there is none."""

    def spell(body: bytes, _: str) -> bytes | None:
        changed, times = pattern.subn(lambda match: match[1] + by, body, count=1)
        return changed if times else None

    return spell


nan = _replaced(_NUMBER, b"NaN")
control_characters = _replaced(_TITLE, b"\x01\t\n")
bad_utf8 = _replaced(_TITLE, b"\xff\xfe")
lone_surrogate = _replaced(_TITLE, rb"\ud83d")
duplicate_keys = _replaced(_DATE, b',"ref_date":"2001-01-01"')


def text_code(body: bytes, _: str) -> bytes:
    """Writes the error code as text."""
    return _CODE.sub(rb'\1"\2"', body)


def bom(body: bytes, _: str) -> bytes:
    """Puts a byte order mark in front."""
    return b"\xef\xbb\xbf" + body


def cut(body: bytes, _: str) -> bytes:
    """Sends the first half as if it were all."""
    return body[: len(body) // 2]


def array(body: bytes, _: str) -> bytes:
    """Sends a JSON array in place of the object."""
    return b"[" + body + b"]"


def deep(body: bytes, depth: str) -> bytes:
    """Nests an array deeper than parsers allow."""
    return b'{"list":' + b"[" * int(depth) + b"]" * int(depth) + b"}"
