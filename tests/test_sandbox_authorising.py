"""The sandbox's platform: authorisations, codes, limits, and the hand over HTTP."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from test_sandbox_platform import (
    ACCOUNT,
    OTHER,
    PLATFORM,
    STRANGER,
    Caller,
    calling,
    code,
)

BACK = "https://example.com/authorized?from=mail"


async def page(
    caller: Caller, where: str = "cgi-bin/componentloginpage", **more: str
) -> Any:
    """The answer of WeChat's page to a fresh link."""
    query = {
        "component_appid": PLATFORM,
        "pre_auth_code": await pre_auth_code(caller),
        "redirect_uri": BACK,
        **more,
    }
    url = f"{caller.sandbox.url}/{where}"
    async with caller.session.get(url, params=query, allow_redirects=False) as response:
        return response.status, response.headers.get("Location"), await response.text()


async def pre_auth_code(caller: Caller) -> str:
    answer = await caller.managed(await caller.component(), "api_create_preauthcode")
    assert answer["expires_in"] == 1800
    return str(answer["pre_auth_code"])


async def query_auth(caller: Caller, value: str) -> Any:
    component = await caller.component()
    return await caller.managed(component, "api_query_auth", authorization_code=value)


async def hand(caller: Caller, deed: str, expected: int = 200, **told: Any) -> Any:
    """What a deed of the control answers."""
    url = f"{caller.sandbox.url}/sandbox/{deed}"
    async with caller.session.post(url, json=told) as response:
        assert response.status == expected
        return await response.json()


# The page, and codes


@pytest.mark.parametrize(
    "where",
    ["cgi-bin/componentloginpage", "safe/bindcomponent", "wxaopen/safe/bindcomponent"],
)
async def test_who_agrees_on_the_page_comes_back_with_a_code(where: str) -> None:
    async with calling() as caller:
        status, location, _ = await page(caller, where, appid=STRANGER, sets="2,7")
        assert status == 302
        assert location.startswith(f"{BACK}&auth_code=queryauthcode%40%40%40")
        came = parse_qs(urlsplit(location).query)
        assert came["expires_in"] == ["600"]
        granted = (await query_auth(caller, came["auth_code"][0]))["authorization_info"]
        assert granted["authorizer_appid"] == STRANGER
        assert granted["func_info"] == [
            {"funcscope_category": {"id": 2}},
            {"funcscope_category": {"id": 7}},
        ]
        token = granted["authorizer_access_token"]
        assert "list" in await caller.ask(token, "getusersummary")
        assert code(await caller.ask(token, "getupstreammsg")) == 61007


async def test_the_page_offers_accounts_and_a_pinned_one_alone() -> None:
    async with calling() as caller:
        status, location, text = await page(caller)
        assert (status, location) == (200, None)
        assert re.findall(r"appid=(wx\w+)", text)[1::2] == sorted(
            set(re.findall(r">(wx\w+)<", text)), key=text.index
        )
        _, _, text = await page(caller, biz_appid=OTHER)
        assert re.findall(r">(wx\w+)<", text) == [OTHER]


async def test_a_link_opens_the_page_once() -> None:
    async with calling() as caller:
        link = {"pre_auth_code": await pre_auth_code(caller)}
        assert (await page(caller, **link))[0] == 200
        assert (await page(caller, **link, appid="nonsense"))[0] == 400
        assert (await page(caller, **link, appid=ACCOUNT, sets="all"))[0] == 400
        assert (await page(caller, **link, appid=ACCOUNT))[0] == 302
        assert (await page(caller, **link))[0] == 400
        assert (await page(caller, pre_auth_code="made up"))[0] == 400
        assert (await page(caller, redirect_uri=""))[0] == 400


