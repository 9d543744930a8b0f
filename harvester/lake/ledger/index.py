"""The ledger in memory: columns of small integers, sorted by account and endpoint.

100,000 accounts have millions of entries, so that no Python object stands for one
until somebody asks for its account. An index is a few pages, oldest first; what a run
adds makes small pages, which are merged like the digits of a counter.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from harvester import dates
from harvester.dates import EPOCH, Days
from harvester.plan import Known, Outcome

T = TypeVar("T")

Letter = Literal["b", "h", "i", "q"]

COLUMNS: dict[str, tuple[pa.DataType, Letter]] = {
    "account": (pa.int32(), "i"),
    "endpoint": (pa.int16(), "h"),
    "first_date": (pa.int32(), "i"),
    "last_date": (pa.int32(), "i"),
    "outcome": (pa.int8(), "b"),
    "code": (pa.int16(), "h"),
    "fetched_at": (pa.int64(), "q"),
    "next_try_at": (pa.int64(), "q"),
}
"""What is kept of an entry, in which width (Arrow's, and memoryview's letter)."""

WORDS = ("account", "endpoint", "outcome", "code")
"""The columns of text, of which a number is kept."""

_MIDNIGHT = datetime(1970, 1, 1, tzinfo=UTC)


def moment(microseconds: int) -> datetime:
    """The moment so many microseconds after the epoch, exactly."""
    return _MIDNIGHT + timedelta(microseconds=microseconds)


def newest(spans: Sequence[tuple[int, int, T]]) -> list[tuple[int, int, T]]:
    """What is on top where spans of days lie over one another, the later over the
    earlier: sorted and disjoint."""
    starts = sorted((first, -age, last) for age, (first, last, _) in enumerate(spans))
    if all(one[2] < other[0] for one, other in pairwise(starts)):
        return sorted(spans, key=lambda span: span[0])
    return [(first, last, spans[age][2]) for first, last, age in _tops(starts)]


def _tops(starts: list[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """From (first, -age, last), sorted: (first, last, age) of what is on top."""
    under_way: list[tuple[int, int]] = []
    day = position = 0
    while under_way or position < len(starts):
        if not under_way:
            day = max(day, starts[position][0])
        while position < len(starts) and starts[position][0] <= day:
            heapq.heappush(under_way, starts[position][1:])
            position += 1
        minus_age, last = under_way[0]
        if last < day:
            heapq.heappop(under_way)
            continue
        until = min(last, starts[position][0] - 1) if position < len(starts) else last
        yield day, until, -minus_age
        day = until + 1


class Vocabulary:
    """Numbers for words; a word keeps its number."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._codes: dict[str, int] = {}

    def find(self, word: str) -> int:
        """The word's number; -1 for one never met."""
        return self._codes.get(word, -1)

    def code(self, word: str) -> int:
        """The word's number, a new one if need be."""
        code = self._codes.get(word)
        if code is None:
            code = len(self.words)
            self.words.append(word)
            self._codes[word] = code
        return code

    def codes(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The numbers of a column of (dictionary-encoded) words."""
        chunks = [self._chunk(chunk) for chunk in column.chunks]
        return pa.chunked_array(chunks, pa.int32())

    def _chunk(self, chunk: pa.Array) -> pa.Array:
        encoded = (
            chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        )
        codes = [self.code(word) for word in encoded.dictionary.to_pylist()]
        return pa.array(codes, pa.int32()).take(encoded.indices)


class Page:
    """Some entries, sorted by account and endpoint, the later ones last."""

    def __init__(self, table: pa.Table) -> None:
        """`table` has COLUMNS; its `sequence`, or else its order, is the order of time."""
        keys = [("account", "ascending"), ("endpoint", "ascending")]
        if "sequence" in table.column_names:
            keys.append(("sequence", "ascending"))
        order = pc.sort_indices(table, sort_keys=keys)  # stable: equals stay in order
        self.table = table.select(list(COLUMNS)).take(order).combine_chunks()
        views = [_view(self.table.column(name), COLUMNS[name][1]) for name in COLUMNS]
        self.accounts, self.endpoints, self.firsts, self.lasts = views[:4]
        self.outcomes, self.codes, self.fetched, self.next_tries = views[4:]

    def rows(self, account: int, endpoint: int = -1) -> range:
        """The account's rows, or those of one of its endpoints."""
        low = bisect_left(self.accounts, account)
        high = bisect_right(self.accounts, account, low)
        if endpoint >= 0:
            low = bisect_left(self.endpoints, endpoint, low, high)
            high = bisect_right(self.endpoints, endpoint, low, high)
        return range(low, high)


def _view(column: pa.ChunkedArray, letter: Letter) -> "memoryview[int]":
    """The column's values without a Python object for each."""
    if not len(column):
        return memoryview(b"").cast(letter)
    array = column.chunk(0)
    values = memoryview(array.buffers()[1]).cast(letter)
    return values[array.offset : array.offset + len(array)]


class Index:
    """What the ledger says, account by account.

    One thread may add while others ask: they see the entries of before or of after.
    """

    def __init__(self) -> None:
        self._words = {name: Vocabulary() for name in WORDS}
        self.pages: list[Page] = []
        """Oldest first."""

    def __len__(self) -> int:
        """How many entries there are, those that no longer count included."""
        return sum(page.table.num_rows for page in self.pages)

    def coded(self, entries: pa.Table) -> pa.Table:
        """The entries as numbers: a table of COLUMNS and `sequence`, for `add`."""
        columns = {}
        for name, (width, _) in COLUMNS.items():
            column = entries.column(name)
            if name in WORDS:
                column = self._words[name].codes(column)
            elif width == pa.int64():
                column = column.cast(width).fill_null(0)
            columns[name] = column.cast(width)
        return pa.table({**columns, "sequence": entries.column("sequence")})

    def add(self, coded: pa.Table) -> None:
        """Takes entries that are younger than all others."""
        pages = [*self.pages, Page(coded)]
        while (
            len(pages) > 2 and pages[-2].table.num_rows <= 2 * pages[-1].table.num_rows
        ):
            younger, older = pages.pop(), pages.pop()
            pages.append(Page(pa.concat_tables([older.table, younger.table])))
        self.pages = pages

    def accounts(self) -> list[str]:
        """Every account with an entry, `*` among them if an endpoint has one."""
        return list(self._words["account"].words)

    def known(self, appid: str) -> dict[str, list[Known]]:
        """What counts for the account, by endpoint: sorted, disjoint."""
        account = self._words["account"].find(appid)
        spans: dict[int, list[tuple[int, int, tuple[Page, int]]]] = defaultdict(list)
        for page in self.pages:
            for row in page.rows(account):
                span = (page.firsts[row], page.lasts[row], (page, row))
                spans[page.endpoints[row]].append(span)
        return {
            self._words["endpoint"].words[endpoint]: [
                self._known(first, last, *place) for first, last, place in newest(its)
            ]
            for endpoint, its in spans.items()
        }

    def noted(self, appid: str, endpoint_id: str, first: int, last: int) -> Days:
        """The days from `first` to `last` with an entry that is not `empty`.

        Entries that a later one covers count too: this is for whoever wants to
        know where to look for rows.
        """
        account = self._words["account"].find(appid)
        endpoint = self._words["endpoint"].find(endpoint_id)
        if account < 0 or endpoint < 0:
            return ()
        empty = self._words["outcome"].find(Outcome.EMPTY)
        return dates.of(
            (max(first, page.firsts[row] + EPOCH), min(last, page.lasts[row] + EPOCH))
            for page in self.pages
            for row in page.rows(account, endpoint)
            if page.outcomes[row] != empty
        )

    def _known(self, first: int, last: int, page: Page, row: int) -> Known:
        next_try = page.next_tries[row]
        return Known(
            first=first + EPOCH,
            last=last + EPOCH,
            outcome=Outcome(self._words["outcome"].words[page.outcomes[row]]),
            fetched_at=moment(page.fetched[row]),
            next_try_at=moment(next_try) if next_try else None,
            code=self._words["code"].words[page.codes[row]],
        )
