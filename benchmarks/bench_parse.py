"""Answers to Arrow, strict checks on, beside orjson alone and Table.from_pylist.

    python benchmarks/bench_parse.py

About 15 seconds. Times are CPU time: medians of rounds in which every way takes its
turn. Ratios (×) are to `orjson.loads` of the same bytes in the same round, so that
they hold on a busy machine too. `batch` reads 64 answers at once, `single` one at a
time; both decode, check and build the record batch. `pylist` decodes, flattens into
dicts, fills a schema and checks nothing. `exact` is `single` where every row has a
field that the catalogue does not know, which takes the exact reader.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from time import process_time
from typing import Any

import orjson
import pyarrow as pa

from harvester import dates, tables
from harvester.catalogue.endpoint import Endpoint
from harvester.catalogue.load import catalogue
from harvester.decoding import decode
from harvester.tables import Parsed, Payload

ANSWERS = 64
ROUNDS = 15
SPENT = 0.01
"""Seconds of CPU that each way takes a round, at least."""

DAY = dates.parse("2025-12-01")
SOURCES = (0, 1, 2, 4, 5, 6, 7, 99999999)
SCENES = [
    "全部",
    "公众号消息",
    "聊天会话",
    "朋友圈",
    "公众号主页",
    "其他",
    "推荐",
    "搜一搜",
]
WORDS = "年终盘点：今年最值得读的二十篇文章，还有编辑部推荐的周末去处和一份新书单"

Row = dict[str, Any]
Make = Callable[[random.Random, Endpoint], list[Row]]


def filled(dice: random.Random, endpoint: Endpoint, array: str, **known: Any) -> Row:
    """What is known, and a number for every other whole number of this array."""
    names = [
        field.name
        for field in endpoint.fields
        if field.at == f"{array}.{field.name}" and field.type in ("int32", "int64")
    ]
    numbers = {name: int(20 * dice.paretovariate(0.8)) % 10**6 for name in names}
    return {**known, **numbers, **known}


def userread(dice: random.Random, endpoint: Endpoint) -> list[Row]:
    """3 days × 8 sources."""
    return [
        filled(
            dice, endpoint, "list[]", ref_date=dates.text(DAY + day), user_source=source
        )
        for day in range(3)
        for source in SOURCES
    ]


def usersummary(dice: random.Random, endpoint: Endpoint) -> list[Row]:
    """7 days × 4 sources."""
    return [
        filled(
            dice, endpoint, "list[]", ref_date=dates.text(DAY + day), user_source=source
        )
        for day in range(7)
        for source in (0, 1, 17, 30)
    ]


def messagehour(dice: random.Random, endpoint: Endpoint) -> list[Row]:
    """24 hours × 2 kinds of message."""
    today = dates.text(DAY)
    return [
        filled(
            dice, endpoint, "list[]", ref_date=today, ref_hour=100 * hour, msg_type=kind
        )
        for hour in range(24)
        for kind in (1, 3)
    ]


def article(dice: random.Random, number: int) -> Row:
    """What names an article."""
    return {
        "ref_date": dates.text(DAY),
        "msgid": f"{dice.randrange(10**9, 2**31)}_{number}",
    }


def articletotal(dice: random.Random, endpoint: Endpoint) -> list[Row]:
    """8 articles × 7 days."""
    place = "list[].details[]"
    return [
        {
            **article(dice, number),
            "title": WORDS[: dice.randrange(10, 30)],
            "url": f"http://mp.weixin.qq.com/s?__biz=MzA{dice.randrange(10**9)}==",
            "details": [
                filled(dice, endpoint, place, stat_date=dates.text(DAY + day))
                for day in range(7)
            ],
        }
        for number in range(8)
    ]


def articleread(dice: random.Random, endpoint: Endpoint) -> list[Row]:
    """20 articles, each with a list of its readers by source."""
    return [
        {
            **article(dice, number),
            "detail": {
                "read_user": dice.randrange(5000),
                "read_user_source": [
                    {"user_count": dice.randrange(5000), "scene_desc": scene}
                    for scene in SCENES
                ],
            },
        }
        for number in range(20)
    ]


SHAPES: dict[str, tuple[int, Make]] = {
    "getuserread": (3, userread),
    "getarticletotal": (1, articletotal),
    "getusersummary": (7, usersummary),
    "getarticleread": (1, articleread),
    "getupstreammsghour": (1, messagehour),
}
"""By endpoint: the days of a window, and how the rows of an answer are made."""


def parsed(endpoint: Endpoint, last: int, bodies: Sequence[bytes]) -> pa.RecordBatch:
    """The bytes as the record batch of one call after the other."""
    window = ((DAY, last),)
    payloads = [
        Payload(f"wx{number:016x}", DAY, last, window, (decode(body),), (body,))
        for number, body in enumerate(bodies)
    ]
    batch, outcomes = tables.parse(endpoint, payloads)
    if not all(type(outcome) is Parsed for outcome in outcomes):
        raise SystemExit(f"{endpoint.id}: {outcomes}")
    return batch


def flattened(body: bytes) -> Iterator[Row]:
    """The rows as plain dicts."""
    for item in orjson.loads(body)["list"]:
        for inner in item.get("details") or [item.get("detail", {})]:
            yield {**item, **inner}


def listed(schema: pa.Schema, bodies: Sequence[bytes]) -> pa.Table:
    """The table as pyarrow makes it of dicts; dates stay texts."""
    rows = [row for body in bodies for row in flattened(body)]
    return pa.Table.from_pylist(rows, schema)


def ways(
    endpoint: Endpoint, last: int, bodies: Sequence[bytes], odd: Sequence[bytes]
) -> dict[str, Callable[[], object]]:
    """Every way to read the same answers."""
    known = tables.schema(endpoint, account=False)
    schema = pa.schema(
        [(f.name, pa.string() if f.type == pa.date32() else f.type) for f in known]
    )
    parse = partial(parsed, endpoint, last)
    return {
        "orjson": lambda: [orjson.loads(body) for body in bodies],
        "batch": lambda: parse(bodies),
        "single": lambda: [parse([body]) for body in bodies],
        "pylist": lambda: listed(schema, bodies),
        "exact": lambda: [parse([body]) for body in odd],
    }


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call, after one that does not count."""
    work()
    started, calls, spent = process_time(), 0, 0.0
    while spent < SPENT:
        work()
        calls += 1
        spent = process_time() - started
    return spent / calls


