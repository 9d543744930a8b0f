"""What a request looks like, and what of its answer the client itself has to read.

Pure: from a call to path and body, and from a document to a total or a quota.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import orjson

from harvester import dates
from harvester.accounts import Account
from harvester.api.codes import Verdict, error_of, rid_of, rule_of, verdict
from harvester.catalogue.endpoint import Endpoint
from harvester.plan import Call

QUOTA_PATH = "/cgi-bin/openapi/quota/get"

Document = dict[str, Any]
Judge = Callable[[Document], Verdict | None]
"""None for a success, otherwise what the answer means."""


@dataclass(slots=True)
class Ask:
    """One request, and what has become of it so far."""

    account: Account
    endpoint: Endpoint
    path: str
    """Ends where the token belongs."""

    body: bytes | None
    """None: a GET."""

    judge: Judge
    call: Call | None = None
    """None: a question about the account, which counts as no call."""

    attempts: int = 0
    """Requests sent."""

    refreshed: bool = False
    """Whether it has had its one newer token."""

    @property
    def method(self) -> str:
        """POST with a body, GET without."""
        return "GET" if self.body is None else "POST"

    @property
    def window(self) -> str:
        """`2024-12-01..2024-12-07`, for the log."""
        if self.call is None:
            return ""
        return f"{dates.text(self.call.first)}..{dates.text(self.call.last)}"


def asked(call: Call, account: Account, page: int = 0) -> Ask:
    """The call as a request; of its pages this one, counted from 1."""
    endpoint = call.endpoint
    request = endpoint.request
    written = dates.FORMATS[request.format]
    last = call.last
    if request.whole_period:
        last = dates.period_end(endpoint.granularity, last)
    window = {request.first: written(call.first), request.last: written(last)}
    query: dict[str, Any] = dict(request.constant)
    if page:
        query |= {request.page: page, request.page_size[0]: request.page_size[1]}
    body = None
    if request.method == "POST":
        body = orjson.dumps(window)
    else:
        query |= window
    path = f"{endpoint.path}?{urlencode(query)}&" if query else f"{endpoint.path}?"
    judge = partial(verdict, endpoint=endpoint)
    return Ask(account, endpoint, f"{path}access_token=", body, judge, call)


def quota_asked(account: Account, endpoint: Endpoint) -> Ask:
    """The question what the account may still ask of the endpoint."""
    path = f"{QUOTA_PATH}?access_token="
    body = orjson.dumps({"cgi_path": endpoint.path})
    return Ask(account, endpoint, path, body, _quota_verdict)


def quota_of(document: Document) -> tuple[int, int, int]:
    """The day's limit, what is used of it, and what remains."""
    quota = document["quota"]
    return quota["daily_limit"], quota["used"], quota["remain"]


def rate_of(document: Document) -> tuple[int | None, int | None]:
    """Calls, and the seconds they are allowed in; the rate for platforms first."""
    rate = document.get("component_rate_limit") or document.get("rate_limit")
    known = rate if isinstance(rate, dict) else {}
    return total_of(known, "call_count"), total_of(known, "refresh_second")


def total_of(document: Document, key: str) -> int | None:
    """How many rows all pages hold together; None: the answer does not say."""
    total = document.get(key)
    if isinstance(total, str) and total.isascii() and total.isdigit():
        return int(total)
    return total if type(total) is int else None


_QUOTA_KEYS = ("daily_limit", "used", "remain")


def _quota_verdict(document: Document) -> Verdict | None:
    code, message = error_of(document)
    if code:
        return Verdict(rule_of(code), code, message, rid_of(message))
    quota = document.get("quota")
    if isinstance(quota, dict) and all(type(quota.get(k)) is int for k in _QUOTA_KEYS):
        return None
    return Verdict(rule_of("no_rows"), "no_rows", "no quota in the answer")
