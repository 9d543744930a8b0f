"""One trial: the real program against a faulty sandbox, killed and run again.

`trial` follows a plan round by round, lets the faults end, runs on until all is in
the lake, and returns what the oracle has to complain of.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torture_oracle as oracle
from rehearsal import sandboxed
from torture_lake import Lake
from torture_oracle import Ran
from torture_plan import Plan, Round, planned

import harvester
from harvester.sandbox.clock import last_ready
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings
from harvester.sandbox.tally import Entry

PLATFORM = "wx00000000000000ff"
STOP_SECONDS = 10.0
HANG_SECONDS = 100.0
RERUNS = 3
CRAMPED_BLOCKS = 70
"""Of 512 bytes: the vault has room, a spool of some size has not."""

PROGRAM = (sys.executable, "-m", "harvester")
PACKAGE = str(Path(harvester.__file__).parents[1])
CONNECTIONS = frozenset(
    {
        *("reset", "truncated", "hang-up", "junk", "closing", "late", "silent"),
        *("dribble", "slow", "huge-body", "gzip-bomb", "redirect"),
    }
)
"""Faults after which both ends may count differently what was sent."""


class Meter(Counter[tuple[str, str]]):
    """Counts statistics like the sandbox's own, and strikes at a given one."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self._at = 0
        self._strike: Callable[[], None] = lambda: None

    def arm(self, calls: int, strike: Callable[[], None]) -> None:
        """Strikes when so many more have come."""
        self._at, self._strike = self.seen + calls, strike

    def __setitem__(self, name: tuple[str, str], count: int) -> None:
        super().__setitem__(name, count)
        self.seen += 1
        if self.seen == self._at:
            self._strike()


@dataclass(slots=True)
class Verdict:
    """How a trial went."""

    plan: Plan
    complaints: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    calls: int = 0
    repeated: int = 0
    """Calls beyond the minimum and the failed attempts."""

    kills: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    """How often each fault struck, and each way to end a run."""

    cells: int = 0


@dataclass(slots=True)
class Process:
    """A run under way, and when it was struck."""

    popen: subprocess.Popen[str]
    struck_at: float | None = None
    rival: int | None = None

    def strike(self, numbers: tuple[int, ...]) -> None:
        """Sends signals, unless it has ended by itself."""
        if self.popen.poll() is None:
            self.struck_at = time.monotonic()
            for number in numbers:
                self.popen.send_signal(number)


