"""Accounts from a file of their own: csv, jsonl or parquet, one account a row.

The columns are the keys of `[[accounts]]`. A csv cell is read like an environment
variable: text, a number, or `{ env = "NAME" }` for a secret; an empty one says nothing.
"""

import csv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from harvester.accounts import Account
from harvester.config import keys, problems
from harvester.config.fields import Source
from harvester.config.models import AccountEntry
from harvester.errors import UsageError

HOLDS_TEXT = {key.name: key.is_text for key in keys.every(AccountEntry)}
"""The columns, and whether `1234` in one of them is text."""

BATCH = 4096

Rows = Iterator[tuple[int, dict[str, Any]]]
"""The number of a row's line in the file, and its values by column."""

Listed = tuple[str, Account]
"""Where an account stands (`accounts.csv:7`), and the account."""


def load_accounts_file(path: Path, source: Source | None = None) -> list[Account]:
    """The accounts of a file; UsageError names the lines that are wrong or doubled."""
    return unique(listed(path, source or Source(folder=path.parent)))


def listed(path: Path, source: Source) -> Iterator[Listed]:
    """The accounts one by one, with their places; UsageError after the last row."""
    wrong: list[str] = []
    for line, row in _rows(path):
        place = f"{path.name}:{line}"
        try:
            yield place, of(AccountEntry.model_validate(row, context=source))
        except ValidationError as error:
            wrong += problems.of(error, partial(_in_row, place), "accounts[].")
        if len(wrong) >= problems.MOST:
            break
    if wrong:
        raise problems.refused(wrong)


def _in_row(place: str, _: str) -> str:
    """Whatever is wrong in a row stands in its line."""
    return place


def of(entry: AccountEntry) -> Account:
    """The account that a row or a table of the configuration describes."""
    return Account(
        appid=entry.appid,
        name=entry.name,
        secret=entry.secret,
        refresh_token=entry.refresh_token,
        token_url=entry.token_url or "",
        endpoints=entry.endpoints,
        since=entry.since,
        calls_per_second=entry.calls_per_second,
    )


def unique(accounts: Iterator[Listed]) -> list[Account]:
    """All of them; UsageError names both places of an appid that stands twice."""
    places: dict[str, str] = {}
    kept: list[Account] = []
    twice: list[str] = []
    for place, account in accounts:
        first = places.setdefault(account.appid, place)
        kept.append(account)
        if first != place:
            twice.append(
                f"{place}: appid {account.appid} stands at {first} already: keep one"
            )
    if twice:
        raise problems.refused(twice)
    return kept


def _rows(path: Path) -> Rows:
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageError(f"{path}: expected a file that ends in {', '.join(_READERS)}")
    try:
        yield from read(path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot read the accounts: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", "save it as UTF-8") from error


def _csv(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            columns = _header(path, next(reader, []))
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, _cells(path, reader.line_num, columns, cells)
        except csv.Error as error:
            raise UsageError(
                f"{path.name}:{reader.line_num}: not csv: {error}"
            ) from error


def _header(path: Path, cells: list[str]) -> list[str]:
    columns = [cell.strip() for cell in cells]
    wrong = [f"unknown column {one!r}" for one in columns if one not in HOLDS_TEXT]
    if len(set(columns)) < len(columns):
        wrong.append("a column stands twice")
    if "appid" not in columns:
        wrong.append("no column appid")
    if wrong:
        known = f"the columns may be {', '.join(HOLDS_TEXT)}"
        raise UsageError(f"{path.name}:1: {'; '.join(wrong)}", known)
    return columns


def _cells(
    path: Path, line: int, columns: list[str], cells: list[str]
) -> dict[str, Any]:
    if len(cells) > len(columns):
        raise UsageError(
            f"{path.name}:{line}: {len(cells)} cells, but the header has {len(columns)} columns"
        )
    filled = (
        (column, cell.strip()) for column, cell in zip(columns, cells, strict=False)
    )
    return {column: _cell(column, cell) for column, cell in filled if cell}


def _cell(column: str, cell: str) -> object:
    if column == "endpoints":
        return _names(cell)
    return keys.value(cell, is_text=HOLDS_TEXT[column])


def _names(value: object) -> object:
    """Selectors written with semicolons between them."""
    if not isinstance(value, str):
        return value
    return [name.strip() for name in value.split(";") if name.strip()]


def _jsonl(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _said(_json(path, number, line))


def _json(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path.name}:{number}: not JSON: {error.msg}") from error
    if not isinstance(row, dict):
        raise UsageError(f"{path.name}:{number}: expected one JSON object a line")
    return row


def _parquet(path: Path) -> Rows:
    import pyarrow.parquet as pq  # a tenth of a second that csv need not wait for
    from pyarrow import ArrowInvalid

    try:
        batches = pq.ParquetFile(path).iter_batches(BATCH)
        rows = (row for batch in batches for row in batch.to_pylist())
        yield from enumerate(map(_said, rows), 1)
    except ArrowInvalid as error:
        raise UsageError(f"{path.name}: not a Parquet file: {error}") from error


def _said(row: dict[str, Any]) -> dict[str, Any]:
    """The row without its nulls."""
    said = {key: value for key, value in row.items() if value is not None}
    return (
        {**said, "endpoints": _names(said["endpoints"])}
        if "endpoints" in said
        else said
    )


_READERS: dict[str, Callable[[Path], Rows]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
