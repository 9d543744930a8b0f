"""Asks WeChat for one call's payload: a ladder, one rung for each concern.

    ask → pages → retries → token → pace → wire → decode → verdict

An answer comes back as `Answer`, everything else as `Refusal`: nothing that goes
wrong with one call may take its neighbours with it. Only what may be over in a
moment is tried again in here; what needs longer goes back at once, and the caller
asks again when its time has come. The happy path builds nothing that only the
other one needs.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from harvester.accounts import Account
from harvester.api.asking import (
    Ask,
    Document,
    asked,
    quota_asked,
    quota_of,
    rate_of,
    total_of,
)
from harvester.api.codes import (
    Decision,
    Refusal,
    Refused,
    Scope,
    Verdict,
    refusal,
    rule_of,
)
from harvester.api.limits import Pace
from harvester.api.tokens.mint import quoted
from harvester.api.tokens.tokens import Tokens
from harvester.api.wire import NOT_SENT, Unreachable, Wire
from harvester.catalogue.endpoint import Endpoint
from harvester.decoding import Unreadable, decode
from harvester.plan import Call

ATTEMPTS = 4
PATIENCE_SECONDS = 60.0
"""No try begins later than this after the first trouble. A server that wants to be
left alone for longer is."""

SPARE_RETRIES = 50
"""All retries are at most these and half of the calls: trouble that is everywhere
must not double what the accounts pay for."""

MOST_PAGES = 1000

WITHDRAWN = "61003"
"""The account does not authorise the platform: worth a second question."""

_TOKEN_REFUSED = (Decision.REFRESH_TOKEN, Decision.RECOVER_REFRESH_TOKEN)
_JITTER = wait_random_exponential(multiplier=0.5, max=10)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What WeChat holds for one call."""

    pages: tuple[bytes, ...]
    """The bodies as they came; one but for endpoints with pages."""

    documents: tuple[Document, ...]
    """The same, decoded."""

    fetched_at: int
    """Microseconds since the epoch, UTC."""

    attempts: int
    """Requests that were sent for it."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What `openapi/quota/get` says of an account's endpoint today."""

    daily_limit: int
    used: int
    remain: int
    calls: int | None = None
    """So many calls are allowed within `seconds`; None: it does not say."""

    seconds: int | None = None


