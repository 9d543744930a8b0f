"""The lake as SQL views, one per endpoint: pure text, for DuckDB and for Spark.

A view shows the same columns whatever the layout: `account`, the endpoint's columns,
`_extra`; then what they mean: `<name>_label` and `<name>_label_zh` where the catalogue
explains the values, `is_total` where some rows add up the others, `<name>_change` (the
difference to the day before) where a figure is a running total.

Every column is read with the catalogue's type, so that files written before a column
existed show null, and no partition key is left to a reader's guess.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harvester.catalogue.endpoint import Endpoint, Field, Label
from harvester.dates import Granularity
from harvester.lake.layout import Layout
from harvester.lake.sql.dialects import DUCKDB, SPARK, Dialect

Labels = Mapping[str, Sequence[Label]]
"""The enumerations by their names (`Field.labels`)."""

ACCOUNT = Field(name="account", at="", type="string", en="appid of the account")
EXTRA = Field(
    name="_extra", at="", type="string", en="fields unknown to the catalogue, as JSON"
)
_IN_PATH = {
    "bucket": Field(name="bucket", at="", type="string", en="bucket of accounts"),
    "date": Field(name="date", at="", type="date32", en="day of the directory"),
    "month": Field(name="month", at="", type="string", en="month of the directory"),
}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the data files lie: the lake's absolute path and its layout."""

    root: str
    layout: Layout

    @property
    def keys(self) -> tuple[str, str]:
        """The partition keys below an endpoint."""
        upper = "bucket" if self.layout.buckets else "account"
        return upper, "date" if self.layout.date == "day" else "month"

    def of(self, endpoint: Endpoint) -> str:
        """The directory that holds the endpoint's files."""
        return f"{self.root}/data/endpoint={endpoint.id}"


def duckdb(endpoint: Endpoint, labels: Labels, shelf: Shelf, *, empty: bool) -> str:
    """The statement that makes the endpoint's view in DuckDB.

    `empty` says that it has no file yet: DuckDB refuses a glob that matches nothing.
    """
    rows = _no_rows(endpoint, DUCKDB) if empty else _duckdb_rows(endpoint, shelf)
    return (
        f"CREATE OR REPLACE VIEW {DUCKDB.name(endpoint.id)} AS\n"
        f"{_select(endpoint, labels, rows, DUCKDB)};\n"
    )


def spark(endpoint: Endpoint, labels: Labels, shelf: Shelf, *, empty: bool) -> str:
    """The statements that make the endpoint's view in Spark, each ended by `;`.

    `<endpoint>_files` comes first: the files with their explicit schema.
    `empty` says that there is no file yet: Spark refuses a path that does not exist.
    """
    files = "" if empty else f"{_spark_files(endpoint, shelf)};\n"
    rows = _no_rows(endpoint, SPARK) if empty else _spark_rows(endpoint, shelf)
    return (
        f"{files}CREATE OR REPLACE TEMPORARY VIEW {SPARK.name(endpoint.id)} AS\n"
        f"{_select(endpoint, labels, rows, SPARK)};\n"
    )


def columns(endpoint: Endpoint) -> tuple[Field, ...]:
    """What a view takes from the files: account, the endpoint's fields, `_extra`."""
    return (ACCOUNT, *endpoint.fields, EXTRA)


def _select(endpoint: Endpoint, labels: Labels, rows: str, dialect: Dialect) -> str:
    """The files' columns and what follows from them, over `rows`."""
    taken = [dialect.name(field.name) for field in columns(endpoint)]
    changes = list(_changes(endpoint, dialect))
    shown = [*taken, *_meanings(endpoint, labels, dialect), *changes]
    lines = ["SELECT", "  " + ",\n  ".join(shown), "FROM (", rows, ")"]
    return "\n".join([*lines, _series(endpoint, dialect)] if changes else lines)


def _meanings(endpoint: Endpoint, labels: Labels, dialect: Dialect) -> Iterator[str]:
    """The label columns, then `is_total`."""
    totals: list[str] = []
    for field in endpoint.fields:
        known = labels.get(field.labels, ()) if field.type != "list" else ()
        column = dialect.name(field.name)
        english = {each.value: each.en for each in known}
        chinese = {each.value: each.zh for each in known if each.zh}
        for suffix, words in (("_label", english), ("_label_zh", chinese)):
            if words:
                name = dialect.name(field.name + suffix)
                yield f"{_case(column, words, dialect)} AS {name}"
        sums = (_value(each.value, dialect) for each in known if each.total)
        totals += [f"{column} = {value}" for value in sums]
    if totals:
        yield f"coalesce({' OR '.join(totals)}, false) AS {dialect.name('is_total')}"


def _case(column: str, words: Mapping[int | str, str], dialect: Dialect) -> str:
    whens = (
        f"WHEN {_value(value, dialect)} THEN {dialect.text(word)}"
        for value, word in words.items()
    )
    return "\n    ".join([f"CASE {column}", *whens]) + "\n  END"


def _value(value: int | str, dialect: Dialect) -> str:
    return dialect.text(value) if isinstance(value, str) else str(value)


