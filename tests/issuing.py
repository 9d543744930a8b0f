"""A scripted issuer of tokens, and the scene of the tests of tokens around it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from loopback import Seen, WeChat, account, no_sleep, wechat

from harvester.api.codes import Refusal, Refused
from harvester.api.tokens.platform import Platform
from harvester.api.tokens.tokens import Tokens
from harvester.api.vault.sqlite import SqliteStore
from harvester.api.vault.vault import Vault
from harvester.api.wire import Wire
from harvester.dates import CHINA
from harvester.secret import Secret

STABLE = "/cgi-bin/stable_token"
COMPONENT = "/cgi-bin/component/api_component_token"
AUTHORIZER = "/cgi-bin/component/api_authorizer_token"
LIST = "/cgi-bin/component/api_get_authorizer_list"
INFO = "/cgi-bin/component/api_get_authorizer_info"
PUSHES = "/cgi-bin/component/api_start_push_ticket"
PLATFORM = "wxffffffffffffffff"
OWN = account(secret=Secret("canary-account-secret"))
GRANTED = account(refresh_token=Secret("configured-refresh"))


@dataclass
class Clock:
    now: float = datetime(2024, 12, 8, 12, tzinfo=CHINA).timestamp()

    def __call__(self) -> float:
        return self.now


@dataclass
class Issuer:
    """Issues tokens as WeChat does; `errors` answers in its place, first come first."""

    refresh_tokens: set[str] = field(default_factory=lambda: {"configured-refresh"})
    component_tokens: list[str] = field(default_factory=list)
    errors: dict[str, list[Any]] = field(default_factory=dict)
    rotates_to: list[str] = field(default_factory=list)
    listed: list[tuple[str, str]] = field(default_factory=list)
    """The platform's list: appids and refresh tokens."""

    informed: dict[str, str] = field(default_factory=dict)
    """The refresh tokens that infos hold; other accounts do not authorise."""

    lifetime: object = 7200
    issued: int = 0

    def __call__(self, seen: Seen) -> Any:
        waiting = self.errors.get(seen.path)
        if waiting:
            answer = waiting.pop(0)
            if answer is not None:
                return answer
        self.issued += 1
        return getattr(self, f"_{seen.path.rpartition('/')[2]}")(seen)

    def _stable_token(self, seen: Seen) -> dict[str, Any]:
        assert seen.body["grant_type"] == "client_credential"
        assert seen.body["force_refresh"] is False
        assert seen.body["secret"] == "canary-account-secret"
        return {"access_token": f"own{self.issued}", "expires_in": self.lifetime}

    def _api_component_token(self, seen: Seen) -> dict[str, Any]:
        assert seen.body["component_appid"] == PLATFORM
        assert seen.body["component_appsecret"] == "canary-platform-secret"
        token = f"component{self.issued}"
        self.component_tokens.append(token)
        return {"component_access_token": token, "expires_in": self.lifetime}

    def _api_authorizer_token(self, seen: Seen) -> dict[str, Any]:
        if seen.query["component_access_token"] not in self.component_tokens[-1:]:
            return {"errcode": 40001, "errmsg": "invalid credential"}
        refresh_token = seen.body["authorizer_refresh_token"]
        if refresh_token not in self.refresh_tokens:
            return {
                "errcode": 61023,
                "errmsg": f"refresh_token {refresh_token} invalid",
            }
        return {
            "authorizer_access_token": f"granted{self.issued}",
            "expires_in": self.lifetime,
            "authorizer_refresh_token": (self.rotates_to or [refresh_token]).pop(0),
        }

    def _api_get_authorizer_list(self, seen: Seen) -> dict[str, Any]:
        assert seen.body["component_appid"] == PLATFORM
        offset, count = seen.body["offset"], min(seen.body["count"], 500)
        found = self.listed[offset : offset + count]
        return {
            "total_count": len(self.listed),
            "list": [
                {"authorizer_appid": appid, "refresh_token": token, "auth_time": 17}
                for appid, token in found
            ],
        }

    def _api_get_authorizer_info(self, seen: Seen) -> dict[str, Any]:
        appid = seen.body["authorizer_appid"]
        if appid not in self.informed:
            return error(61003, "component is not authorized by this account")
        return {
            "authorizer_info": {
                "nick_name": "样板号",
                "service_type_info": {"id": 2},
                "verify_type_info": {"id": -1},
                "account_status": 19,
            },
            "authorization_info": {
                "authorizer_appid": appid,
                "authorizer_refresh_token": self.informed[appid],
                "func_info": [{"funcscope_category": {"id": n}} for n in (1, 7)],
            },
        }

    def _api_start_push_ticket(self, seen: Seen) -> dict[str, Any]:
        assert seen.body == {
            "component_appid": PLATFORM,
            "component_secret": "canary-platform-secret",
        }
        return {"errcode": 0, "errmsg": "ok"}


def error(code: int, message: str = "told") -> dict[str, Any]:
    return {"errcode": code, "errmsg": message}


@dataclass
class Scene:
    server: WeChat
    issuer: Issuer
    wire: Wire
    vault: Vault
    clock: Clock
    path: Path
    ticket: str = "ticket-1"
    opened: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def platform(self) -> Platform:
        return Platform(
            appid=PLATFORM,
            secret=Secret("canary-platform-secret"),
            ticket=lambda: self.ticket,
        )

    def tokens(
        self, platform: Platform | None = None, vault: Vault | None = None
    ) -> Tokens:
        return Tokens(
            self.wire,
            vault or self.vault,
            platform or self.platform,
            clock=self.clock,
            sleep=no_sleep,
        )

    def another(self) -> Vault:
        """What another process has open."""
        vault = Vault(SqliteStore(self.path), clock=self.clock)
        self.opened.callback(vault.close)
        return vault


@asynccontextmanager
async def scene(path: Path, issuer: Issuer | None = None) -> AsyncIterator[Scene]:
    issuer = issuer or Issuer()
    clock = Clock()
    async with wechat(issuer) as server, Wire((server.url,), timeout_seconds=5) as wire:
        vault = Vault(SqliteStore(path / "vault.db"), clock=clock)
        made = Scene(server, issuer, wire, vault, clock, path / "vault.db")
        async with made.opened:
            yield made
        vault.close()


async def refusal(wanted: Any) -> Refusal:
    with pytest.raises(Refused) as met:
        await wanted
    assert "canary" not in repr(met.value.refusal)
    return met.value.refusal