def line(endpoint: Endpoint) -> str:
    """One shape of answers, measured."""
    days, make = SHAPES[endpoint.id]
    dice = random.Random(1)
    answers = [make(dice, endpoint) for _ in range(ANSWERS)]
    bodies = [orjson.dumps({"list": rows}) for rows in answers]
    odd = [
        orjson.dumps({"list": [{**row, "new_field": 1} for row in rows]})
        for rows in answers
    ]
    last = DAY + days - 1
    every = ways(endpoint, last, bodies, odd)
    rounds = [
        {name: seconds(way) for name, way in every.items()} for _ in range(ROUNDS)
    ]
    took = {name: median(one[name] for one in rounds) for name in every}
    times = {
        name: median(one[name] / one["orjson"] for one in rounds) for name in every
    }
    size, rows = sum(map(len, bodies)), parsed(endpoint, last, bodies).num_rows
    return (
        f"{endpoint.id:<19}{size / ANSWERS / 1000:>6.1f}"
        f"{took['orjson'] / ANSWERS * 1e6:>8.1f}"
        f"{took['batch'] / ANSWERS * 1e6:>8.1f}{times['batch']:>6.2f}"
        f"{took['single'] / ANSWERS * 1e6:>8.1f}{times['single']:>6.2f}"
        f"{times['pylist']:>8.2f}{times['exact']:>7.1f}"
        f"{size / took['batch'] / 1e6:>7.0f}{rows / took['batch']:>11,.0f}"
    )


def main() -> None:
    print(
        f"{'an answer of':<19}{'kB':>6}{'orjson':>8}{'batch':>8}{'×':>6}"
        f"{'single':>8}{'×':>6}{'pylist×':>8}{'exact×':>7}{'MB/s':>7}{'rows/s':>11}"
    )
    for name in SHAPES:
        print(line(catalogue().endpoints[name]), flush=True)
    print("orjson, batch, single: µs an answer; MB/s and rows/s: of batch")


if __name__ == "__main__":
    main()
