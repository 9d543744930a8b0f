"""WeChat's side of the pushes, written by the documents alone, and what they end in.

`sealed` and `Sent` share no code with what they test. `Kept` is a vault in memory that
keeps the contract's promises.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
from aiohttp import ClientSession
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from harvester import crypto
from harvester.api.callback.contract import Authority, Code, Grant, Terms
from harvester.api.callback.receiver import Pace, Receiver
from harvester.api.callback.server import listening
from harvester.api.codes import Decision, Refusal, Refused
from harvester.errors import StorageError
from harvester.secret import Secret

VECTORS = Path(__file__).parent / "fixtures" / "crypto"

PLATFORM = "wx0000000000000001"
ACCOUNT = "wx0000000000000002"
TOKEN = "generatedtoken"
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
OLD_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
NOW = 1_700_000_000.0

TICKET = "ticket@@@SECRET-OF-THE-PLATFORM"
CODE = "queryauthcode@@@SECRET-CODE"
REFRESH_TOKEN = "refreshtoken@@@SECRET-OF-THE-ACCOUNT"
ACCESS_TOKEN = "SECRET-ACCESS-TOKEN"
PRE_AUTH_CODE = "preauthcode@@@ONCE&more"

PUBLIC = {"public_url": "https://wechat.example.com/h/"}
SUCCESS = (200, "success")

SECRETS = (TOKEN, KEY, OLD_KEY, TICKET, CODE, REFRESH_TOKEN, ACCESS_TOKEN)

_NONCES = count(1_000_000_000)


def vectors(name: str) -> dict[str, Any]:
    """One file of published or generated vectors."""
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    return found


def sealed(
    message: bytes,
    *,
    key: str = KEY,
    appid: str = PLATFORM,
    random: bytes = b"0123456789abcdef",
) -> str:
    """`Encrypt`, as WeChat makes it."""
    aes = b64decode(f"{key}=")
    block = random + len(message).to_bytes(4, "big") + message + appid.encode()
    padding = 32 - len(block) % 32
    block += bytes([padding]) * padding
    encryptor = Cipher(algorithms.AES(aes), modes.CBC(aes[:16])).encryptor()
    return b64encode(encryptor.update(block) + encryptor.finalize()).decode()


def xml(**fields: object) -> str:
    """`<xml>` with these fields, numbers bare and texts in CDATA."""
    inside = "".join(
        f"<{name}>{value if isinstance(value, int) else f'<![CDATA[{value}]]>'}</{name}>"
        for name, value in fields.items()
    )
    return f"<xml>{inside}</xml>"


@dataclass(frozen=True)
class Sent:
    """One push as it stands on the wire."""

    query: dict[str, str]
    body: bytes

    @property
    def tail(self) -> str:
        return f"?{urlencode(self.query)}"


def signed(encrypted: str, *, at: float = NOW, outer: str = "", **query: str) -> Sent:
    """`Encrypt` in its envelope, with its signature; `query` overrides it."""
    timestamp, nonce = str(int(at)), str(next(_NONCES))
    parts = sorted((TOKEN, query.get("timestamp", timestamp), nonce, encrypted))
    signature = hashlib.sha1("".join(parts).encode()).hexdigest()
    given = {
        "signature": "0" * 40,
        "timestamp": timestamp,
        "nonce": nonce,
        "encrypt_type": "aes",
        "msg_signature": signature,
    }
    body = outer or xml(AppId=PLATFORM, Encrypt=encrypted)
    return Sent({**given, **query}, body.encode())


def pushed(kind: str, at: float = NOW, **fields: object) -> Sent:
    """A genuine push of this kind."""
    inner = {"AppId": PLATFORM, "CreateTime": int(at), "InfoType": kind, **fields}
    return signed(sealed(xml(**inner).encode()), at=at)


def ticket(value: str = TICKET, at: float = NOW) -> Sent:
    return pushed("component_verify_ticket", at, ComponentVerifyTicket=value)


def authorised(
    appid: str = ACCOUNT, code: str = CODE, at: float = NOW, kind: str = "authorized"
) -> Sent:
    return pushed(
        kind,
        at,
        AuthorizerAppid=appid,
        AuthorizationCode=code,
        AuthorizationCodeExpiredTime=int(at) + 3600,
        PreAuthCode="preauthcode@@@SECRET",
    )


def forged(**query: str) -> Sent:
    """A genuine push with something else in its address."""
    sent = ticket()
    return replace(sent, query={**sent.query, **query})


def withdrawn(appid: str = ACCOUNT, at: float = NOW) -> Sent:
    return pushed("unauthorized", at, AuthorizerAppid=appid)


@dataclass
class Kept:
    """A vault in memory. `gate` holds every call up; `failures` so many calls fail."""

    tickets: dict[str, tuple[float, str]] = field(default_factory=dict)
    standings: dict[str, tuple[float, bool]] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)
    gate: anyio.Event | None = None
    failures: int = 0
    claims_run_out: bool = False

    async def _reached(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise StorageError("vault vault.db: the disk is full", "make room")

    async def put_ticket(self, platform: str, ticket: str, created_at: float) -> None:
        await self._reached()
        if ticket and created_at >= self.tickets.get(platform, (0.0, ""))[0]:
            self.tickets[platform] = (created_at, ticket)

    async def ticket_created_at(self, platform: str) -> float:
        await self._reached()
        return self.tickets.get(platform, (0.0, ""))[0]

    async def put_standing(
        self, platform: str, appid: str, *, authorised: bool, at: float
    ) -> None:
        await self._reached()
        if at >= self.standings.get(appid, (0.0, False))[0]:
            self.standings[appid] = (at, authorised)
            if not authorised and appid in self.grants:
                self.grants[appid] = replace(self.grants[appid], token="")

    async def put_code(self, platform: str, code: Code, claim_seconds: float) -> bool:
        await self._reached()
        known = code.value in self.codes
        self.codes.setdefault(code.value, code)
        self.claimed.add(code.value)
        return not known

    async def claim_codes(
        self, platform: str, claim_seconds: float, most: int
    ) -> Sequence[Code]:
        await self._reached()
        if self.claims_run_out:
            self.claimed.clear()
        free = [
            code
            for value, code in self.codes.items()
            if value not in self.done and value not in self.claimed
        ][:most]
        self.claimed |= {code.value for code in free}
        return free

    async def close_code(self, platform: str, code: Code) -> None:
        await self._reached()
        self.done.add(code.value)

    async def put_grant(self, platform: str, grant: Grant, at: float) -> None:
        await self._reached()
        if at >= self.standings.get(grant.appid, (0.0, False))[0]:
            self.grants[grant.appid] = grant
            self.standings[grant.appid] = (at, True)

    def authorised(self, appid: str = ACCOUNT) -> bool | None:
        """Whether the account is authorised; None: nothing is known."""
        return self.standings.get(appid, (0.0, None))[1]


def refused(code: str, decision: Decision = Decision.FAIL) -> Refused:
    return Refused(Refusal(decision=decision, code=code, message=f"refused {code}"))


OUTAGE = refused("-1", Decision.RETRY)
INVALID_CODE = refused("61009")


@dataclass
class Granting:
    """A platform whose answers are scripted: a grant, or what to raise instead."""

    troubles: list[BaseException] = field(default_factory=list)
    gate: anyio.Event | None = None
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    pre_auth_codes: int = 0
    asked_for_pushes: int = 0

    async def query_auth(self, code: str) -> Grant:
        self.asked.append(code)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.troubles:
                raise self.troubles.pop(0)
        finally:
            self.at_once -= 1
        return granted(code.partition("#")[2] or ACCOUNT)

    async def ask_for_pushes(self) -> None:
        self.asked_for_pushes += 1

    async def pre_auth_code(self) -> str:
        if self.troubles:
            raise self.troubles.pop(0)
        self.pre_auth_codes += 1
        return f"{PRE_AUTH_CODE}-{self.pre_auth_codes}"


def granted(appid: str = ACCOUNT) -> Grant:
    return Grant(
        appid=appid,
        permission_sets=frozenset({1, 7}),
        token=ACCESS_TOKEN,
        refresh_token=REFRESH_TOKEN,
        learned_at=NOW,
        expires_at=NOW + 6900,
    )


def terms(**given: Any) -> Terms:
    keys = (crypto.key_of(KEY), crypto.key_of(OLD_KEY))
    return Terms(
        **{"platform": PLATFORM, "token": Secret(TOKEN), "keys": keys, **given}
    )


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Reception:
    """A receiver on loopback, and who talks to it."""

    receiver: Receiver
    url: str
    health_url: str
    client: ClientSession
    vault: Kept
    clock: Clock

    async def post(
        self, sent: Sent, path: str = "/wechat/events", **given: Any
    ) -> tuple[int, str]:
        url = f"{self.url}{path}{sent.tail}"
        async with self.client.post(url, **{"data": sent.body, **given}) as answer:
            return answer.status, await answer.text()

    async def get(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, Mapping[str, str]]:
        async with self.client.get(f"{self.url}{path}", headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers

    async def health(self) -> tuple[int, dict[str, Any]]:
        async with self.client.get(f"{self.health_url}/healthz") as answer:
            return answer.status, await answer.json()

    async def metrics(self) -> str:
        async with self.client.get(f"{self.health_url}/metrics") as answer:
            return await answer.text()


QUICK = Pace(answer=1.0, body=1.0, page=1.0, sweep=0.02, look=0.02)


@asynccontextmanager
async def receiving(
    vault: Kept | None = None,
    authority: Authority | None = None,
    *,
    pace: Pace = QUICK,
    **given: Any,
) -> AsyncIterator[Reception]:
    """A receiver that listens, with a vault and a platform of the test's own."""
    vault, clock = vault or Kept(), Clock()
    receiver = Receiver(
        terms(**given), vault, authority, clock=clock, sleep=_at_once, pace=pace
    )
    async with (
        listening(receiver, "127.0.0.1", 0, 0) as addresses,
        ClientSession() as client,
    ):
        yield Reception(
            receiver, addresses.url, addresses.health_url, client, vault, clock
        )


async def _at_once(_: float) -> None:
    await anyio.lowlevel.checkpoint()


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what other tasks bring about; fails when they do not."""
    for _ in range(20_000):
        if holds():
            return
        await anyio.sleep(0.001)
    raise AssertionError("it never came about")
