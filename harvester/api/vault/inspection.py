"""What a vault holds, counted: for people who have to trust it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harvester.api.vault import credential
from harvester.api.vault.documents import CODES, CREDENTIAL, TICKET, Kind
from harvester.api.vault.sealing import Condition, kept_in
from harvester.api.vault.vault import Vault

TICKET_SECONDS = 12 * 3600.0
"""So long a ticket lives."""

_PLATFORM = "platform:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A vault at one moment. Ages are in seconds; None: there is none."""

    where: str
    accounts: int
    withdrawn: int
    """Accounts whose owners ended the authorisation."""

    refresh_tokens: int
    """Accounts with one."""

    tokens: int
    """Accounts with one that is still good."""

    codes: int
    """Authorisation codes that wait to be exchanged."""

    ticket_age: float | None
    platform_token_left: float | None
    encrypted: bool
    plain: int
    """Secrets that are kept unencrypted although there is a key."""

    older_key: int
    """Secrets that another key than the first encrypted."""

    unreadable: int
    """Secrets that no key opens."""

    advice: str
    """What the store's own settings put at risk."""


async def inspected(vault: Vault, now: float) -> Inspection:
    """Reads every document, and unseals every secret."""
    documents = vault.documents
    counted: Counter[str] = Counter()
    conditions: Counter[Condition] = Counter()
    ages: dict[str, float] = {}
    async for name, found in documents.all():
        conditions.update(map(documents.seals.condition, kept_in(found)))
        counted.update(_countings(name, found, now))
        ages.update(_ages(name, found, now))
    return Inspection(
        where=documents.store.where,
        accounts=counted["accounts"],
        withdrawn=counted["withdrawn"],
        refresh_tokens=counted["refresh_tokens"],
        tokens=counted["tokens"],
        codes=counted["codes"],
        ticket_age=ages.get("ticket"),
        platform_token_left=ages.get("platform"),
        encrypted=bool(documents.seals),
        plain=conditions[Condition.PLAIN],
        older_key=conditions[Condition.OLDER],
        unreadable=conditions[Condition.UNREADABLE],
        advice=await documents.store.advice(),
    )


def _countings(name: str, found: dict[str, Any], now: float) -> Iterator[str]:
    if name.startswith(CODES.prefix):
        yield from ("codes" for code in found.values() if "value" in code)
    if ":" in name:
        return
    profile = credential.profile(name, found)
    yield "accounts"
    if profile.authorised is False:
        yield "withdrawn"
    if profile.has_refresh_token:
        yield "refresh_tokens"
    if profile.has_token and profile.token_expires_at > now:
        yield "tokens"


def _ages(name: str, found: dict[str, Any], now: float) -> Iterable[tuple[str, float]]:
    """Of several platforms in one vault, the last one read."""
    if name.startswith(TICKET.prefix) and "value" in found:
        yield "ticket", now - found["created_at"]
    if name.startswith(_PLATFORM) and "token" in found:
        yield "platform", found["expires_at"] - now


async def resealed(vault: Vault) -> int:
    """Encrypts by the first key whatever is not; how many documents were written.

    Raises AuthorisationError when no key opens a secret.
    """
    documents = vault.documents
    written = 0
    async for name, found in documents.all():
        conditions = map(documents.seals.condition, kept_in(found))
        if any(condition is not Condition.SEALED for condition in conditions):
            await documents.rewrite(_kind(name), name)
            written += 1
    await documents.renew_check()
    return written


def _kind(name: str) -> Kind[Any]:
    return next(
        (one for one in (TICKET, CODES) if name.startswith(one.prefix)), CREDENTIAL
    )


def findings(found: Inspection, *, platform: bool) -> list[tuple[str, str]]:
    """What is wrong, and what to do; nothing: all is well.

    `platform`: harvester owns a platform's tokens, so that it needs its ticket.
    """
    checks = (
        (found.unreadable, f"{found.unreadable} secrets are encrypted by a key that is not configured", "add that key to [vault] key"),
        (found.plain, f"{found.plain} secrets are kept unencrypted", "run `harvester vault verify --reseal`"),
        (found.older_key, f"{found.older_key} secrets are encrypted by an older key", "run `harvester vault verify --reseal`, then take that key away"),
        (platform and found.ticket_age is None, "no ticket is known", "run `harvester serve`, or `harvester vault put-ticket`"),
        ((found.ticket_age or 0) > TICKET_SECONDS, "the ticket is older than 12 hours", "run `harvester serve`, or `harvester vault put-ticket`"),
        (found.advice, found.advice, "read docs/vault.md"),
    )  # fmt: skip
    return [(message, todo) for wrong, message, todo in checks if wrong]
