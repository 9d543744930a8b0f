"""Access tokens: opaque, short-lived, and void as soon as WeChat's rules say so."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from harvester.sandbox.refusals import Refusal

OVERLAP = 300.0
"""Seconds before its end at which a token is renewed, and both are good."""

_MOST = 500_000


class Kind(StrEnum):
    """Where a token comes from; one account may hold one of each at a time."""

    PLAIN = "token"
    STABLE = "stable_token"
    AUTHORIZER = "api_authorizer_token"
    COMPONENT = "api_component_token"


@dataclass(slots=True)
class Token:
    """One issued token."""

    value: str = field(repr=False)
    kind: Kind
    appid: str
    dies_at: float
    replaced: bool = False


class Tokens:
    """All tokens ever issued (the oldest are forgotten), and which one is the newest."""

    def __init__(
        self, life: float, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self.life = life
        self.ticks = ticks
        self._issued: dict[str, Token] = {}
        self._newest: dict[tuple[Kind, str], Token] = {}

    def mint(self, kind: Kind, appid: str, overlap: float = 0) -> Token:
        """A new token; the one before it dies after `overlap` seconds."""
        self.end(kind, appid, overlap)
        value = secrets.token_urlsafe(102)
        token = Token(value, kind, appid, self.ticks() + self.life)
        self._issued[value] = self._newest[kind, appid] = token
        if len(self._issued) > _MOST:
            del self._issued[next(iter(self._issued))]
        return token

    def end(self, kind: Kind, appid: str, overlap: float = 0) -> None:
        """The newest token of this kind stops being the latest."""
        token = self._newest.pop((kind, appid), None)
        if token is not None:
            token.dies_at = min(token.dies_at, self.ticks() + overlap)
            token.replaced = True

    def newest(self, kind: Kind, appid: str) -> Token | None:
        """The token of this kind that is good for a while yet."""
        token = self._newest.get((kind, appid))
        return token if token and self.left(token) > self.overlap() else None

    def left(self, token: Token) -> float:
        """Seconds that the token has to live."""
        return token.dies_at - self.ticks()

    def overlap(self) -> float:
        """For how long an old and a new token are both good."""
        return min(OVERLAP, self.life / 10)

    def find(self, value: str) -> Token | None:
        """The token with this value, dead or alive."""
        return self._issued.get(value)

    def kill(self, value: str) -> None:
        """The token expires now."""
        token = self._issued.get(value)
        if token is not None:
            token.dies_at = self.ticks()

    def expire(self, appid: str) -> None:
        """Every token of the account expires now."""
        for kind in Kind:
            newest = self._newest.get((kind, appid))
            if newest is not None:
                newest.dies_at = self.ticks()

    def check(self, value: str) -> Token:
        """The living token with this value. Raises Refusal."""
        token = self._issued.get(value)
        if not value:
            raise Refusal(41001)
        if token is None:
            raise Refusal(40014)
        if self.left(token) <= 0:
            raise Refusal(40001 if token.replaced else 42001)
        return token
