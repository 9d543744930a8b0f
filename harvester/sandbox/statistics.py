"""A call of `/datacube/<id>`: its window, and the document that answers it."""

from datetime import date
from typing import Any

import orjson

from harvester.sandbox.clock import labels, last_ready, parse, period, yesterday
from harvester.sandbox.endpoints import ENDPOINTS, Endpoint
from harvester.sandbox.platform import Platform
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.tokens import Token
from harvester.sandbox.world import World

Document = dict[str, Any]


def answer(
    world: World, platform: Platform, token: Token, name: str, asked: Document
) -> Document:
    """The document for one call. Raises Refusal."""
    endpoint = ENDPOINTS.get(name)
    if endpoint is None:
        raise Refusal(40066)
    platform.admit(token, endpoint)
    first, last = _window(asked)
    _check(platform, endpoint, first, last)
    days = date.fromordinal(first), date.fromordinal(last)
    return world.answer(name, token.appid, *days, platform.now())


def read(body: bytes) -> Document:
    """The call's JSON object. Raises Refusal."""
    if not body:
        raise Refusal(44002)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(47001) from None
    if not isinstance(document, dict):
        raise Refusal(47001)
    return document


def _window(asked: Document) -> tuple[int, int]:
    try:
        return parse(asked.get("begin_date")), parse(asked.get("end_date"))
    except ValueError:
        raise Refusal(61500) from None


def _check(platform: Platform, endpoint: Endpoint, first: int, last: int) -> None:
    """Whether the window may be asked for now. Raises Refusal."""
    now = platform.now()
    if not first <= last < first + endpoint.span or last > yesterday(now):
        raise Refusal(61501)
    if endpoint.delays or platform.settings.early == "empty":
        return
    ends = [
        period(endpoint.label, day)[-1] for day in labels(endpoint.label, first, last)
    ]
    if any(last_ready(now) < end <= yesterday(now) for end in ends):
        raise Refusal(61503)
