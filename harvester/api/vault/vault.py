"""The vault: tokens and what is known of accounts, durable one by one, shared by processes.

1. A name is an account's appid, or `platform:` and the platform's: one document each,
   in a store (`store.Store`) that replaces it in one step.
2. What may become of a document is decided by pure functions (`credential`,
   `pushed`): an older result never overwrites a newer one, and nothing empty
   overwrites anything.
3. Who refreshes holds a lease. It runs out, so that a dead holder blocks nobody.
4. Secrets are sealed on their way in and unsealed on their way out (`sealing`).
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from harvester.api.callback.contract import Code, Grant
from harvester.api.vault import credential, pushed
from harvester.api.vault.credential import Credential
from harvester.api.vault.documents import CODES, CREDENTIAL, TICKET, Documents
from harvester.api.vault.pushed import Codes, Tickets
from harvester.api.vault.records import Facts, Minted, Profile, Stored, Ticket
from harvester.api.vault.sealing import Seals
from harvester.api.vault.sqlite import SqliteStore
from harvester.api.vault.store import Store
from harvester.errors import UsageError
from harvester.secret import Secret


class Vault:
    """An open vault. `clock` gives epoch seconds.

    Every method raises StorageError when the store fails, and AuthorisationError when
    no key opens what it holds.
    """

    def __init__(
        self,
        store: Store,
        seals: Seals | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.documents = Documents(store, seals or Seals())
        self._clock = clock
        self._holder = uuid4().hex

    async def __aenter__(self) -> Self:
        try:
            await self.documents.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Lets go of the store; what was stored is durable already."""
        await self.documents.store.aclose()

    def close(self) -> None:
        """The same at once, for a vault in a file."""
        if isinstance(self.documents.store, SqliteStore):
            self.documents.store.close()

    # Tokens

    async def read(self, name: str) -> Stored:
        """What is known under this name."""
        return credential.stored(await self.documents.read(CREDENTIAL, name))

    async def seed(self, name: str, refresh_token: str) -> None:
        """Takes a configured refresh token over, once for every value it has.

        One that the vault got in another way wins over the first such value.
        """
        await self._alter(name, lambda known: credential.seeded(known, refresh_token))

    async def lease(self, name: str, seconds: float) -> Stored | None:
        """What is known now, ours to refresh for so long; None: another's."""
        now = await self._shared_now()

        def decide(known: Credential) -> tuple[Credential, Stored | None]:
            taken = credential.leased(known, self._holder, now, seconds)
            if taken is None:
                return known, None
            return taken, credential.stored(taken)

        return await self.documents.change(CREDENTIAL, name, decide)

    async def release(self, name: str) -> None:
        """Gives a lease back without a result."""
        await self._alter(name, lambda known: credential.released(known, self._holder))

    async def store(self, name: str, generation: int, minted: Minted) -> Stored:
        """Stores over this generation and gives the lease back; what holds then.

        When something has changed since, that stays, and the caller gets it instead.
        """

        def decide(known: Credential) -> Credential:
            taken = credential.minted(known, generation, minted)
            return credential.released(taken, self._holder)

        return await self._alter(name, decide)

    async def previous(self, name: str) -> tuple[str, ...]:
        """The last refresh tokens of this name, newest first."""
        return (await self.documents.read(CREDENTIAL, name)).previous

    async def put_refresh_token(self, name: str, refresh_token: str) -> None:
        """A newer refresh token from outside: it counts from now on."""
        await self._alter(
            name,
            lambda known: credential.with_refresh_token(known, refresh_token),
        )

    async def refill(self, refresh_tokens: Mapping[str, str]) -> None:
        """Takes over what the platform's list names, by appid.

        Such a token counts where none is known; elsewhere it is kept to be tried.
        """
        await self.documents.change_all(
            CREDENTIAL,
            tuple(refresh_tokens),
            lambda name, known: credential.refilled(known, refresh_tokens[name]),
        )

    # Accounts

    async def learn(self, facts: Mapping[str, Facts], at: float) -> None:
        """Takes over what was learned of accounts, by appid, at this moment.

        What was not said stays as it is known, and so does what was learned later. An
        `auth_time` after a withdrawal makes the account authorised again.
        """
        await self.documents.change_all(
            CREDENTIAL,
            tuple(facts),
            lambda appid, known: credential.learned(known, facts[appid], at),
        )

    async def put_standing(
        self, platform: str, appid: str, *, authorised: bool, at: float
    ) -> None:
        """Whether the account is authorised, unless something newer is known.

        One that is not keeps its refresh tokens and facts, and loses its token.
        """
        await self._alter(
            appid, lambda known: credential.with_standing(known, authorised, at)
        )

    async def put_grant(self, platform: str, grant: Grant, at: float) -> None:
        """Replaces tokens and permission sets in one step; the account is authorised.

        A refresh that is under way cannot overwrite it. An older grant, or one from
        before a withdrawal, changes nothing.
        """
        new = Minted(
            token=grant.token,
            learned_at=grant.learned_at,
            expires_at=grant.expires_at,
            refresh_token=grant.refresh_token,
        )
        sets = grant.permission_sets
        await self._alter(
            grant.appid, lambda known: credential.granted(known, new, sets, at)
        )

    async def profile(self, appid: str) -> Profile | None:
        """What is known of the account; None: nothing was ever stored."""
        found = await self.documents.raw(appid)
        return None if found is None else credential.profile(appid, found)

    async def profiles(self) -> AsyncIterator[Profile]:
        """Every account of the vault, in no order."""
        async for name, found in self.documents.all():
            if ":" not in name:
                yield credential.profile(name, found)

    async def forget(self, appid: str) -> bool:
        """Drops all that is known of the account; False: nothing was."""
        return await self.documents.forget(appid)

    # The platform's ticket, and authorisation codes

    async def ticket(self, platform: str) -> Ticket:
        """The platform's newest ticket; an empty one where none is known."""
        return (await self.documents.read(TICKET, platform)).newest

    async def ticket_created_at(self, platform: str) -> float:
        """When the newest ticket was created; 0.0: none is known."""
        return (await self.ticket(platform)).created_at

    async def put_ticket(
        self, platform: str, ticket: str, created_at: float | None = None
    ) -> None:
        """Keeps the ticket unless a newer one is known; an empty one changes nothing."""
        moment = self._clock() if created_at is None else created_at
        new = Ticket(value=ticket, created_at=moment)

        def decide(known: Tickets) -> tuple[Tickets, None]:
            return pushed.with_ticket(known, new), None

        await self.documents.change(TICKET, platform, decide)

    async def ask_for_pushes(self, platform: str, every: float) -> float:
        """Seconds since any process last asked WeChat to push; 0.0: ask now.

        Of all processes one is told so in `every` seconds.
        """
        now = await self._shared_now()

        def decide(known: Tickets) -> tuple[Tickets, float]:
            asked = pushed.with_request(known, now, every)
            return (known, now - known.asked_at) if asked is None else (asked, 0.0)

        return await self.documents.change(TICKET, platform, decide)

    async def put_code(self, platform: str, code: Code, claim_seconds: float) -> bool:
        """Keeps the code, claimed for so long by the caller; False: it was known.

        It stays known, done or not, for a day after `until`.
        """
        now = self._clock()

        def decide(known: Codes) -> tuple[Codes, bool]:
            kept = pushed.with_code(known, code, now, claim_seconds)
            return (known, False) if kept is None else (kept, True)

        return await self.documents.change(CODES, platform, decide)

    async def claim_codes(
        self, platform: str, claim_seconds: float, most: int
    ) -> Sequence[Code]:
        """The oldest codes that are neither done nor claimed, now claimed for so long."""
        now = self._clock()

        def decide(known: Codes) -> tuple[Codes, Sequence[Code]]:
            return pushed.claimed(known, now, claim_seconds, most)

        return await self.documents.change(CODES, platform, decide)

    async def close_code(self, platform: str, code: Code) -> None:
        """The code is done."""

        def decide(known: Codes) -> tuple[Codes, None]:
            return pushed.without(known, code), None

        await self.documents.change(CODES, platform, decide)

    async def _shared_now(self) -> float:
        """The time that all users of the store agree upon."""
        await self.documents.ready()
        return self._clock() + self.documents.store.skew

    async def _alter(
        self, name: str, decide: Callable[[Credential], Credential]
    ) -> Stored:
        def both(known: Credential) -> tuple[Credential, Stored]:
            after = decide(known)
            return after, credential.stored(after)

        return await self.documents.change(CREDENTIAL, name, both)


def opened(
    url: str,
    folder: Path = Path(),
    keys: Sequence[Secret] = (),
    clock: Callable[[], float] = time.time,
) -> Vault:
    """The vault at `sqlite:///path` (a relative one starts from `folder`) or `redis://…`.

    Raises UsageError for another scheme and for what is no key, and what opening a
    file raises. Use it as an async context manager: that looks at keys and store first.
    """
    seals = Seals(keys)
    if url.startswith(("redis://", "rediss://")):
        return Vault(_redis(url, clock), seals, clock)
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path:
        raise UsageError(
            "the vault's url is none",
            "expected sqlite:///path/of/vault.db or redis://host:6379/0",
        )
    return Vault(SqliteStore(folder / path), seals, clock)


def _redis(url: str, clock: Callable[[], float]) -> Store:
    try:
        from harvester.api.vault.redis import RedisStore
    except ModuleNotFoundError:
        raise UsageError(
            "the vault is in Redis, whose library is not installed",
            "pip install 'harvester[redis]'",
        ) from None
    return RedisStore(url, clock)
