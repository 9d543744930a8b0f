"""What a trial is to be: a pure function of its seed.

A seed gives a world, a configuration, faults, and rounds that end in different ways.
Seeds below `PATIENT` hold nothing that takes long: they run with all other tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from harvester.sandbox.clock import CHINA, labels
from harvester.sandbox.endpoints import ENDPOINTS
from harvester.sandbox.settings import appids

PATIENT = 100
"""From this seed on a trial may be large, and wait for minutes, timeouts and leases."""

SHAPES: tuple[tuple[str, ...], ...] = (
    ("getusersummary", "getusercumulate", "getupstreammsg", "getupstreammsgdist"),
    ("getinterfacesummary", "getbizsummary"),
    ("getinterfacesummaryhour", "getupstreammsghour", "getarticleread"),
    ("getarticleshare", "getarticlesummary", "getuserread", "getuserreadhour"),
    ("getusershare", "getusersharehour"),
    ("getupstreammsgweek", "getupstreammsgdistweek"),
    ("getupstreammsgmonth", "getupstreammsgdistmonth"),
    ("getarticletotal", "getarticletotaldetail"),
)
"""Wide windows, nested lists, single days, hours, weeks, months, growing totals."""

HARMLESS = (
    "zero-code",
    "outside",
    "duplicate-rows",
    "extra-field",
    "text-numbers",
    "text-plain",
    "set-cookie",
    "bom",
)
"""Faults whose answer still holds the right rows."""

PASSING = (
    "busy",
    "string-code",
    "http-500",
    "http-502",
    "reset",
    "truncated",
    "hang-up",
    "junk",
    "closing",
    "html",
    "empty-body",
    "cut",
    "array",
    "deep",
    "nan",
    "duplicate-keys",
    "bad-utf8",
    "lone-surrogate",
    "unknown-code",
    "echo-token",
    "no-list",
    "only-outside",
    "http-404",
    "redirect",
    "not-ready",
    "delayed",
    "narrow",
    "slow=0.2",
)
"""Faults that strike now and then; a later run has another answer."""

FIGURES = ("fraction", "boolean", "huge-integer", "null-field", "missing-field")
"""Wrong figures. They strike where a figure is never optional."""

SURE_FIGURES = ("getusersummary", "getusercumulate")

ONCE = (
    "expired-token",
    "rejected-token@{sick}*2",
    "gzip-bomb*1",
    "huge-body=16*1",
    "unavailable@{sick}/{endpoint}*1",
    "denied@{sick}/{endpoint}*1",
    "denied-set@{sick}*1",
    "retired@{sick}/{endpoint}*1",
    "quota@{sick}/{endpoint}*1",
    "revoked@{sick}*1",
    "skewed-date*1",
    "bad-ip*1",
)

FOR_GOOD = (
    "revoked@{sick}",
    "frozen@{sick}",
    "forbidden@{sick}",
    "punished@{sick}",
    "denied@{sick}/{endpoint}",
    "denied-set@{sick}",
    "retired@*/{endpoint}",
    "unavailable@{sick}/{endpoint}",
    "quota@{sick}/{endpoint}",
    "not-ready@{sick}/{endpoint}",
    "delayed@{sick}/{endpoint}",
    "unknown-code@{sick}/{endpoint}",
    "narrow@{sick}",
)
"""Faults that stay until all are cleared: of one account, or of one endpoint."""

OWN = ("wrong-secret@{sick}", "rejected-token@{sick}", "bad-own-ip@{sick}*1")
BY_PLATFORM = (
    "bad-refresh-token@{sick}*1",
    "bad-ticket*1",
    "token-quota@{sick}*1",
    "without-refresh-token@{sick}*2",
)
LONG = (
    "busy@{sick}",
    "silent*3",
    "dribble*2",
    "slow=2*3",
    "minute-quota@{sick}*2",
    "http-503=1*3",
    "http-429=1*3",
    "busy%70",
    "reset%60",
)

ENDS = ("kill", "kill", "kill", "SIGTERM", "SIGINT", "twice", "time", "cramped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One run of the program, and how it ends if it does not end by itself."""

    end: str = ""
    """`kill`, `SIGTERM`, `SIGINT`, `twice`, `time`, `cramped`, `rival`, or nothing."""

    calls: int = 0
    """Statistics of this run that the sandbox has seen when it is struck."""

    delay: float = 0.0
    """Seconds from then on."""

    days: int = 0
    """Days that pass before it."""

    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole trial."""

    seed: int
    accounts: tuple[str, ...]
    endpoints: tuple[str, ...]
    since: date
    now: datetime
    """The clock of the first round."""

    buckets: int
    unit: str
    access: str
    """`own`, `platform` or `guest`: where tokens come from."""

    harvest: str
    limits: str
    lake: str
    sandbox: tuple[tuple[str, float], ...]
    faults: tuple[str, ...]
    rounds: tuple[Round, ...]
    leap: int
    """Days that pass once the faults are over, so that whoever was refused is asked
    again; 0: none."""

    options: tuple[str, ...]
    """Global options of every run."""


def planned(seed: int) -> Plan:
    """The trial of this seed."""
    dice = Random(seed)
    patient = seed >= PATIENT
    accounts = tuple(appids(1, 200)[at] for at in dice.sample(range(200), _few(dice)))
    shapes = dice.sample(SHAPES, dice.randint(2, 4))
    endpoints = tuple(dice.choice(shape) for shape in shapes)
    today = date(2025, 11, 20) + timedelta(dice.randrange(120))
    hour = dice.choice((12, 12, 12, 8, 7, 23))
    now = datetime(today.year, today.month, today.day, hour, 0, 50, tzinfo=CHINA)
    most = 900 if patient else 100
    days = _days(dice, accounts, endpoints, today, most)
    since = today - timedelta(days)
    access = dice.choice(("own", "own", "platform", "guest"))
    weight = windows(len(accounts), endpoints, since, today)
    buckets, unit = dice.choice(((0, "day"), (0, "month"), (3, "day"), (3, "month")))
    return Plan(
        seed=seed,
        accounts=accounts,
        endpoints=endpoints,
        since=since,
        now=now,
        buckets=buckets,
        unit=unit,
        access=access,
        harvest=_harvest(dice),
        limits=_limits(dice),
        lake=dice.choice(("", "memory_mb = 16\n", 'compression = "zstd"\n')),
        sandbox=_sandbox(dice, access, patient),
        faults=_faults(dice, accounts, endpoints, access, patient),
        rounds=_rounds(dice, weight, 3 if patient else 2),
        leap=dice.choice((0, 45)),
        options=dice.choice(
            ((), ("--log-format", "json", "--log-level", "debug"), ("--debug",))
        ),
    )


def windows(accounts: int, endpoints: Sequence[str], first: date, last: date) -> int:
    """The calls that a lake of these days takes at least, one label a call for weeks
    and months."""
    total = 0
    for name in endpoints:
        known = ENDPOINTS[name]
        days = list(labels(known.label, first.toordinal(), last.toordinal() - 1))
        span = known.span if known.label == "day" else 1
        total += -(-len(days) // span)
    return accounts * total


def _few(dice: Random) -> int:
    return dice.randint(2, 6)


def _days(
    dice: Random,
    accounts: Sequence[str],
    endpoints: Sequence[str],
    today: date,
    most: int,
) -> int:
    """5 to 40 days, more for months; fewer where they would take too many calls."""
    months = any("month" in name for name in endpoints)
    days = dice.randint(40, 70) if months else dice.randint(5, 40)
    while (
        windows(len(accounts), endpoints, today - timedelta(days), today) > most
        and days > 5
    ):
        days -= 1
    return days


def _harvest(dice: Random) -> str:
    lines = ["recheck_empty_days = 0"]
    if dice.random() < 0.2:
        lines.append('order = "oldest-first"')
    if dice.random() < 0.2:
        lines.append("wide_windows = true")
    return "\n".join(lines) + "\n"


def _limits(dice: Random) -> str:
    pace = dice.choice((1000, 1000, 200))
    in_flight, total = dice.choice(((4, 256), (1, 256), (8, 256), (4, 5), (64, 256)))
    return (
        f"calls_per_second = {pace}\nin_flight = {in_flight}\n"
        f"total_in_flight = {total}\n"
    )


def _sandbox(dice: Random, access: str, patient: bool) -> tuple[tuple[str, float], ...]:
    chosen: list[tuple[str, float]] = [
        ("latency_ms", dice.choice((0, 2, 5, 15))),
        ("accounts", 200),
    ]
    if dice.random() < 0.15:
        chosen.append(("token_seconds", 3))
    if dice.random() < 0.1:
        chosen.append(("daily_quota", dice.randint(3, 20)))
    if access == "platform" and patient and dice.random() < 0.3:
        chosen.append(("rotate_refresh_tokens", True))
    return tuple(chosen)


def _faults(
    dice: Random,
    accounts: Sequence[str],
    endpoints: Sequence[str],
    access: str,
    patient: bool,
) -> tuple[str, ...]:
    """None to six faults that pass, and none to two that stay."""
    chosen = [_passing(dice, accounts, endpoints) for _ in range(dice.randint(0, 5))]
    chosen += [f"{name}%{dice.randint(5, 60)}" for name in _some(dice, HARMLESS, 2)]
    chosen += _some(dice, ONCE, 2)
    chosen += _some(dice, FOR_GOOD, 2)
    if access != "guest":
        chosen += _some(dice, OWN if access == "own" else BY_PLATFORM, 1)
    if patient:
        chosen += _some(dice, LONG, 1)
    dice.shuffle(chosen)
    return tuple(
        text.format(sick=dice.choice(accounts), endpoint=dice.choice(endpoints))
        for text in chosen
    )


def _some(dice: Random, names: Sequence[str], most: int) -> list[str]:
    return dice.sample(names, dice.randint(0, most))


def _passing(dice: Random, accounts: Sequence[str], endpoints: Sequence[str]) -> str:
    sure = [name for name in endpoints if name in SURE_FIGURES]
    if sure and dice.random() < 0.5:
        where = f"@*/{dice.choice(sure)}"
        return f"{dice.choice(FIGURES)}{where}*{dice.randint(1, 4)}"
    where = dice.choice(("", f"@{dice.choice(accounts)}", "@*/{endpoint}"))
    often = dice.choice((f"%{dice.randint(3, 25)}", f"*{dice.randint(1, 12)}"))
    return f"{dice.choice(PASSING)}{where}{often}"


def _rounds(dice: Random, weight: int, most: int) -> tuple[Round, ...]:
    return tuple(_round(dice, weight) for _ in range(dice.randint(1, most)))


def _round(dice: Random, weight: int) -> Round:
    end = dice.choice(ENDS) if dice.random() < 0.75 else dice.choice(("", "", "rival"))
    return Round(
        end=end,
        calls=1 + int(weight * dice.random() ** 2),
        delay=dice.choice((0.0, 0.0, dice.random() * 0.05, dice.random() * 0.6)),
        days=dice.choice((0, 0, 0, 1, 1, 3)),
        refresh=dice.random() < 0.08,
    )
