"""What stands in a run's way: found before the run, with what to do about it."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harvester.accounts import Account
from harvester.api.client import Client, Quota
from harvester.api.codes import Refusal
from harvester.api.wire import Wire
from harvester.errors import HarvesterError
from harvester.lake import layout
from harvester.run import SKEW_SECONDS
from harvester.standing import ends_run
from harvester.survey import Survey

SUBJECTS = frozenset({"configuration", "lake", "vault", "clock", "platform"})

REFUSED = 3
"""The exit code of one account that was refused."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """`lake`, `vault`, `clock`, `platform`, or an appid."""

    message: str
    todo: str = ""
    """Nothing: all is well."""

    exit_code: int = 0

    @property
    def well(self) -> bool:
        """Whether nothing needs to be done."""
        return self.exit_code == 0


def lake(survey: Survey, path: Path) -> Finding:
    """Whether the lake is there, whole and writable, or can be made."""
    try:
        layout.check_folder(path)
        found = layout.read(path)
    except HarvesterError as error:
        return Finding("lake", error.message, error.todo, error.exit_code)
    nearest = next(one for one in (path, *path.parents) if one.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(
            "lake", f"{nearest} cannot be written", "mend its permissions", 6
        )
    if found is None:
        return Finding("lake", f"{path} will be made by the first run")
    accounts = sum(1 for one in survey.ledger.accounts() if one != "*")
    return Finding("lake", f"{path} holds {accounts:,} accounts")


def clock(wire: Wire) -> Finding:
    """Whether this machine's clock agrees with the answers' `Date`."""
    skew = wire.skew_seconds
    if skew is None:
        return Finding("clock", "nobody answered: it could not be compared")
    if abs(skew) <= SKEW_SECONDS:
        return Finding("clock", f"{abs(skew):.0f} s from WeChat's")
    return Finding(
        "clock", f"{skew:+.0f} s from WeChat's", "set it, by NTP for example", 4
    )


async def accounts(
    survey: Survey, client: Client, sample: Sequence[Account]
) -> AsyncIterator[Finding]:
    """Whether each account's token can be had; asks for a quota, spends no call.

    Ends at the first finding that stands in everybody's way.
    """
    for account in sample:
        endpoints = survey.endpoints_of(account)
        if not endpoints:
            continue
        answer = await client.quota(account, endpoints[0])
        yield _of(account, answer)
        if isinstance(answer, Refusal) and ends_run(answer):
            return


def _of(account: Account, answer: Quota | Refusal) -> Finding:
    if isinstance(answer, Quota):
        left = (
            f"{answer.remain:,} of {answer.daily_limit:,} calls an endpoint left today"
        )
        return Finding(account.appid, left)
    if ends_run(answer):
        return Finding("platform", answer.message, answer.todo, 4)
    return Finding(
        account.appid, answer.message, answer.todo or "see the message", REFUSED
    )


def sampled(accounts: Sequence[Account], most: int | None) -> list[Account]:
    """So many accounts, evenly spread over all of them; None: all."""
    if most is None or most >= len(accounts):
        return list(accounts)
    return [accounts[index * len(accounts) // most] for index in range(most)]


def worst(findings: Sequence[Finding]) -> int:
    """The exit code: the first of storage, usage, authorisation, partial.

    Every account refused is the operator's to mend, as in a run.
    """
    codes = {finding.exit_code for finding in findings}
    accounts = [one.exit_code for one in findings if one.subject not in SUBJECTS]
    if accounts and set(accounts) == {REFUSED}:
        codes.add(4)
    return next((code for code in (6, 2, 4, 3) if code in codes), 0)


def lines(findings: Sequence[Finding]) -> Iterator[tuple[str, str, str]]:
    """For a table: subject, well or not, and what."""
    for one in findings:
        todo = f": {one.todo}" if one.todo else ""
        yield one.subject, "ok" if one.well else "NOT OK", f"{one.message}{todo}"
