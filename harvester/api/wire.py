"""One HTTP session for the whole process, and the door where its errors are translated.

1. Nothing follows a redirect, keeps a cookie or reads proxies from the environment.
2. A body is read in pieces and never beyond `MOST_BYTES`, unpacked size counted.
3. Whatever goes wrong comes out as `Unreachable`. It is no OSError, so that nobody
   takes the network for the disk, and its text holds no URL and no token.
"""

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from harvester import __version__
from harvester.api import connections

MOST_BYTES = 8 * 2**20
"""The largest answer that is read; the largest known ones are a hundredth of it."""

CONNECT_SECONDS = 10.0

TOKEN_SECONDS = 6.0
"""The longest a token call takes: nothing cancels one, and a run ends within 10 s."""

KEPT_BYTES = 4096
"""So much of a body that was cut is kept to be looked at."""

AVOID_SECONDS = 60.0
"""How long an address that could not be reached is tried last."""

NOT_SENT = frozenset({"dns", "unreachable", "tls"})
"""Kinds of trouble in which no request has left this machine."""

_JSON = {"Content-Type": "application/json"}
_HEADERS = {"User-Agent": f"harvester/{__version__}"}


class Unreachable(Exception):
    """No usable answer came. `kind` is a pseudo-code of `api.rules`."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        status: int = 0,
        retry_after: float | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.body = body


@dataclass(slots=True)
class Counters:
    """What was sent since the start; retries count among the calls."""

    calls: int = 0
    retries: int = 0
    token_refreshes: int = 0


_TROUBLES: tuple[tuple[type[BaseException], str, str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "tls", "the certificate does not hold"),
    (aiohttp.ClientSSLError, "tls", "no TLS connection came about"),
    (ssl.SSLError, "tls", "the TLS connection broke"),
    (aiohttp.ClientConnectorDNSError, "dns", "the server's name cannot be resolved"),
    (aiohttp.ConnectionTimeoutError, "unreachable", "no connection in time"),
    (aiohttp.ClientConnectorError, "unreachable", "no connection"),
    (TimeoutError, "timeout", "no answer in time"),
    (aiohttp.ClientPayloadError, "reset", "the answer broke off"),
    (aiohttp.ServerDisconnectedError, "reset", "the server closed the connection"),
    (aiohttp.ClientResponseError, "reset", "the answer is not HTTP"),
    (aiohttp.InvalidURL, "unreachable", "the url is not valid"),
    (aiohttp.ClientError, "reset", "the connection broke"),
    (OSError, "reset", "the connection broke"),
)
"""Most special first: the first class that fits names the trouble."""

_CAUGHT = (aiohttp.ClientError, OSError)  # TimeoutError and SSLError are OSErrors


class Wire:
    """Sends requests to the configured addresses. Open it inside the event loop."""

    counters: Counters
    skew_seconds: float | None = None
    """This machine's clock minus the servers' `Date`; None before the first answer."""

    def __init__(
        self,
        urls: tuple[str, ...],
        *,
        timeout_seconds: float = 20.0,
        connections: int = 256,
    ) -> None:
        """`urls`: the address, then those to fall back to; no slash at the end."""
        self.timeout_seconds = timeout_seconds
        self.counters = Counters()
        self._urls = tuple(url.rstrip("/") for url in urls)
        self._ours = tuple(f"{url}/" for url in self._urls)
        self._limit = connections
        self._avoided: dict[str, float] = {}
        self._seen_date = ""
        self._patient = _timeout(timeout_seconds)
        self._quick = _timeout(min(TOKEN_SECONDS, timeout_seconds))

    async def __aenter__(self) -> Self:
        self._session = self._opened()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def data(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Asks the first address that can be reached. Raises Unreachable."""
        trouble = Unreachable("unreachable", "no address")
        for url in self._by_hope():
            try:
                return await self.send(method, f"{url}{path}", body)
            except Unreachable as met:
                if met.kind not in ("dns", "unreachable"):
                    raise
                trouble = met
                self._avoided[url] = time.monotonic() + AVOID_SECONDS
        raise trouble

    async def main(self, path: str, body: bytes) -> bytes:
        """Posts to the first address alone, as token calls must. Raises Unreachable."""
        return await self.send("POST", f"{self._urls[0]}{path}", body, quick=True)

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        quick: bool = False,
    ) -> bytes:
        """One request; the body of a 2xx answer. Raises Unreachable.

        `url` is quoted already; no error names it.
        """
        try:
            response = await self._session.request(
                method,
                URL(url, encoded=True),
                data=body,
                headers=headers or (None if body is None else _JSON),
                allow_redirects=False,
                timeout=self._quick if quick else self._patient,
            )
            taken = await _taken(response)
            if url.startswith(self._ours):
                self._look_at_clock(response)
            return taken
        except _CAUGHT as error:
            trouble = translated(error)
        raise trouble  # out here: the error it stands for knows the URL

    def _look_at_clock(self, response: ClientResponse) -> None:
        date = response.headers.get("Date", "")
        if date == self._seen_date:
            return
        self._seen_date = date
        moment = _moment(date)
        if moment is not None:
            self.skew_seconds = time.time() - moment

    def _by_hope(self) -> Iterator[str]:
        """The addresses; those that could not be reached lately come last."""
        if not self._avoided:
            yield from self._urls
            return
        now = time.monotonic()
        self._avoided = {u: end for u, end in self._avoided.items() if end > now}
        yield from sorted(self._urls, key=lambda url: self._avoided.get(url, 0.0))

    def _opened(self) -> ClientSession:
        session = ClientSession(
            connector=connections.pool(asyncio.get_running_loop(), self._limit),
            cookie_jar=DummyCookieJar(),
            trust_env=False,
            headers=_HEADERS,
        )
        session._retry_connection = False  # it would repeat a GET that nobody counts
        return session


