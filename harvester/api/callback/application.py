"""The web application for WeChat and for accounts' owners. Below it: `Receiver`.

A push is answered `success`, or by a line that names the reason. Nobody outside ever
sees an exception, and nothing of a push is logged: its address and its body hold secrets.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

import structlog
from aiohttp import web
from aiolimiter import AsyncLimiter
from anyio import move_on_after

from harvester.api.callback import pages
from harvester.api.callback.codes import Codes
from harvester.api.callback.contract import PATH, Code, Outcome
from harvester.api.callback.edge import alone
from harvester.api.callback.pushes import MOST_BYTES, STATUS, Unwelcome
from harvester.api.callback.receiver import Receiver
from harvester.api.codes import Refused

CODES_A_MINUTE = 10
"""Anybody can open the redirect page with a made-up code, and each costs a call."""

PRE_AUTH_CODES_A_MINUTE = 60

CODE_SECONDS = (60.0, 3600.0)
"""A code is tried for at least and at most so long, whatever its address says."""

_CODE = re.compile(r"[\x21-\x7e]{1,512}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_NOTICES = {
    Outcome.GRANTED: pages.GRANTED,
    Outcome.KNOWN: pages.RECEIVED,
    Outcome.LATER: pages.LATER,
    Outcome.INVALID: pages.INVALID,
}

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.Response]]


def application(receiver: Receiver) -> web.Application:
    """Serves pushes under the configured path, `/authorize` and `/authorized`.

    The receiver works for as long as the application runs.
    """
    app = web.Application(client_max_size=MOST_BYTES)
    for path in dict.fromkeys((receiver.terms.path, PATH)):
        app.router.add_post(path, _safe("push", partial(_pushed, receiver)))
    visitors = _Visitors(receiver)
    for path, handler in (
        ("/authorize", visitors.authorize),
        ("/authorized", visitors.authorized),
    ):
        app.router.add_get(path, _safe("page", handler), allow_head=False)
    app.cleanup_ctx.append(partial(_working, receiver))
    return app


async def _working(receiver: Receiver, _: web.Application) -> AsyncIterator[None]:
    work = asyncio.create_task(receiver.work())
    yield
    await receiver.drained()
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


def _safe(what: str, handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        answered = await alone(what, handler(request))
        return answered or web.Response(status=500, text="failed")

    return answer


async def _pushed(receiver: Receiver, request: web.Request) -> web.Response:
    try:
        body = await _body(request, receiver.pace.body)
        await receiver.take(request.query, body)
    except Unwelcome as unwelcome:
        receiver.refused(unwelcome)
        return _refusal(unwelcome.reason)
    return web.Response(text="success")


def _refusal(reason: str) -> web.Response:
    answer = web.Response(status=STATUS[reason], text=f"refused: {reason}")
    if reason in ("size", "body"):
        answer.force_close()  # what is left of the body is not worth reading
    return answer


async def _body(request: web.Request, seconds: float) -> bytes:
    """The whole body, if it is small enough and comes in time. Raises Unwelcome."""
    if (request.content_length or 0) > MOST_BYTES:
        raise Unwelcome("size")
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Unwelcome("size") from None
    except (web.RequestPayloadError, OSError):  # TimeoutError is an OSError
        raise Unwelcome("body") from None


class _Visitors:
    """The pages for owners. Both cost WeChat's calls, so that both are rationed."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._codes = AsyncLimiter(CODES_A_MINUTE)
        self._pre_auth_codes = AsyncLimiter(PRE_AUTH_CODES_A_MINUTE)

    async def authorize(self, request: web.Request) -> web.Response:
        """A page with a link to WeChat's, good for one authorisation."""
        terms, authority = self._receiver.terms, self._receiver.authority
        if authority is None or not terms.public_url:
            return _shown(pages.NOT_OFFERED)
        if not await _admitted(self._pre_auth_codes):
            return _shown(pages.BUSY)
        try:
            code = await authority.pre_auth_code()
        except Refused as refused:
            refusal = refused.refusal
            log.warning("no_pre_auth_code", reason=refusal.message, todo=refusal.todo)
            return _shown(pages.BUSY)
        phone = pages.on_phone(request.headers.get("User-Agent", ""))
        back = f"{terms.public_url.rstrip('/')}/authorized"
        url = pages.wechat_url(terms.platform, code, back, phone=phone)
        return _page(200, pages.forward(url, phone=phone), pages.SENDS_ORIGIN)

    async def authorized(self, request: web.Request) -> web.Response:
        """Where WeChat sends the owner back to, with a code in the address."""
        given = request.query.get("auth_code", "")
        codes = self._receiver.codes
        if not _CODE.fullmatch(given):
            return _shown(pages.INCOMPLETE)
        if codes is None:
            return _shown(pages.RECEIVED)
        if not await _admitted(self._codes):
            return _shown(pages.LATER)  # the push brings the code as well
        now = self._receiver.clock()
        until = now + _lifetime(request.query.get("expires_in", ""))
        code = Code(value=given, created_at=now, until=until)
        outcome = Outcome.LATER
        with move_on_after(self._receiver.pace.page):
            outcome = await alone("take_code", _exchanged(codes, code)) or outcome
        return _shown(_NOTICES[outcome])


async def _exchanged(codes: Codes, code: Code) -> Outcome:
    flight = await codes.take(code)
    await flight.done.wait()
    return flight.outcome


async def _admitted(limiter: AsyncLimiter) -> bool:
    """Whether there is room now; nobody waits for it."""
    if not limiter.has_capacity():
        return False
    await limiter.acquire()
    return True


def _lifetime(text: str) -> float:
    shortest, longest = CODE_SECONDS
    seconds = float(text) if _SECONDS.fullmatch(text) else longest
    return min(max(seconds, shortest), longest)


def _shown(which: pages.Notice) -> web.Response:
    return _page(which.status, pages.notice(which), pages.HIDES_ADDRESS)


def _page(status: int, text: str, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=status,
        text=text,
        content_type="text/html",
        headers={**pages.HEADERS, **headers},
    )
