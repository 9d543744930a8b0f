"""Authorisation codes: exchanged once, with the platform's calls, whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import anyio
import pytest
from loopback import Seen, wechat
from pushes import (
    ACCESS_TOKEN,
    ACCOUNT,
    CODE,
    NOW,
    OUTAGE,
    PLATFORM,
    PRE_AUTH_CODE,
    QUICK,
    REFRESH_TOKEN,
    SUCCESS,
    TICKET,
    Clock,
    Granting,
    Kept,
    authorised,
    granted,
    receiving,
    refused,
    ticket,
    until,
)

from harvester.api.callback.calls import Calls
from harvester.api.callback.codes import WAITING, Codes
from harvester.api.callback.contract import Code, Outcome
from harvester.api.codes import Decision, Refused
from harvester.api.wire import Wire


async def test_a_code_is_exchanged_once_whoever_brings_it() -> None:
    authority = Granting(gate=anyio.Event())
    async with receiving(authority=authority, pace=replace(QUICK, page=5)) as reception:
        assert await reception.post(authorised()) == SUCCESS
        assert await reception.post(authorised(kind="updateauthorized")) == SUCCESS
        page = asyncio.create_task(reception.get(f"/authorized?auth_code={CODE}"))
        await until(lambda: bool(authority.asked))
        assert authority.gate is not None
        authority.gate.set()
        status, text, _ = await page
        assert (status, "授权" in text) == (200, True)
        assert await reception.post(authorised()) == SUCCESS
        status, text, _ = await reception.get(f"/authorized?auth_code={CODE}")
        assert (status, "已收到授权" in text) == (200, True)
        await until(lambda: CODE in reception.vault.done)
    assert authority.asked == [CODE]


async def test_two_hundred_accounts_at_once_are_all_granted_a_few_at_a_time() -> None:
    authority = Granting()
    appids = [f"wx{number:016x}" for number in range(200)]
    async with receiving(authority=authority) as reception:
        posts = (reception.post(authorised(appid, f"code#{appid}")) for appid in appids)
        assert await asyncio.gather(*posts) == [SUCCESS] * 200
        await until(lambda: len(reception.vault.done) == 200)
        assert set(reception.vault.grants) == set(appids)
        assert reception.receiver.codes is not None
        assert reception.receiver.codes.under_way == 0
    assert sorted(authority.asked) == sorted(f"code#{appid}" for appid in appids)
    assert authority.most_at_once <= 4


async def test_a_code_outlives_an_outage_of_wechat() -> None:
    authority = Granting([OUTAGE, refused("50002", Decision.PARK_ACCOUNT), OUTAGE])
    async with receiving(authority=authority) as reception:
        vault = reception.vault
        assert await reception.post(authorised()) == SUCCESS
        await until(lambda: len(authority.asked) == 1)
        assert reception.receiver.codes is not None
        vault.claims_run_out = True
        await until(lambda: CODE in vault.done)
        assert vault.grants[ACCOUNT] == granted()


@pytest.mark.parametrize("code", ["61009", "61010"])
async def test_a_code_that_wechat_does_not_know_is_not_asked_again(code: str) -> None:
    authority = Granting([refused(code)])
    async with receiving(authority=authority) as reception:
        assert await reception.post(authorised()) == SUCCESS
        await until(lambda: CODE in reception.vault.done)
        assert reception.receiver.codes is not None
        assert reception.receiver.codes.counts["invalid"] == 1
    assert authority.asked == [CODE]
    assert reception.vault.grants == {}


async def test_codes_that_no_memory_is_left_for_wait_in_the_vault() -> None:
    vault, authority = Kept(), Granting(gate=anyio.Event())
    codes = Codes(PLATFORM, vault, authority, clock=Clock())
    flights = [
        await codes.take(Code(value=f"{number}", created_at=NOW, until=NOW + 600))
        for number in range(WAITING + 1)
    ]
    assert [flight.done.is_set() for flight in flights] == [False] * WAITING + [True]
    assert flights[-1].outcome is Outcome.LATER
    assert codes.under_way == WAITING
    assert len(vault.codes) == WAITING + 1


async def test_a_code_that_was_taken_before_a_restart_is_exchanged_after_it() -> None:
    left = Code(value=CODE, appid=ACCOUNT, created_at=NOW, until=NOW + 3600)
    vault = Kept(codes={CODE: left})
    async with receiving(vault, Granting()):
        await until(lambda: CODE in vault.done)
    assert vault.grants[ACCOUNT] == granted()


async def test_a_code_that_is_too_old_is_closed_without_a_call() -> None:
    left = Code(value=CODE, appid=ACCOUNT, created_at=NOW - 3600, until=NOW)
    vault, authority = Kept(codes={CODE: left}), Granting()
    async with receiving(vault, authority):
        await until(lambda: CODE in vault.done)
    assert authority.asked == []


async def test_a_spent_code_is_stored_before_the_service_ends() -> None:
    vault, authority = Kept(), Granting(gate=anyio.Event())
    async with receiving(vault, authority) as reception:
        assert await reception.post(authorised()) == SUCCESS
        await until(lambda: authority.at_once == 1)
        assert authority.gate is not None
        asyncio.get_running_loop().call_later(0.05, authority.gate.set)
    assert vault.grants[ACCOUNT] == granted()
    assert CODE in vault.done


async def test_a_grant_is_not_lost_to_a_vault_that_fails_for_a_moment() -> None:
    authority = Granting(gate=anyio.Event())
    pace = replace(QUICK, look=60, sweep=60)
    async with receiving(authority=authority, pace=pace) as reception:
        assert await reception.post(authorised()) == SUCCESS
        reception.vault.failures = 3
        assert authority.gate is not None
        authority.gate.set()
        await until(lambda: CODE in reception.vault.done)
        assert reception.vault.grants[ACCOUNT] == granted()


async def test_a_bug_met_by_one_push_harms_no_other() -> None:
    authority = Granting([KeyError("bug")])
    async with receiving(authority=authority) as reception:
        assert await reception.post(authorised(code="first")) == SUCCESS
        assert await reception.post(authorised(code="second")) == SUCCESS
        await until(lambda: "second" in reception.vault.done)
        assert await reception.post(ticket()) == SUCCESS
        assert reception.vault.tickets[PLATFORM] == (NOW, TICKET)


# WeChat's side of the exchange, on loopback


T = TypeVar("T")


async def asked(send: Callable[[str], Awaitable[T]]) -> T:
    """Stands in for whoever holds the platform's token."""
    return await send("COMPONENT+1")