async def test_a_code_is_exchanged_once_and_in_time() -> None:
    async with calling() as caller:
        ticks = [0.0]
        caller.sandbox.platform.tokens.ticks = lambda: ticks[0]
        value = caller.sandbox.scan(ACCOUNT)
        caller.sandbox.freeze(ACCOUNT)
        assert code(await query_auth(caller, value)) == 50002
        caller.sandbox.freeze(ACCOUNT, frozen=False)
        assert "authorization_info" in await query_auth(caller, value)
        assert code(await query_auth(caller, value)) == 61009
        assert code(await query_auth(caller, "made up")) == 61009
        late = caller.sandbox.scan(ACCOUNT)
        ticks[0] = 600
        assert code(await query_auth(caller, late)) == 61010


async def test_an_authorisation_anew_changes_the_refresh_token_and_kills_the_token() -> (
    None
):
    async with calling(strict=True) as caller:
        component = await caller.component()
        listed = await caller.managed(component, "api_get_authorizer_list", count=1)
        old = listed["list"][0]["refresh_token"]
        token = (await caller.authorizer(component, refresh=old))[
            "authorizer_access_token"
        ]
        value = caller.sandbox.scan(ACCOUNT)
        assert code(await caller.ask(token, "getusersummary")) == 40001
        assert code(await caller.authorizer(component, refresh=old)) == 61023
        (account,) = (
            await caller.managed(component, "api_get_authorizer_list", count=1)
        )["list"]
        assert account["refresh_token"] == ""  # until the code is exchanged
        assert account["auth_time"] > listed["list"][0]["auth_time"]
        info = await caller.managed(
            component, "api_get_authorizer_info", authorizer_appid=ACCOUNT
        )
        assert info["authorization_info"]["authorizer_refresh_token"] == ""
        granted = (await query_auth(caller, value))["authorization_info"]
        refresh = granted["authorizer_refresh_token"]
        assert refresh not in ("", old)
        assert "list" in await caller.ask(
            granted["authorizer_access_token"], "getusersummary"
        )


async def test_who_grants_nothing_gets_no_tokens() -> None:
    async with calling() as caller:
        granted = await query_auth(caller, caller.sandbox.scan(ACCOUNT, ()))
        assert granted == {
            "authorization_info": {"authorizer_appid": ACCOUNT, "func_info": []}
        }


# Strictness and limits


async def test_a_strict_platform_takes_only_what_it_handed_out() -> None:
    async with calling(strict=True, platform_secret="right") as caller:
        ticks = [0.0]
        caller.sandbox.platform.tokens.ticks = lambda: ticks[0]
        good = caller.sandbox.platform.tickets.issue()
        assert code(await caller.component_token("made up", "right")) == 61006
        assert code(await caller.component_token(good, "wrong")) == 40125
        answer = await caller.component_token(good, "right")
        component = answer["component_access_token"]
        assert code(await caller.authorizer(component, refresh="made up")) == 61023
        assert code(await caller.authorizer(component, STRANGER)) == 61003
        info = await caller.managed(
            component, "api_get_authorizer_info", authorizer_appid=STRANGER
        )
        assert code(info) == 61003
        ticks[0] = 12 * 3600
        assert code(await caller.component_token(good, "right")) == 61005


async def test_an_old_platform_token_may_work_a_little_longer() -> None:
    async with calling(component_overlap=300) as caller:
        ticks = [0.0]
        caller.sandbox.platform.tokens.ticks = lambda: ticks[0]
        old, new = await caller.component(), await caller.component()
        assert "expires_in" in await caller.authorizer(old)
        ticks[0] = 301
        assert code(await caller.authorizer(old)) == 40001
        assert "expires_in" in await caller.authorizer(new)


async def test_calls_of_the_platform_have_daily_limits_of_their_own() -> None:
    limits = {"api_component_token": 3, "api_authorizer_token": 2}
    async with calling(call_quotas=limits) as caller:
        component = await caller.component()
        for appid in (ACCOUNT, OTHER):
            assert "expires_in" in await caller.authorizer(component, appid)
        assert code(await caller.authorizer(component, STRANGER)) == 45009
        path = {"cgi_path": "/cgi-bin/component/api_component_token"}
        quota = await caller.post(
            "/cgi-bin/openapi/quota/get", path, access_token=component
        )
        assert quota["quota"] == {"daily_limit": 3, "used": 1, "remain": 2}
        await caller.component()
        await caller.component()
        assert code(await caller.component_token()) == 45009