def _timeout(seconds: float) -> ClientTimeout:
    connect = min(CONNECT_SECONDS, seconds)
    return ClientTimeout(total=seconds, sock_connect=connect, sock_read=seconds)


def translated(error: BaseException) -> Unreachable:
    """The same trouble in our words, without the URL that aiohttp puts into its own."""
    for kind_of_error, kind, detail in _TROUBLES:
        if isinstance(error, kind_of_error):
            return Unreachable(kind, detail)
    raise error


async def _taken(response: ClientResponse) -> bytes:
    """The body of a 2xx answer; what is left of any other is never waited for."""
    try:
        if 300 <= response.status < 400:
            raise _redirect(response)
        body = await _body(response)
    except BaseException:
        response.close()
        raise
    if response.status >= 400:
        raise _refusal(response, body)
    return body


async def _body(response: ClientResponse) -> bytes:
    """The whole body. Raises Unreachable when it is larger than it may be."""
    content = response.content
    body = await content.readany()
    if content.at_eof() and len(body) <= MOST_BYTES:
        return body
    pieces, size = [body], len(body)
    while size <= MOST_BYTES:
        piece = await content.readany()
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
    detail = f"more than {MOST_BYTES >> 20} MiB"
    raise Unreachable("too_large", detail, body=pieces[0][:KEPT_BYTES])


def _redirect(response: ClientResponse) -> Unreachable:
    """Names the origin alone: the rest of the address may carry the token."""
    try:
        origin = str(URL(response.headers.get("Location", "")).origin())
    except ValueError:
        origin = "another path"
    return Unreachable("redirect", f"to {origin}", status=response.status)


def _refusal(response: ClientResponse, body: bytes) -> Unreachable:
    busy = response.status >= 500 or response.status in (408, 425, 429)
    return Unreachable(
        "http_5xx" if busy else "http_4xx",
        f"HTTP {response.status}",
        status=response.status,
        retry_after=_seconds(response.headers.get("Retry-After", "")),
        body=body,
    )


def _seconds(text: str) -> float | None:
    """What `Retry-After` says: seconds, or a date."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    moment = _moment(text)
    return None if moment is None else max(0.0, moment - time.time())


def _moment(text: str) -> float | None:
    """The epoch second of an HTTP date, or None."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
