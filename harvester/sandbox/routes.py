"""The sandbox over HTTP: which path is which call, and the way of an answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from harvester.sandbox import authorising, control, enquiries, page, statistics, tickets
from harvester.sandbox.alterations import Document, encode
from harvester.sandbox.delivery import Reply, plainly
from harvester.sandbox.injection import Place
from harvester.sandbox.platform import Platform
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.strikes import Scene, struck, value
from harvester.sandbox.tickets import Ask
from harvester.sandbox.tokens import Kind

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class _SideCall:
    """A call that is no statistic."""

    name: str
    method: str
    path: str
    answer: Callable[[Platform, Ask], Document]
    mints: bool = False


_COMPONENT = "/cgi-bin/component"


def _component(
    answer: Callable[[Platform, Ask], Document], mints: bool = False
) -> _SideCall:
    name = answer.__name__
    return _SideCall(name, "POST", f"{_COMPONENT}/{name}", answer, mints)


_SIDE_CALLS = (
    _SideCall("token", "GET", "/cgi-bin/token", tickets.token, mints=True),
    _SideCall(
        "stable_token",
        "POST",
        "/cgi-bin/stable_token",
        tickets.stable_token,
        mints=True,
    ),
    _SideCall(
        "token_server", "GET", "/token/{appid}", tickets.token_server, mints=True
    ),
    _component(tickets.api_component_token, mints=True),
    _component(tickets.api_authorizer_token, mints=True),
    _component(enquiries.api_get_authorizer_list),
    _component(enquiries.api_get_authorizer_info),
    _component(authorising.api_start_push_ticket),
    _component(authorising.api_create_preauthcode),
    _component(authorising.api_query_auth, mints=True),
    _SideCall("quota_get", "POST", "/cgi-bin/openapi/quota/get", enquiries.quota_get),
)


def application(sandbox: Sandbox) -> web.Application:
    """All routes of one sandbox."""
    app = web.Application()
    app.router.add_route("*", "/datacube/{endpoint}", _statistic(sandbox))
    for call in _SIDE_CALLS:
        app.router.add_route("*", call.path, _side(sandbox, call))
    app.router.add_routes([*control.routes(sandbox), *page.routes(sandbox)])
    app.router.add_route("*", "/elsewhere/{path:.*}", _elsewhere(sandbox))
    app.router.add_route("*", "/{path:.*}", _unknown(sandbox))
    return app


def _statistic(sandbox: Sandbox) -> Handler:
    tokens = sandbox.platform.tokens

    async def handle(request: web.Request) -> web.StreamResponse:
        name, value = (
            request.match_info["endpoint"],
            request.query.get("access_token", ""),
        )
        found = tokens.find(value)
        appid = found.appid if found else ""
        with sandbox.tally.statistic(name, appid):
            body = await _received(sandbox, request)
            asked = _leniently(body)
            window = str(asked.get("begin_date", "")), str(asked.get("end_date", ""))

            def answer() -> Document:
                _check_method(request, "POST")
                token = tokens.check(value)
                if token.kind is Kind.AUTHORIZER:
                    sandbox.platform.check_address(request.remote or "")
                body_read = asked or statistics.read(body)
                return statistics.answer(
                    sandbox.world, sandbox.platform, token, name, body_read
                )

            return await _answered(
                sandbox, request, Place(name, appid, *window), answer
            )

    return handle


def _side(sandbox: Sandbox, call: _SideCall) -> Handler:
    counter = sandbox.tally.token_calls if call.mints else sandbox.tally.other_calls

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await _received(sandbox, request)
        place = Place(call.name, _account(sandbox, request, body))
        counter[place.name, place.appid] += 1

        def answer() -> Document:
            _check_method(request, call.method)
            asked = statistics.read(body) if call.method == "POST" else {}
            if call.path.startswith(_COMPONENT):
                sandbox.platform.check_address(request.remote or "")
                sandbox.platform.spend(str(asked.get("component_appid")), call.name)
            path = request.match_info.get("appid", "")
            return call.answer(sandbox.platform, Ask(request.query, asked, path))

        return await _answered(sandbox, request, place, answer)

    return handle


async def _received(sandbox: Sandbox, request: web.Request) -> bytes:
    """The body, once the latency has passed."""
    body = await request.read()
    sandbox.tally.cookies += "Cookie" in request.headers
    if sandbox.settings.latency_ms:
        await asyncio.sleep(sandbox.settings.latency_ms / 1000)
    return body


def _leniently(body: bytes) -> Document:
    """The body's object, or an empty one: for counting and faults, not for answering."""
    try:
        return statistics.read(body)
    except Refusal:
        return {}


def _account(sandbox: Sandbox, request: web.Request, body: bytes) -> str:
    """The account that a call is about, as far as it can be told."""
    named = {**_leniently(body), **request.query, **request.match_info}
    for key in ("authorizer_appid", "appid", "component_appid"):
        if isinstance(named.get(key), str):
            return str(named[key])
    token = sandbox.platform.tokens.find(request.query.get("access_token", ""))
    return token.appid if token else ""


def _check_method(request: web.Request, method: str) -> None:
    if request.method != method:
        raise Refusal(43002)


async def _answered(
    sandbox: Sandbox, request: web.Request, place: Place, answer: Callable[[], Document]
) -> web.StreamResponse:
    """The answer, or what the first fault that can strike makes of it."""
    candidates = sandbox.faults.candidates(place) if _known(sandbox, request) else []
    status, document, outcome = 200, _NOT_DONE, ""
    if not candidates or candidates[0].fault.code is None:
        try:
            document, outcome = answer(), "ok"
        except Refusal as refusal:
            document, outcome = refusal.document(), str(refusal.code)
            status = refusal.status
    for armed in candidates:
        scene = _scene(sandbox, request)
        reply = struck(armed, document, scene)
        if reply is not None:
            sandbox.faults.strike(armed, place)
            sandbox.tally.note(place, armed.fault.name)
            return await (armed.fault.manner or plainly)(
                request, reply, value(armed, scene)
            )
    sandbox.tally.note(place, outcome)
    return await plainly(request, Reply(encode(document), status))


_NOT_DONE: Document = {}
"""What a refusal stands in place of: a call that is refused has no consequences."""


def _known(sandbox: Sandbox, request: web.Request) -> bool:
    """Whether somebody's call can be told: no fault is meant for a token that is refused."""
    value = _token(request)
    if not value:
        return not request.path.startswith("/datacube/")
    try:
        sandbox.platform.tokens.check(value)
    except Refusal:
        return False
    return True


def _scene(sandbox: Sandbox, request: web.Request) -> Scene:
    port = sandbox.url.rpartition(":")[2]
    elsewhere = f"http://localhost:{port}/elsewhere{request.path_qs}"
    return Scene(sandbox.platform.tokens, _token(request), elsewhere)


def _token(request: web.Request) -> str:
    """The token in the address: an account's, or the platform's."""
    query = request.query
    return query.get("component_access_token") or query.get("access_token", "")


def _elsewhere(sandbox: Sandbox) -> Handler:
    async def handle(_: web.Request) -> web.StreamResponse:
        sandbox.tally.elsewhere += 1
        return web.json_response({"list": []})

    return handle


def _unknown(sandbox: Sandbox) -> Handler:
    async def handle(_: web.Request) -> web.StreamResponse:
        sandbox.tally.unknown += 1
        return web.Response(status=404)

    return handle