async def test_a_platform_may_be_called_from_its_ip_list_alone() -> None:
    async with calling(addresses=("127.0.0.1",)) as caller:
        component = await caller.component()
        token = (await caller.authorizer(component))["authorizer_access_token"]
        own = await caller.token()
        caller.sandbox.change(addresses=("203.0.113.9",))
        for answer in (
            await caller.authorizer(component),
            await caller.ask(token, "getusersummary"),
        ):
            assert code(answer) == 61004
            assert "requestIP: 127.0.0.1" in answer["errmsg"]
        assert "list" in await caller.ask(own, "getusersummary")  # not the platform's


async def test_a_token_server_does_not_know_who_withdrew() -> None:
    async with calling() as caller:
        caller.sandbox.revoke(ACCOUNT)
        url = f"{caller.sandbox.url}/token/{ACCOUNT}"
        async with caller.session.get(url) as response:
            assert response.status == 404


# The hand over HTTP


async def test_a_rehearsal_changes_accounts_and_settings_over_http() -> None:
    async with calling() as caller:
        token = await caller.token()
        value = (await hand(caller, "authorise", appid=STRANGER, sets=[2]))["auth_code"]
        assert "authorization_info" in await query_auth(caller, value)
        await hand(caller, "freeze", appid=ACCOUNT)
        assert code(await caller.ask(token, "getusersummary")) == 50002
        await hand(caller, "freeze", appid=ACCOUNT, frozen=False)
        await hand(caller, "verify", appid=ACCOUNT, verified=False)
        assert code(await caller.ask(token, "getusersummary")) == 48001
        await hand(caller, "verify", appid=ACCOUNT)
        await hand(caller, "expire", appid=ACCOUNT)
        assert code(await caller.ask(token, "getusersummary")) == 42001
        await hand(caller, "revoke", appid=ACCOUNT, silently=True)
        token = await caller.token()
        assert code(await caller.ask(token, "getusersummary")) == 61003
        await hand(
            caller, "settings", token_seconds=5, call_quotas={"api_query_auth": 0}
        )
        assert (await caller.stable(OTHER))["expires_in"] <= 5
        assert code(await query_auth(caller, value)) == 45009
        assert await hand(caller, "push") == {"answer": "not sent"}


async def test_faults_come_and_go_over_http() -> None:
    async with calling(faults=("quota",)) as caller:
        token = await caller.token()
        assert code(await caller.ask(token, "getusersummary")) == 45009
        said = await hand(caller, "faults", clear=True, add=["busy*1"])
        assert said == {"faults": {"busy*1": 0}}
        assert code(await caller.ask(token, "getusersummary")) == -1
        assert "list" in await caller.ask(token, "getusersummary")
        assert (await caller.get("/sandbox/stats"))["faults"] == {"busy*1": 1}


@pytest.mark.parametrize(
    ("deed", "told", "named"),
    [
        ("authorise", {}, "appid"),
        ("authorise", {"appid": "nonsense"}, "40013"),
        ("authorise", {"appid": ACCOUNT, "colour": 1}, "colour"),
        ("push", {"kind": "authorized"}, "41002"),
        ("settings", {"seed": 2}, "seed"),
        ("settings", {"aes_key": "short"}, "43"),
        ("faults", {"add": ["nonsense"]}, "nonsense"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_reason(
    deed: str, told: dict[str, Any], named: str
) -> None:
    async with calling() as caller:
        assert named in (await hand(caller, deed, 400, **told))["error"]
        url = f"{caller.sandbox.url}/sandbox/{deed}"
        for body in (b"{", b"[]"):
            async with caller.session.post(url, data=body) as response:
                assert response.status == 400
