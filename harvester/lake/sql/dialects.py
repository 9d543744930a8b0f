"""How DuckDB and Spark write names, texts, types and days."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from harvester.catalogue.endpoint import Field


@dataclass(frozen=True, slots=True)
class Dialect:
    """One reader's spelling; nothing reaches its SQL unquoted."""

    name: Callable[[str], str]
    """A column or view."""

    text: Callable[[str], str]
    """A string, quotes included: `it's` becomes `'it''s'`."""

    glob: Callable[[str], str]
    """A path as a pattern that matches nothing else."""

    type: Callable[[Field], str]
    day_before: str
    """The day before the day column put in for `{day}`."""


_TYPES = {"int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "date32": "DATE"}
_DUCKDB_TYPES = {**_TYPES, "int32": "INTEGER", "string": "VARCHAR"}
_SPARK_TYPES = {**_TYPES, "int32": "INT", "string": "STRING"}


def _double_quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _backticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _duckdb_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _spark_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _duckdb_glob(path: str) -> str:
    return re.sub(r"([\[*?])", r"[\1]", path)


def _spark_glob(path: str) -> str:
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)


def _duckdb_type(field: Field) -> str:
    if field.type != "list":
        return _DUCKDB_TYPES[field.type]
    members = (
        f"{_double_quoted(each.name)} {_duckdb_type(each)}" for each in field.fields
    )
    return f"STRUCT({', '.join(members)})[]"


def _spark_type(field: Field) -> str:
    if field.type != "list":
        return _SPARK_TYPES[field.type]
    members = (
        f"{_backticked(each.name)}: {_spark_type(each)}" for each in field.fields
    )
    return f"ARRAY<STRUCT<{', '.join(members)}>>"


DUCKDB = Dialect(
    name=_double_quoted,
    text=_duckdb_text,
    glob=_duckdb_glob,
    type=_duckdb_type,
    day_before="{day} - 1",
)
SPARK = Dialect(
    name=_backticked,
    text=_spark_text,
    glob=_spark_glob,
    type=_spark_type,
    day_before="date_sub({day}, 1)",
)
