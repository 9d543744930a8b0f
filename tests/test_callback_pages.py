"""The pages that an account's owner sees."""

import re
from dataclasses import replace

import anyio
import pytest
from pushes import (
    ACCOUNT,
    CODE,
    INVALID_CODE,
    NOW,
    OUTAGE,
    PLATFORM,
    PUBLIC,
    QUICK,
    Granting,
    granted,
    receiving,
    refused,
    until,
)

from harvester.api.callback import pages
from harvester.api.callback.application import CODES_A_MINUTE, PRE_AUTH_CODES_A_MINUTE

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) MicroMessenger/8.0"
COMPUTER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0"


async def test_authorize_leads_to_wechats_page_by_a_link_made_for_this_visit() -> None:
    authority = Granting()
    async with receiving(authority=authority, **PUBLIC) as reception:
        status, first, headers = await reception.get(
            "/authorize", {"User-Agent": COMPUTER}
        )
        _, second, _ = await reception.get("/authorize", {"User-Agent": COMPUTER})
    assert status == 200
    (link,) = re.findall(r'href="([^"]*)"', first)
    assert link.startswith("https://mp.weixin.qq.com/cgi-bin/componentloginpage?")
    assert f"component_appid={PLATFORM}&amp;" in link
    assert "pre_auth_code=preauthcode%40%40%40ONCE%26more-1&amp;" in link
    assert "redirect_uri=https%3A%2F%2Fwechat.example.com%2Fh%2Fauthorized&amp;" in link
    assert "auth_type=1" in link
    assert "ONCE%26more-2" in second
    assert headers["Referrer-Policy"] == "origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "text/html; charset=utf-8"


async def test_authorize_leads_to_the_page_for_phones_on_a_phone() -> None:
    async with receiving(authority=Granting(), **PUBLIC) as reception:
        _, page, _ = await reception.get("/authorize", {"User-Agent": PHONE})
    (link,) = re.findall(r'href="([^"]*)"', page)
    start = "https://open.weixin.qq.com/wxaopen/safe/bindcomponent?action=bindcomponent&amp;no_scan=1&amp;"
    assert link.startswith(start)
    assert link.endswith("#wechat_redirect")
    assert "请在微信中打开" in page


async def test_authorize_is_not_offered_where_it_cannot_work() -> None:
    for authority, public in ((None, PUBLIC), (Granting(), {})):
        async with receiving(authority=authority, **public) as reception:
            status, page, _ = await reception.get("/authorize")
            assert status == 503
            assert "Not offered here" in page


async def test_authorize_says_so_when_wechat_gives_no_code() -> None:
    async with receiving(authority=Granting([OUTAGE]), **PUBLIC) as reception:
        status, page, _ = await reception.get("/authorize")
        assert (status, "请稍后再试" in page) == (503, True)
        assert (await reception.get("/authorize"))[0] == 200


async def test_visits_to_authorize_are_rationed_and_a_preview_costs_nothing() -> None:
    authority = Granting()
    async with receiving(authority=authority, **PUBLIC) as reception:
        async with reception.client.head(f"{reception.url}/authorize") as answer:
            assert answer.status == 405
        assert authority.pre_auth_codes == 0
        for _ in range(PRE_AUTH_CODES_A_MINUTE):
            assert (await reception.get("/authorize"))[0] == 200
        assert (await reception.get("/authorize"))[0] == 503


async def test_the_owner_who_comes_back_is_told_that_it_worked() -> None:
    async with receiving(authority=Granting()) as reception:
        path = f"/authorized?auth_code={CODE}&expires_in=600"
        status, page, headers = await reception.get(path)
        assert (status, "授权成功" in page, "Authorised" in page) == (200, True, True)
        assert reception.vault.grants[ACCOUNT] == granted()
        assert reception.vault.codes[CODE].until == NOW + 600
        assert headers["Referrer-Policy"] == "no-referrer"


async def test_the_owner_with_a_code_that_is_spent_is_offered_to_begin_anew() -> None:
    async with receiving(authority=Granting([INVALID_CODE])) as reception:
        status, page, _ = await reception.get(f"/authorized?auth_code={CODE}")
        assert (status, "授权链接已失效" in page) == (410, True)
        assert 'href="authorize"' in page


@pytest.mark.parametrize("query", ["", "?auth_code=", "?auth_code=a%0Ab", "?code=x"])
async def test_the_owner_without_a_code_is_offered_to_begin_anew(query: str) -> None:
    authority = Granting()
    async with receiving(authority=authority) as reception:
        status, page, _ = await reception.get(f"/authorized{query}")
        assert (status, "链接不完整" in page) == (400, True)
    assert authority.asked == []


async def test_the_owner_does_not_wait_for_an_outage_to_end() -> None:
    async with receiving(authority=Granting([OUTAGE])) as reception:
        status, page, _ = await reception.get(f"/authorized?auth_code={CODE}")
        assert (status, "正在处理" in page) == (202, True)
    authority = Granting(gate=anyio.Event())
    pace = replace(QUICK, page=0.05)
    async with receiving(authority=authority, pace=pace) as reception:
        status, page, _ = await reception.get(f"/authorized?auth_code={CODE}")
        assert (status, "正在处理" in page) == (202, True)
        assert authority.gate is not None
        authority.gate.set()
        await until(lambda: CODE in reception.vault.done)


async def test_made_up_codes_cost_a_few_calls_and_no_more() -> None:
    authority = Granting([refused("61009") for _ in range(99)])
    async with receiving(authority=authority) as reception:
        for number in range(2 * CODES_A_MINUTE):
            await reception.get(f"/authorized?auth_code=made-up-{number}")
    assert len(authority.asked) == CODES_A_MINUTE


def test_pages_speak_both_languages_and_quote_what_they_show() -> None:
    notices = [
        value for value in vars(pages).values() if isinstance(value, pages.Notice)
    ]
    assert len(notices) == 7
    for notice in notices:
        page = pages.notice(notice)
        assert 'lang="zh-CN"' in page
        assert 'lang="en"' in page
        assert re.search("[\u4e00-\u9fff]", page)
    assert '"><script>' not in pages.forward('https://x/"><script>', phone=True)
