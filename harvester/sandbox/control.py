"""The hand over HTTP: what a rehearsal changes while the sandbox runs.

`POST /sandbox/<deed>` with a JSON object of the deed's arguments. What cannot be done
is refused with status 400 and the reason in `error`.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from typing import Any

import orjson
from aiohttp import web

from harvester.errors import UsageError
from harvester.sandbox.authorising import TICKET
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings

Deed = Callable[..., Awaitable[dict[str, Any]]]

FIXED = frozenset({"host", "port", "seed", "accounts", "faults", "as_of"})
"""Settings that hold from the start to the end."""


async def push(box: Sandbox, kind: str = TICKET, appid: str = "") -> dict[str, Any]:
    """Pushes now; how the receiver answered."""
    return {"answer": await box.pushes.push(kind, appid)}


async def authorise(
    box: Sandbox, appid: str, sets: Sequence[int] | None = None
) -> dict[str, Any]:
    """The account's owner authorises; the code that the redirect would bring."""
    box.check(appid)
    return {"auth_code": box.scan(appid, sets)}


async def revoke(box: Sandbox, appid: str, silently: bool = False) -> dict[str, Any]:
    """The account's owner withdraws."""
    box.check(appid)
    box.revoke(appid, silently=silently)
    return {}


async def freeze(box: Sandbox, appid: str, frozen: bool = True) -> dict[str, Any]:
    """WeChat freezes the account, or no longer."""
    box.check(appid)
    box.freeze(appid, frozen)
    return {}


async def verify(box: Sandbox, appid: str, verified: bool = True) -> dict[str, Any]:
    """The account is verified, or is not."""
    box.check(appid)
    box.verify(appid, verified)
    return {}


async def expire(box: Sandbox, appid: str) -> dict[str, Any]:
    """Every token of the account, or of the platform with this appid, is void."""
    box.check(appid)
    box.expire_tokens(appid)
    return {}


async def settings(box: Sandbox, **changes: Any) -> dict[str, Any]:
    """From now on these settings hold."""
    known = {one.name for one in fields(Settings)} - FIXED
    unknown = ", ".join(changes.keys() - known)
    if unknown:
        raise UsageError(f"no setting that may change is called {unknown}")
    box.change(**changes)
    return {}


async def faults(
    box: Sandbox, add: Sequence[str] = (), clear: bool = False
) -> dict[str, Any]:
    """Ends all faults, if that is wished, then adds others; how often each struck."""
    if clear:
        box.faults.clear()
    for text in add:
        box.faults.add(text)
    return {"faults": box.faults.fired()}


DEEDS: tuple[Deed, ...] = (
    push,
    authorise,
    revoke,
    freeze,
    verify,
    expire,
    settings,
    faults,
)


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    """`GET /sandbox/stats`, and a POST for each deed."""

    async def stats(_: web.Request) -> web.Response:
        return web.json_response(
            {**sandbox.tally.stats(), "faults": sandbox.faults.fired()}
        )

    posts = [
        web.post(f"/sandbox/{deed.__name__}", _handler(sandbox, deed)) for deed in DEEDS
    ]
    return [web.get("/sandbox/stats", stats), *posts]


def _handler(
    sandbox: Sandbox, deed: Deed
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            told = orjson.loads(await request.read() or b"{}")
            bound = inspect.signature(deed).bind(sandbox, **told)
            return web.json_response(await deed(*bound.args, **bound.kwargs))
        except (ValueError, TypeError, UsageError, Refusal) as error:
            return web.json_response({"error": _said(error)}, status=400)

    return handle


def _said(error: Exception) -> str:
    return (
        f"{error.code}: {error.message}" if isinstance(error, Refusal) else str(error)
    )