class Client:
    """Asks for all accounts; what it remembers is each account's pace and token."""

    def __init__(
        self,
        wire: Wire,
        tokens: Tokens,
        *,
        calls_per_second: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.counters = wire.counters
        self._wire = wire
        self._tokens = tokens
        self._calls_per_second = calls_per_second
        self._sleep = sleep
        self._paces: dict[str, Pace] = {}

    @property
    def skew_seconds(self) -> float | None:
        """This machine's clock minus WeChat's; None before the first answer."""
        return self._wire.skew_seconds

    async def ask(self, call: Call, account: Account) -> Answer | Refusal:
        """The call's payload, or why there is none. Raises StorageError (the vault)."""
        if call.endpoint.request.page:
            return await self._pages(call, account)
        return await self._exchange(asked(call, account))

    async def quota(self, account: Account, endpoint: Endpoint) -> Quota | Refusal:
        """What the account may still ask of the endpoint today; counts as no call."""
        got = await self._exchange(quota_asked(account, endpoint))
        if isinstance(got, Refusal):
            return got
        (document,) = got.documents
        return Quota(*quota_of(document), *rate_of(document))

    def leave(self, appid: str) -> None:
        """Forgets what is in memory of an account whose calls are done."""
        self._paces.pop(appid, None)
        self._tokens.leave(appid)

    async def _pages(self, call: Call, account: Account) -> Answer | Refusal:
        """All pages or nothing: from 1 until they hold as many rows as announced."""
        request = call.endpoint.request
        whole = Answer((), (), 0, 0)
        for page in range(1, MOST_PAGES + 1):
            got = await self._exchange(asked(call, account, page))
            if isinstance(got, Refusal):
                return replace(got, attempts=got.attempts + whole.attempts)
            whole = _joined(whole, got)
            total = total_of(got.documents[0], request.total)
            if total is None:
                return _said("no_rows", f"{request.total} is missing", whole.attempts)
            if page * request.page_size[1] >= total:
                return whole
        return _said("too_large", f"{MOST_PAGES} pages and more", whole.attempts)

    async def _exchange(self, ask: Ask) -> Answer | Refusal:
        result = await self._authorised(ask)
        if isinstance(result, Refusal) and self._worth_retrying(result):
            return await self._again(ask, result)
        return result

    async def _again(self, ask: Ask, first: Refusal) -> Answer | Refusal:
        """Tries on from the first trouble on: bounded, with full jitter."""
        known = [first]

        async def attempt() -> Answer | Refusal:
            if known:
                return known.pop()
            self.counters.retries += 1
            return await self._authorised(ask)

        retrying = AsyncRetrying(
            retry=retry_if_result(self._worth_retrying),
            stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(PATIENCE_SECONDS),
            wait=_pause,
            sleep=self._sleep,
            before_sleep=lambda state: _tell("retry", ask, _result(state)),
            retry_error_callback=_result,
        )
        outcome: Answer | Refusal = await retrying(attempt)
        return outcome

    def _worth_retrying(self, result: Answer | Refusal) -> bool:
        """What a token call met was tried again there."""
        if isinstance(result, Answer) or result.decision is not Decision.RETRY:
            return False
        counters = self.counters
        spare = SPARE_RETRIES + (counters.calls - counters.retries) // 2
        return result.scope is Scope.REQUEST and counters.retries < spare

    async def _authorised(self, ask: Ask) -> Answer | Refusal:
        """With the account's token; with a newer one, once, where it is rejected."""
        try:
            token = await self._tokens.current(ask.account)
            result = await self._sent(ask, token)
            if isinstance(result, Refusal) and result.code == WITHDRAWN:
                await self._tokens.withdrawn(ask.account)
            if not _token_refused(result):
                return result
            _tell("token_rejected", ask, result)
            if not ask.refreshed:
                ask.refreshed = True
                token = await self._tokens.rejected(ask.account, token)
                result = await self._sent(ask, token)
        except Refused as refused:
            return replace(refused.refusal, attempts=ask.attempts)
        if _token_refused(result):
            self._tokens.struck(ask.account, token)
        return result

    async def _sent(self, ask: Ask, token: str) -> Answer | Refusal:
        """One request in the account's pace, judged."""
        pace = self._paces.get(ask.account.appid) or self._pace(ask.account)
        await pace.wait()
        rate = pace.rate
        ask.attempts += 1
        self.counters.calls += ask.call is not None
        try:
            body = await self._wire.data(ask.method, ask.path + quoted(token), ask.body)
            document = decode(body)
        except Unreachable as trouble:
            return self._unreached(ask, trouble, token)
        except Unreadable as unreadable:
            found = Verdict(rule_of("not_json"), "not_json", unreadable.reason)
            return refusal(found, attempts=ask.attempts, sent=(token,), body=body)
        verdict = ask.judge(document)
        if verdict is None:
            self._tokens.accepted(ask.account)
            pace.faster()
            return Answer((body,), (document,), time.time_ns() // 1000, ask.attempts)
        refused = refusal(verdict, attempts=ask.attempts, sent=(token,), body=body)
        if refused.decision is Decision.SLOW_DOWN:
            pace.slower(rate)
            return replace(refused, retry_after=_until_next_minute())
        return refused

    def _unreached(self, ask: Ask, trouble: Unreachable, token: str) -> Refusal:
        if trouble.kind in NOT_SENT:
            ask.attempts -= 1
            self.counters.calls -= ask.call is not None
        rule = rule_of(trouble.kind)
        if (trouble.retry_after or 0.0) > PATIENCE_SECONDS:
            rule = replace(rule, decision=Decision.NOT_READY, scope=Scope.ACCOUNT)
        return refusal(
            Verdict(rule, trouble.kind, trouble.detail),
            attempts=ask.attempts,
            sent=(token,),
            body=trouble.body,
            retry_after=trouble.retry_after,
        )

    def _pace(self, account: Account) -> Pace:
        pace = Pace(account.calls_per_second or self._calls_per_second)
        self._paces[account.appid] = pace
        return pace


def _token_refused(result: Answer | Refusal) -> bool:
    return isinstance(result, Refusal) and result.decision in _TOKEN_REFUSED


def _joined(whole: Answer, page: Answer) -> Answer:
    return Answer(
        whole.pages + page.pages,
        whole.documents + page.documents,
        page.fetched_at,
        whole.attempts + page.attempts,
    )


def _said(code: str, detail: str, attempts: int) -> Refusal:
    return refusal(Verdict(rule_of(code), code, detail), attempts=attempts)


def _result(state: RetryCallState) -> Answer | Refusal:
    """What the attempt brought."""
    assert state.outcome is not None  # noqa: S101 - tenacity asks after an attempt
    result: Answer | Refusal = state.outcome.result()
    return result


def _pause(state: RetryCallState) -> float:
    """Seconds to the next try: as asked, at once after a stale connection, or jitter."""
    result = _result(state)
    if isinstance(result, Refusal) and result.retry_after is not None:
        return result.retry_after
    if state.attempt_number == 1 and isinstance(result, Refusal):
        return 0.0 if result.code == "reset" else _JITTER(state)
    return _JITTER(state)


def _until_next_minute() -> float:
    """Seconds to the next minute, and a little more so that not all come at once."""
    return 60.0 - time.time() % 60.0 + random.uniform(0.0, 5.0)  # noqa: S311


def _tell(event: str, ask: Ask, result: Answer | Refusal) -> None:
    if isinstance(result, Refusal):
        log.debug(
            event,
            account=ask.account.appid,
            endpoint=ask.endpoint.id,
            window=ask.window,
            code=result.code,
            rid=result.rid,
        )
