"""What the catalogue says of one endpoint: frozen records, no behaviour of their own.

The TOML files beside this module hold the values, `load` reads and checks them.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from harvester.dates import Granularity


class Status(StrEnum):
    """Whether WeChat still offers the endpoint, by its documents."""

    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One value of an enumeration."""

    value: int | str
    en: str
    zh: str = ""
    total: bool = False
    """The row adds up the others: never add it to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column: where it stands in the answer, and what it means."""

    name: str
    """The column. A source name equal to a path key carries a `_` suffix."""

    at: str
    """Its place in the answer: `list[].details[].stat_date`, `ref_date`.

    `name[]` is each element of an array, so that a column of type list ends
    without brackets: `list[].detail.read_user_source`. Where rows stand in several
    arrays, places are written under the first and hold for all. `@rows` is the
    name of the array that the row came from.
    """

    type: str
    """int32, int64, float64, string, bool, date32, or list (of structs)."""

    nullable: bool = False
    """Whether an answer may leave it out or send null."""

    en: str = ""
    zh: str = ""
    unit: str = ""
    labels: str = ""
    """The enumeration that explains the values, or nothing."""

    additive: bool = False
    """Whether values of different rows may be added up."""

    cumulative: bool = False
    """A running total: the day's own figure is the difference to the day before."""

    fields: tuple["Field", ...] = ()
    """The members of a list's structs; their `at` is a plain name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How a window is asked for."""

    method: str = "POST"
    """POST sends the dates as a JSON body, GET in the query string."""

    first: str = "begin_date"
    last: str = "end_date"
    format: str = "YYYY-MM-DD"
    whole_period: bool = False
    """The last day sent is the end of its week or month, not its label.

    Such an endpoint takes one period a call: its span, counted from label to
    label, is 1.
    """

    constant: tuple[tuple[str, str], ...] = ()
    """Query parameters that never change, such as `action`."""

    page: str = ""
    """The query parameter that counts pages from 1; nothing: no paging."""

    page_size: tuple[str, int] = ("page_size", 90)
    total: str = "total_num"
    """Where a paged answer says how many rows there are in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One statistic of WeChat: path, span, granularity, schema."""

    id: str
    family: str
    path: str
    en: str
    zh: str = ""
    span: int
    """The longest window in days, both ends included (`end - begin < span`)."""

    safe_span: int
    """The span that every document, old and new, allows."""

    granularity: Granularity
    earliest: int
    """The first day that WeChat holds (a day's ordinal)."""

    settle_days: int = 0
    """How long after its date a cell may still change."""

    permission_set: int | None = None
    status: Status = Status.ACTIVE
    replaced_by: tuple[str, ...] = ()
    request: Request = field(default_factory=Request)
    errors: tuple[str, str] = ("errcode", "errmsg")
    """Where an answer names its error: dotted paths of code and message."""

    rows: tuple[str, ...] = ("list[]",)
    """Where the rows stand: `list[]`, `list[].details[]`, or several arrays."""

    label: str = "list[].ref_date"
    """Where a row's date stands in the answer."""

    label_format: str = "YYYY-MM-DD"
    """How the answer writes dates: the label, and other date32 columns."""

    key: tuple[str, ...]
    """The columns that tell the rows of an account apart."""

    fields: tuple[Field, ...]
    """The columns of the data file in order; `ref_date` is always the first."""

    source: str = ""
    """The page that documents it."""

    notes: tuple[str, ...] = ()