async def nobody() -> None:
    """Stands in for whoever asks for pushes."""


AUTHORISATION = {
    "authorization_info": {
        "authorizer_appid": ACCOUNT,
        "authorizer_access_token": ACCESS_TOKEN,
        "expires_in": 7200,
        "authorizer_refresh_token": REFRESH_TOKEN,
        "func_info": [
            {"funcscope_category": {"id": 1, "name": "消息管理权限"}},
            {"funcscope_category": {"id": "7"}, "confirm_info": {"need_confirm": 0}},
            {"funcscope_category": {}},
            "what nobody expects",
        ],
    }
}


@asynccontextmanager
async def calling(
    script: Callable[[Seen], Any],
) -> AsyncIterator[tuple[Calls, list[Seen]]]:
    async with wechat(script) as server, Wire((server.url,)) as wire:
        yield Calls(wire, PLATFORM, asked, nobody, Clock()), server.seen


async def test_a_code_brings_tokens_and_permission_sets() -> None:
    async with calling(lambda seen: AUTHORISATION) as (calls, seen):
        assert await calls.query_auth(CODE) == granted()
    (sent,) = seen
    assert sent.path == "/cgi-bin/component/api_query_auth"
    assert sent.query == {"component_access_token": "COMPONENT+1"}
    assert sent.body == {"component_appid": PLATFORM, "authorization_code": CODE}


async def test_an_account_without_any_permission_brings_no_tokens() -> None:
    answer = {"authorization_info": {"authorizer_appid": ACCOUNT, "func_info": None}}
    async with calling(lambda seen: answer) as (calls, _):
        grant = await calls.query_auth(CODE)
    assert (grant.appid, grant.token, grant.refresh_token) == (ACCOUNT, "", "")
    assert grant.permission_sets == frozenset()


async def test_a_platform_token_that_is_rejected_is_told_to_whoever_holds_it() -> None:
    answer = {"errcode": 42001, "errmsg": "access_token expired"}
    async with calling(lambda seen: answer) as (calls, _):
        with pytest.raises(Refused) as met:
            await calls.query_auth(CODE)
    assert met.value.refusal.decision is Decision.REFRESH_TOKEN


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"errcode": 61009, "errmsg": f"code {CODE} is invalid"}, "61009"),
        ({"errcode": -1, "errmsg": "system busy"}, "-1"),
        (b"<html>", "not_json"),
        ({}, "no_token"),
        ({"authorization_info": []}, "no_token"),
    ],
)
async def test_an_answer_without_a_grant_is_a_refusal_without_the_code(
    answer: Any, code: str
) -> None:
    async with calling(lambda seen: answer) as (calls, seen):
        with pytest.raises(Refused) as met:
            await calls.query_auth(CODE)
    assert met.value.refusal.code == code
    assert CODE not in met.value.refusal.message
    assert len(seen) == 1


async def test_a_server_that_cannot_be_reached_is_a_refusal() -> None:
    async with wechat() as server:
        url = server.url
    async with Wire((url,)) as wire:
        with pytest.raises(Refused) as met:
            await Calls(wire, PLATFORM, asked, nobody, Clock()).pre_auth_code()
    assert met.value.refusal.decision is Decision.RETRY


async def test_a_pre_auth_code_is_asked_for_by_the_platforms_appid() -> None:
    answer = {"pre_auth_code": PRE_AUTH_CODE, "expires_in": 1800}
    async with calling(lambda seen: answer) as (calls, seen):
        assert await calls.pre_auth_code() == PRE_AUTH_CODE
    assert seen[0].path == "/cgi-bin/component/api_create_preauthcode"
    assert seen[0].body == {"component_appid": PLATFORM}


async def test_an_answer_without_a_pre_auth_code_is_a_refusal() -> None:
    async with calling(lambda seen: {"expires_in": 1800}) as (calls, _):
        with pytest.raises(Refused, match="api_create_preauthcode"):
            await calls.pre_auth_code()


async def test_a_push_is_exchanged_with_wechat_itself() -> None:
    async with (
        calling(lambda seen: AUTHORISATION) as (calls, seen),
        receiving(authority=calls) as reception,
    ):
        assert await reception.post(authorised()) == SUCCESS
        await until(lambda: CODE in reception.vault.done)
        assert reception.vault.grants[ACCOUNT] == granted()
    assert len(seen) == 1