SIGNALS = {
    "kill": (signal.SIGKILL,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT": (signal.SIGINT,),
    "twice": (signal.SIGINT, signal.SIGINT),
}


@dataclass(slots=True)
class Trial:
    """A folder, a sandbox, and what has happened so far."""

    plan: Plan
    folder: Path
    box: Sandbox
    verdict: Verdict
    now: datetime
    meter: Meter = field(default_factory=Meter)
    log: deque[Entry] = field(default_factory=deque)
    runs: list[Ran] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Everything that was printed."""

    until: date | None = None

    def __post_init__(self) -> None:
        tally = self.box.tally
        tally.calls = self.box.calls = self.meter
        tally.log = self.box.log = self.log
        self.box.set_clock(lambda: self.now)

    @property
    def lake(self) -> Path:
        """Where the data lies."""
        return self.folder / "lake"

    def play(self) -> None:
        """All rounds, then calm, then a month and a half later, then once more."""
        for round_ in self.plan.rounds:
            self._pass(round_.days)
            self._round(round_)
        self._calm()
        if self.plan.leap:
            self.until = date.fromordinal(last_ready(self.now))
            self._pass(self.plan.leap)
            self._round(Round())
            self._complain(self._complete())
        before = self.meter.seen
        self._round(Round())
        if self.meter.seen != before:
            self._complain([f"calls: a further run made {self.meter.seen - before}"])
        self._complain(self._end())

    def _pass(self, days: int) -> None:
        self.now += timedelta(days=days)

    def _calm(self) -> None:
        """The faults are over: runs until nothing due is left."""
        self._note_faults()
        self.box.faults.clear()
        self.box.change(daily_quota=None)
        for _ in range(RERUNS):
            ran = self._round(Round())
            if ran.code in (0, 5):
                break
        self._complain(self._complete())

    def _round(self, round_: Round) -> Ran:
        number = len(self.runs)
        seen, start = self.meter.seen, len(self.log)
        process = self._start(f"r{number}", round_)
        stdout = self._finish(process, round_)
        ran = Ran(
            run_id=f"r{number}",
            now=self.now,
            code=shell_code(process.popen.returncode),
            end=round_.end,
            struck=process.struck_at is not None
            or (round_.end == "cramped" and process.popen.returncode == 6),
            log=list(self.log)[start:],
            refresh=round_.refresh,
            until=self.until,
        )
        self.runs.append(ran)
        self.verdict.codes.append(ran.code)
        self._complain(self._summary(ran, stdout, self.meter.seen - seen))
        self._complain(self._standing(ran))
        return ran

    def _start(self, run_id: str, round_: Round) -> Process:
        command = [*PROGRAM, *self.plan.options, "run", "--json", "--run-id", run_id]
        command += ["--as-of", self.now.isoformat()]
        if self.until:
            command += ["--until", self.until.isoformat()]
        if round_.refresh:
            command.append("--refresh")
        if round_.end == "time":
            command += ["--max-minutes", f"{0.001 + round_.delay / 60:.5f}"]
        if round_.end == "cramped":
            blocks = str(CRAMPED_BLOCKS + round_.calls // 4)
            command = ["sh", "-c", 'ulimit -f "$0"; exec "$@"', blocks, *command]
        process = Process(
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environ(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        if round_.end in SIGNALS or round_.end == "rival":
            self.meter.arm(round_.calls, lambda: self._later(process, round_))
        return process

    def _later(self, process: Process, round_: Round) -> None:
        """In the sandbox's thread: what takes time has one of its own."""
        if round_.end == "rival":
            threading.Thread(target=self._rival, args=(process,), daemon=True).start()
        elif round_.delay:
            numbers = SIGNALS[round_.end]
            threading.Timer(round_.delay, process.strike, (numbers,)).start()
        else:
            process.strike(SIGNALS[round_.end])

    def _rival(self, process: Process) -> None:
        """Another run on the same lake, while the first stands still."""
        process.popen.send_signal(signal.SIGSTOP)
        try:
            command = [*PROGRAM, "run", "--as-of", self.now.isoformat()]
            ended = subprocess.run(
                command,
                cwd=self.folder,
                env=self._environ(),
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            process.rival = ended.returncode
            self.said += [ended.stdout, ended.stderr]
        finally:
            process.popen.send_signal(signal.SIGCONT)

    def _finish(self, process: Process, round_: Round) -> str:
        try:
            stdout, stderr = process.popen.communicate(timeout=HANG_SECONDS)
        except subprocess.TimeoutExpired:
            process.popen.kill()
            stdout, stderr = process.popen.communicate()
            self._complain([f"hang: {round_} did not end"])
        self.meter.arm(0, lambda: None)
        self.said += [stdout, stderr]
        if process.struck_at is not None:
            self.verdict.struck[round_.end] += 1
            self.verdict.kills += round_.end == "kill"
            took = time.monotonic() - process.struck_at
            if took > STOP_SECONDS:
                self._complain([f"slow to stop: {round_.end} took {took:.1f} s"])
        if process.rival is not None:
            self.verdict.struck["rival"] += 1
            if process.rival != 7:
                self._complain([f"exit code: a second run ended with {process.rival}"])
        return stdout

    def _summary(self, ran: Ran, stdout: str, calls: int) -> Iterator[str]:
        """Always written, in both places, and true."""
        if (ran.killed and ran.code != 6) or (ran.code == 6 and not calls):
            return
        try:
            found: dict[str, Any] = json.loads(stdout)
        except ValueError:
            yield f"summary: {ran.run_id} ({ran.code}) printed {stdout[:80]!r}"
            return
        kept = self.lake / "runs" / f"{ran.run_id}.json"
        if ran.code != 6 and (
            not kept.exists() or json.loads(kept.read_text()) != found
        ):
            yield f"summary: {ran.run_id} ({ran.code}) was not kept"
        names = {text.partition("@")[0] for text in self.plan.faults}
        names = {name.partition("%")[0].partition("*")[0] for name in names}
        names = {name.partition("=")[0] for name in names}
        if not (names & CONNECTIONS or ran.struck) and found["calls"] != calls:
            yield f"summary: {ran.run_id} says {found['calls']} calls, {calls} came"
        if ran.code == 3 and not found["failures"]:
            yield f"summary: {ran.run_id} ended with 3 and names nothing"

    def _standing(self, ran: Ran) -> Iterator[str]:
        """What holds after every run, however it ended."""
        lake = self._read()
        yield from lake.complaints
        if not self.lake.exists():
            return
        if not ran.killed:
            yield from oracle.of_files(lake)
            yield from oracle.of_ledger(lake)
            yield from oracle.of_rows(lake, self.box.world, self.runs)
        yield from oracle.of_exit_code(lake, self.plan, ran)

    def _complete(self) -> Iterator[str]:
        lake = self._read()
        yield from oracle.of_completeness(lake, self.box.world, self.plan, self.runs)

    def _end(self) -> Iterator[str]:
        lake = self._read()
        yield from oracle.of_leftovers(lake)
        yield from oracle.of_calls(self.plan, self.runs, total_in_flight(self.plan))
        yield from of_secrets(self.secrets(), self.said, self.lake)
        if self.box.tally.elsewhere or self.box.tally.cookies:
            yield "token: it was carried to another origin, or a cookie came back"
        self.verdict.calls = self.meter.seen
        self.verdict.cells = len(oracle.due(self.plan, self.now, self.until))
        self.verdict.repeated = max(
            0, self.meter.seen - oracle.needed(self.plan, self.runs)
        )

    def _read(self) -> Lake:
        lake = Lake(self.lake)
        lake.read()
        return lake

    def _complain(self, complaints: Iterator[str] | list[str]) -> None:
        self.verdict.complaints += complaints

    def _note_faults(self) -> None:
        for text, times in self.box.faults.fired().items():
            name = text.partition("@")[0].partition("%")[0].partition("*")[0]
            self.verdict.struck[name.partition("=")[0]] += times

    def secrets(self) -> list[str]:
        """All that must never be seen outside the vault."""
        tokens = list(self.box.platform.tokens._issued)
        standing = [
            self.box.platform.accounts.refresh_token(appid)
            for appid in self.plan.accounts
        ]
        own = [secret(kind, appid) for appid in self.plan.accounts for kind in KINDS]
        return [*tokens, *standing, *own, secret("platform"), secret("ticket")]

    def _environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "PYTHONPATH": PACKAGE,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PLATFORM_SECRET": secret("platform"),
        }


def shell_code(code: int) -> int:
    """The exit code that a shell sees: 128 and the signal's number for a death by it."""
    return code if code >= 0 else 128 - code


KINDS = ("own", "refresh")


def secret(kind: str, appid: str = "") -> str:
    """A value that nobody would write by accident."""
    return f"{kind}Canary{appid[2:]}Zq7"


def total_in_flight(plan: Plan) -> int:
    """The bound on calls under way."""
    return int(plan.limits.rpartition("total_in_flight = ")[2])


def configuration(plan: Plan, url: str) -> str:
    """The `accounts.toml` of a trial."""
    patience = (
        2 if any(t.startswith(("silent", "dribble")) for t in plan.faults) else 20
    )
    names = ", ".join(f'"{name}"' for name in plan.endpoints)
    parts = [
        f'[api]\nurl = "{url}"\nfallback_urls = []\ntimeout_seconds = {patience}\n',
        _platform(plan, url),
        f'[lake]\nbuckets = {plan.buckets}\ndate = "{plan.unit}"\n{plan.lake}',
        f"[harvest]\nendpoints = [{names}]\nsince = {plan.since}\n{plan.harvest}",
        f"[limits]\n{plan.limits}",
        *(_account(plan, appid) for appid in plan.accounts),
    ]
    return "\n".join(parts)


def _platform(plan: Plan, url: str) -> str:
    if plan.access == "guest":
        return f'[platform]\ntoken_url = "{url}/token/{{appid}}"\n'
    if plan.access == "platform":
        return (
            f'[platform]\nappid = "{PLATFORM}"\nsecret = {{ env = "PLATFORM_SECRET" }}\n'
            'ticket = { file = "ticket.txt" }\n'
        )
    return ""


def _account(plan: Plan, appid: str) -> str:
    credential = {
        "own": f'secret = "{secret("own", appid)}"\n',
        "platform": f'refresh_token = "{secret("refresh", appid)}"\n',
        "guest": "",
    }
    return f'[[accounts]]\nappid = "{appid}"\n{credential[plan.access]}'


def of_secrets(secrets: list[str], said: list[str], lake: Path) -> Iterator[str]:
    """Where a secret was seen: in what was printed, or anywhere in the lake."""
    marks = {one.removeprefix("refreshtoken@@@")[:12] for one in secrets}
    texts = chain(
        ((f"output {number}", text) for number, text in enumerate(said)),
        ((str(path.relative_to(lake)), _text(path)) for path in lake.rglob("*.*")),
    )
    for where, text in texts:
        if any(mark in text for mark in marks):
            yield f"secret: seen in {where}"


def _text(path: Path) -> str:
    if path.is_dir():
        return ""
    if path.suffix == ".parquet":
        return str(pq.ParquetFile(path).read().to_pydict())
    return path.read_bytes().decode(errors="replace")


def trial(seed: int, folder: Path) -> Verdict:
    """Plays the seed's plan in an empty folder."""
    return played(planned(seed), folder).verdict


def played(plan: Plan, folder: Path) -> Trial:
    """Plays a plan in an empty folder."""
    settings = Settings(faults=plan.faults, **dict(plan.sandbox))  # type: ignore[arg-type]
    with sandboxed(settings, plan.now) as box:
        (folder / "accounts.toml").write_text(configuration(plan, box.url))
        (folder / "ticket.txt").write_text(secret("ticket"))
        made = Trial(plan, folder, box, Verdict(plan), plan.now)
        made.play()
    return made


def told(verdict: Verdict) -> str:
    """A failure for people: the seed, how to play it again, and what was wrong."""
    seed = verdict.plan.seed
    lines = [
        f"seed {seed}: python tests/run_torture.py --seed {seed}",
        f"  {verdict.plan}",
        f"  exit codes {verdict.codes}",
        *(f"  {complaint}" for complaint in verdict.complaints[:20]),
    ]
    return "\n".join(lines)