def _changes(endpoint: Endpoint, dialect: Dialect) -> Iterator[str]:
    """The difference to the day before; null where that day is missing.

    An article's first day has none before it: its figure is its own change.
    """
    if endpoint.granularity not in (Granularity.DAY, Granularity.PUBLISH_DAY):
        return
    day, label = dialect.name(_day(endpoint)), dialect.name("ref_date")
    before, series = dialect.day_before.format(day=day), _window(endpoint, dialect)
    for field in endpoint.fields:
        if field.cumulative and field.type != "list":
            figure = dialect.name(field.name)
            first = f" WHEN {day} = {label} THEN {figure}" if day != label else ""
            yield (
                f"CASE{first} WHEN lag({day}) OVER {series} = {before}"
                f" THEN {figure} - lag({figure}) OVER {series} END"
                f" AS {dialect.name(field.name + '_change')}"
            )


def _day(endpoint: Endpoint) -> str:
    """The column that a running total grows along: `stat_date`, or `ref_date`."""
    dated = {field.name for field in endpoint.fields if field.type == "date32"}
    return [name for name in endpoint.key if name in dated][-1]


def _series(endpoint: Endpoint, dialect: Dialect) -> str:
    """The window over one account's (and one article's) days."""
    day = _day(endpoint)
    others = ["account", *(name for name in endpoint.key if name != day)]
    partition = ", ".join(dialect.name(name) for name in others)
    name = _window(endpoint, dialect)
    return f"WINDOW {name} AS (PARTITION BY {partition} ORDER BY {dialect.name(day)})"


def _window(endpoint: Endpoint, dialect: Dialect) -> str:
    """Its name: DuckDB 1 wants another one for every statement of a script."""
    return dialect.name(f"{endpoint.id}_days")


def _no_rows(endpoint: Endpoint, dialect: Dialect) -> str:
    nulls = (
        f"CAST(NULL AS {dialect.type(field)}) AS {dialect.name(field.name)}"
        for field in columns(endpoint)
    )
    return f"  SELECT {', '.join(nulls)} WHERE false"


def _duckdb_rows(endpoint: Endpoint, shelf: Shelf) -> str:
    """The rows of all files. What the path says is taken from it: DuckDB then opens
    only the files that a condition on the account or the day lets through.
    """
    in_path = {
        "account": "/account=([^/]+)/[^/]+/[^/]+$",
        "date": "/date=([^/]+)/[^/]+$",
    }
    found = {
        "ref_date" if key == "date" else key: in_path[key]
        for key in shelf.keys
        if key in in_path
    }
    shown = [_duckdb_value(field, found.get(field.name)) for field in columns(endpoint)]
    inside = [field for field in columns(endpoint) if field.name not in found]
    upper, lower = shelf.keys
    pattern = f"{DUCKDB.glob(shelf.of(endpoint))}/{upper}=*/{lower}=*/*.parquet"
    lines = ["SELECT " + ", ".join(shown), f"FROM {duckdb_files([pattern], inside)}"]
    return "\n".join(f"  {line}" for line in lines)


def duckdb_files(patterns: Iterable[str], fields: Iterable[Field]) -> str:
    """The rows of these files as a relation: the fields, and `filename`."""
    listed = ", ".join(map(DUCKDB.text, patterns))
    inside = ",\n    ".join(map(_duckdb_column, fields))
    return f"read_parquet([{listed}], filename = true, schema = MAP {{\n    {inside}\n  }})"


def _duckdb_value(field: Field, in_path: str | None) -> str:
    name = DUCKDB.name(field.name)
    if in_path is None:
        return name
    found = f"regexp_extract(filename, {DUCKDB.text(in_path)}, 1)"
    return f"CAST({found} AS {DUCKDB.type(field)}) AS {name}"


def _duckdb_column(field: Field) -> str:
    name, kind = DUCKDB.text(field.name), DUCKDB.text(DUCKDB.type(field))
    return f"{name}: {{name: {name}, type: {kind}, default_value: NULL}}"


def _spark_files(endpoint: Endpoint, shelf: Shelf) -> str:
    """The view of the files as they lie, the keys of the path among its columns."""
    keys = (_IN_PATH[key] for key in shelf.keys if key in _IN_PATH)
    listed = (
        f"{SPARK.name(field.name)} {SPARK.type(field)} COMMENT {SPARK.text(field.en)}"
        for field in (*columns(endpoint), *keys)
    )
    path = SPARK.text(SPARK.glob(shelf.of(endpoint)))
    lines = [
        f"CREATE OR REPLACE TEMPORARY VIEW {SPARK.name(endpoint.id + '_files')} (",
        "  " + ",\n  ".join(listed),
        f") USING parquet OPTIONS (path {path})",
    ]
    return "\n".join(lines)


def _spark_rows(endpoint: Endpoint, shelf: Shelf) -> str:
    """The rows of all files; the day from the path, so that Spark skips directories."""
    renamed = {"ref_date": f"{SPARK.name('date')} AS {SPARK.name('ref_date')}"}
    instead = renamed if shelf.layout.date == "day" else {}
    shown = (
        instead.get(field.name, SPARK.name(field.name)) for field in columns(endpoint)
    )
    return "\n".join(
        [f"  SELECT {', '.join(shown)}", f"  FROM {SPARK.name(endpoint.id + '_files')}"]
    )
