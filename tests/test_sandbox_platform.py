"""The sandbox's protocol, by plain HTTP calls over loopback."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

import aiohttp
import orjson
import pytest

from harvester.errors import UsageError
from harvester.sandbox.app import running
from harvester.sandbox.endpoints import ENDPOINTS
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings, appids

NOON = datetime(2026, 1, 20, 4, tzinfo=UTC)
"""12:00 in China; yesterday is 2026-01-19."""

YESTERDAY = "2026-01-19"
ACCOUNT, OTHER = appids(1, 2)
STRANGER = "wx0123456789abcdef"
PLATFORM = "wxfedcba9876543210"


class Caller:
    """A plain client: one method for a statistic, one for everything else."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def post(self, path: str, body: Any = None, **query: str) -> Any:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        async with self.session.post(
            self.sandbox.url + path, data=data, params=query
        ) as response:
            assert response.status == 200
            return orjson.loads(await response.read())

    async def get(self, path: str, **query: str) -> Any:
        async with self.session.get(self.sandbox.url + path, params=query) as response:
            assert response.status == 200
            return orjson.loads(await response.read())

    async def stable(self, appid: str = ACCOUNT, **more: Any) -> Any:
        asked = {"grant_type": "client_credential", "appid": appid, "secret": "s"}
        return await self.post("/cgi-bin/stable_token", asked | more)

    async def token(self, appid: str = ACCOUNT) -> str:
        return str((await self.stable(appid))["access_token"])

    async def ask(
        self, token: str, endpoint_id: str, first: str = YESTERDAY, last: str = ""
    ) -> Any:
        window = {"begin_date": first, "end_date": last or first}
        return await self.post(f"/datacube/{endpoint_id}", window, access_token=token)

    async def component(self) -> str:
        return str((await self.component_token())["component_access_token"])

    async def component_token(self, ticket: str = "", secret: str = "s") -> Any:
        known = ticket or self.sandbox.platform.tickets.issue()
        return await self.post(
            "/cgi-bin/component/api_component_token",
            {
                "component_appid": PLATFORM,
                "component_appsecret": secret,
                "component_verify_ticket": known,
            },
        )

    async def authorizer(
        self, component: str, appid: str = ACCOUNT, refresh: str = "r"
    ) -> Any:
        return await self.managed(
            component,
            "api_authorizer_token",
            authorizer_appid=appid,
            authorizer_refresh_token=refresh,
        )

    async def managed(self, component: str, name: str, **more: Any) -> Any:
        body = {"component_appid": PLATFORM} | more
        return await self.post(
            f"/cgi-bin/component/{name}", body, component_access_token=component
        )


@asynccontextmanager
async def calling(**settings: Any) -> AsyncIterator[Caller]:
    """A sandbox at noon of 2026-01-20, and a client for it."""
    async with (
        running(Settings(**settings), now=lambda: NOON) as sandbox,
        aiohttp.ClientSession() as session,
    ):
        yield Caller(sandbox, session)


def code(answer: Any) -> int:
    """The error code of a refusal, whose text must carry a request id."""
    assert answer.keys() == {"errcode", "errmsg"}
    rid = re.search(r" rid: ([0-9a-f]{8})-[0-9a-f]{8}-[0-9a-f]{8}$", answer["errmsg"])
    assert rid is not None
    assert abs(int(rid[1], 16) - time.time()) < 60
    return int(answer["errcode"])


@pytest.mark.parametrize("endpoint_id", ENDPOINTS)
async def test_every_statistic_answers_what_the_world_holds(endpoint_id: str) -> None:
    first = {"week": "2026-01-12", "month": "2025-12-01"}.get(
        ENDPOINTS[endpoint_id].label, YESTERDAY
    )
    async with calling() as caller:
        answer = await caller.ask(await caller.token(), endpoint_id, first)
        day = date.fromisoformat(first)
        rows = caller.sandbox.world.rows(endpoint_id, ACCOUNT, day, date(2026, 1, 19))
        assert answer == {"list": rows} | (
            {"is_delay": False} if "is_delay" in answer else {}
        )
        assert ("is_delay" in answer) == ENDPOINTS[endpoint_id].delays


@pytest.mark.parametrize(
    ("endpoint_id", "first", "last", "expected"),
    [
        ("getusersummary", "2026-01-13", "2026-01-19", None),
        ("getusersummary", "2026-01-12", "2026-01-19", 61501),
        ("getusersummary", "2026-01-20", "2026-01-20", 61501),
        ("getusersummary", "2026-01-19", "2026-01-18", 61501),
        ("getuserread", "2026-01-17", "2026-01-19", None),
        ("getuserread", "2026-01-16", "2026-01-19", 61501),
        ("getarticleread", "2026-01-18", "2026-01-19", 61501),
        ("getbizsummary", "2025-12-21", "2026-01-19", None),
        ("getbizsummary", "2025-12-20", "2026-01-19", 61501),
        ("getupstreammsgweek", "2025-12-21", "2026-01-19", None),
        ("getupstreammsgdistweek", "2026-01-05", "2026-01-19", None),
        ("getupstreammsgdistweek", "2026-01-04", "2026-01-19", 61501),
        ("getusersummary", "2026-1-19", "2026-01-19", 61500),
        ("getusersummary", "20260119", "20260119", 61500),
        ("getusersummary", "2026-02-30", "2026-02-30", 61500),
        ("getusersummary", "2014-11-28", "2014-11-30", None),
        ("getnothing", YESTERDAY, YESTERDAY, 40066),
    ],
)
async def test_windows_are_held_to_span_yesterday_and_format(
    endpoint_id: str, first: str, last: str, expected: int | None
) -> None:
    async with calling() as caller:
        answer = await caller.ask(await caller.token(), endpoint_id, first, last)
        assert (code(answer) if expected else answer.get("errcode")) == expected


async def test_calls_of_the_wrong_kind_are_refused() -> None:
    async with calling() as caller:
        token = await caller.token()
        path = "/datacube/getusersummary"
        assert code(await caller.get(path, access_token=token)) == 43002
        assert code(await caller.post(path, b"", access_token=token)) == 44002
        assert code(await caller.post(path, b"{", access_token=token)) == 47001
        assert code(await caller.post(path, b"[]", access_token=token)) == 47001
        assert code(await caller.post(path, {}, access_token=token)) == 61500
        assert code(await caller.post(path, {})) == 41001
        assert code(await caller.ask("nonsense", "getusersummary")) == 40014
        assert (
            code(await caller.ask(await caller.component(), "getusersummary")) == 61015
        )
        wrong = caller.sandbox.url + "/cgi-bin/datacube/getusersummary"
        async with caller.session.post(wrong, json={}) as response:
            assert (response.status, await response.read()) == (404, b"")


@pytest.mark.parametrize(("early", "expected"), [("refuse", 61503), ("empty", None)])
async def test_before_eight_yesterday_is_not_ready(
    early: str, expected: int | None
) -> None:
    seven = NOON.replace(day=19, hour=23)
    async with calling(early=early) as caller:
        caller.sandbox.set_clock(lambda: seven)
        token = await caller.token()
        answer = await caller.ask(token, "getusercumulate", "2026-01-18", YESTERDAY)
        assert (code(answer) if expected else len(answer["list"])) == (expected or 1)
        answer = await caller.ask(token, "getusercumulate", "2026-01-17", "2026-01-18")
        assert len(answer["list"]) == 2
        assert await caller.ask(token, "getarticleread") == {
            "list": [],
            "is_delay": True,
        }
        caller.sandbox.set_clock(lambda: NOON)
        answer = await caller.ask(token, "getusercumulate", "2026-01-18", YESTERDAY)
        assert len(answer["list"]) == 2


async def test_a_week_that_ended_yesterday_is_not_ready_before_eight() -> None:
    async with calling() as caller:
        caller.sandbox.set_clock(lambda: NOON.replace(day=18, hour=23))  # Monday, 07:00
        token = await caller.token()
        assert (
            code(await caller.ask(token, "getupstreammsgweek", "2026-01-12")) == 61503
        )
        assert "list" in await caller.ask(token, "getupstreammsgweek", "2026-01-05")


async def test_stable_tokens_stay_the_same_until_forced_or_nearly_over() -> None:
    async with calling(token_seconds=1000) as caller:
        ticks = [0.0]
        caller.sandbox.platform.tokens.ticks = lambda: ticks[0]
        first = await caller.stable()
        ticks[0] = 600
        second = await caller.stable()
        assert second["access_token"] == first["access_token"]
        assert (first["expires_in"], second["expires_in"]) == (1000, 400)
        ticks[0] = 950
        renewed = await caller.token()
        assert renewed != first["access_token"]
        assert "list" in await caller.ask(str(first["access_token"]), "getusersummary")
        ticks[0] = 1001
        assert (
            code(await caller.ask(str(first["access_token"]), "getusersummary"))
            == 40001
        )
        forced = (await caller.stable(force_refresh=True))["access_token"]
        assert code(await caller.ask(renewed, "getusersummary")) == 40001
        assert "list" in await caller.ask(forced, "getusersummary")
        ticks[0] = 5000
        assert code(await caller.ask(forced, "getusersummary")) == 42001


async def test_plain_tokens_are_new_each_time_and_the_old_one_lives_on_a_little() -> (
    None
):
    async with calling() as caller:
        ticks = [0.0]
        caller.sandbox.platform.tokens.ticks = lambda: ticks[0]
        query = {"grant_type": "client_credential", "appid": ACCOUNT, "secret": "s"}
        stable = await caller.token()
        old = (await caller.get("/cgi-bin/token", **query))["access_token"]
        new = (await caller.get("/cgi-bin/token", **query))["access_token"]
        assert "list" in await caller.ask(old, "getusersummary")
        ticks[0] = 301
        assert code(await caller.ask(old, "getusersummary")) == 40001
        for token in (new, stable):
            assert "list" in await caller.ask(token, "getusersummary")


async def test_a_new_component_or_authorizer_token_voids_the_one_before() -> None:
    async with calling() as caller:
        old, component = await caller.component(), await caller.component()
        assert code(await caller.authorizer(old)) == 40001
        first = await caller.authorizer(component)
        second = await caller.authorizer(component)
        assert first["authorizer_refresh_token"] == "r"
        assert second["expires_in"] == 7200
        token = str(first["authorizer_access_token"])
        assert code(await caller.ask(token, "getusersummary")) == 40001
        assert "list" in await caller.ask(
            second["authorizer_access_token"], "getusersummary"
        )
        other = await caller.authorizer(component, OTHER)
        assert "list" in await caller.ask(
            other["authorizer_access_token"], "getusersummary"
        )
        assert "list" in await caller.ask(
            second["authorizer_access_token"], "getusersummary"
        )


async def test_tokens_tell_nothing_and_belong_to_one_account() -> None:
    async with calling() as caller:
        mine, theirs = await caller.token(), await caller.token(OTHER)
        assert mine != theirs
        assert len(mine) > 100
        assert ACCOUNT not in mine
        rows = (await caller.ask(theirs, "getusercumulate"))["list"]
        assert rows == caller.sandbox.world.rows(
            "getusercumulate", OTHER, date(2026, 1, 19)
        )


async def test_refresh_tokens_rotate_where_asked_and_the_list_knows_the_newest() -> (
    None
):
    async with calling(rotate_refresh_tokens=True) as caller:
        component = await caller.component()
        first = await caller.authorizer(component)
        newest = first["authorizer_refresh_token"]
        assert newest.startswith("refreshtoken@@@")
        assert code(await caller.authorizer(component)) == 61023
        listed = await caller.managed(
            component, "api_get_authorizer_list", offset=0, count=1
        )
        assert listed["list"][0]["refresh_token"] == newest
        assert "authorizer_access_token" in await caller.authorizer(
            component, refresh=newest
        )


async def test_the_list_has_pages_and_forgets_who_withdrew() -> None:
    async with calling(accounts=1200) as caller:
        component = await caller.component()
        everyone = appids(1, 1200)
        found: list[str] = []
        for offset in range(0, 1201, 500):
            page = await caller.managed(
                component, "api_get_authorizer_list", offset=offset, count=500
            )
            assert page["total_count"] == 1200
            found += [account["authorizer_appid"] for account in page["list"]]
        assert found == everyone
        caller.sandbox.revoke(everyone[0])
        page = await caller.managed(
            component, "api_get_authorizer_list", offset=0, count=999
        )
        assert (page["total_count"], len(page["list"])) == (1199, 500)
        assert (await caller.managed(component, "api_get_authorizer_list", count=0))[
            "errcode"
        ] == 47001


async def test_an_account_s_information_says_what_it_granted() -> None:
    async with calling() as caller:
        component = await caller.component()
        caller.sandbox.grant(ACCOUNT, 2, 7)
        caller.sandbox.verify(ACCOUNT, verified=False)
        caller.sandbox.freeze(ACCOUNT)
        info = await caller.managed(
            component, "api_get_authorizer_info", authorizer_appid=ACCOUNT
        )
        granted = [
            entry["funcscope_category"]["id"]
            for entry in info["authorization_info"]["func_info"]
        ]
        assert granted == [2, 7]
        assert info["authorizer_info"]["verify_type_info"] == {"id": -1}
        assert info["authorizer_info"]["account_status"] == 19
        caller.sandbox.revoke(ACCOUNT)
        answer = await caller.managed(
            component, "api_get_authorizer_info", authorizer_appid=ACCOUNT
        )
        assert code(answer) == 61003


async def test_accounts_may_be_revoked_frozen_unverified_or_lack_a_set() -> None:
    async with calling() as caller:
        sandbox, token = caller.sandbox, await caller.token()
        sandbox.grant(ACCOUNT, 1, 3)
        assert code(await caller.ask(token, "getusersummary")) == 61007
        assert "list" in await caller.ask(token, "getupstreammsg")
        sandbox.grant(ACCOUNT, 1, 2)
        assert "list" in await caller.ask(token, "getusersummary")
        sandbox.verify(ACCOUNT, verified=False)
        assert code(await caller.ask(token, "getusersummary")) == 48001
        sandbox.verify(ACCOUNT)
        sandbox.freeze(ACCOUNT)
        assert code(await caller.ask(token, "getusersummary")) == 50002
        assert code(await caller.stable()) == 50002
        sandbox.freeze(ACCOUNT, frozen=False)
        sandbox.revoke(ACCOUNT)
        assert code(await caller.ask(token, "getusersummary")) == 61003
        component = await caller.component()
        assert code(await caller.authorizer(component)) == 61003
        sandbox.authorise(ACCOUNT, authorised_at=1_800_000_000, refresh_token="new")
        assert code(await caller.authorizer(component)) == 61023
        assert "expires_in" in await caller.authorizer(component, refresh="new")
        assert "list" in await caller.ask(await caller.token(OTHER), "getusersummary")


async def test_any_account_is_served_unless_only_known_ones_are() -> None:
    async with calling() as caller:
        assert "access_token" in await caller.stable(STRANGER)
        assert code(await caller.stable("wx-no-appid")) == 40013
        caller.sandbox.change(known_only=True)
        assert code(await caller.stable(STRANGER)) == 40013
        assert "access_token" in await caller.stable(ACCOUNT)


async def test_a_required_secret_is_required() -> None:
    async with calling() as caller:
        caller.sandbox.require(ACCOUNT, secret="right")
        assert code(await caller.stable()) == 40125
        assert "access_token" in await caller.stable(secret="right")
        assert code(await caller.stable(secret="")) == 41004
        assert code(await caller.stable(appid="")) == 41002
        assert code(await caller.stable(grant_type="")) == 40002


async def test_component_calls_need_the_platform_s_token() -> None:
    async with calling() as caller:
        assert code(await caller.authorizer("")) == 41021
        assert code(await caller.authorizer("nonsense")) == 40014
        assert code(await caller.authorizer(await caller.token())) == 61014
        component = await caller.component()
        assert code(await caller.authorizer(component, refresh="")) == 61023
        asked = {"component_appid": PLATFORM, "component_appsecret": "s"}
        answer = await caller.post("/cgi-bin/component/api_component_token", asked)
        assert code(answer) == 61006


async def test_a_token_server_hands_out_one_token_for_its_life() -> None:
    async with calling(token_seconds=60) as caller:
        first = await caller.get(f"/token/{ACCOUNT}")
        assert first == await caller.get(f"/token/{ACCOUNT}") | {
            "expires_in": first["expires_in"]
        }
        assert first.keys() == {"access_token", "expires_in"}
        assert "list" in await caller.ask(first["access_token"], "getusersummary")
        caller.sandbox.expire_tokens(ACCOUNT)
        assert code(await caller.ask(first["access_token"], "getusersummary")) == 42001
        assert (await caller.get(f"/token/{ACCOUNT}"))["access_token"] != first[
            "access_token"
        ]


async def test_the_day_s_quota_is_of_one_account_and_endpoint_and_ends_at_midnight() -> (
    None
):
    async with calling(daily_quota=2) as caller:
        token = await caller.token()
        path = {"cgi_path": "/datacube/getusersummary"}
        for _ in range(2):
            assert "list" in await caller.ask(token, "getusersummary")
        assert code(await caller.ask(token, "getusersummary")) == 45009
        quota = await caller.post(
            "/cgi-bin/openapi/quota/get", path, access_token=token
        )
        assert quota["quota"] == {"daily_limit": 2, "used": 2, "remain": 0}
        assert "list" in await caller.ask(token, "getusercumulate")
        assert "list" in await caller.ask(await caller.token(OTHER), "getusersummary")
        caller.sandbox.set_clock(lambda: NOON.replace(hour=16))  # midnight in China
        assert "list" in await caller.ask(token, "getusersummary")


async def test_the_minute_s_quota_is_of_one_account_and_ends_with_the_minute() -> None:
    async with calling(minute_quota=2) as caller:
        ticks = [0.0]
        caller.sandbox.platform.tokens.ticks = lambda: ticks[0]
        token = await caller.token()
        answers = [await caller.ask(token, "getusersummary") for _ in range(3)]
        assert [answer.get("errcode", 0) for answer in answers] == [0, 0, 45011]
        ticks[0] = 60
        assert "list" in await caller.ask(token, "getusersummary")
        quota = await caller.post(
            "/cgi-bin/openapi/quota/get",
            {"cgi_path": "/datacube/getusersummary"},
            access_token=token,
        )
        assert quota["rate_limit"] == {"call_count": 2, "refresh_second": 60}
        assert quota["quota"]["remain"] > 900_000


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/datacube/getnothing", 76021),
        ("datacube/getusersummary", 76003),
        ("/cgi-bin/component/api_authorizer_token", 76022),
    ],
)
async def test_quotas_are_told_of_the_token_s_own_paths_only(
    path: str, expected: int
) -> None:
    async with calling() as caller:
        token, component = await caller.token(), await caller.component()
        asked = {"cgi_path": path}
        answer = await caller.post(
            "/cgi-bin/openapi/quota/get", asked, access_token=token
        )
        assert code(answer) == expected
        asked = {"cgi_path": "/cgi-bin/component/api_authorizer_token"}
        answer = await caller.post(
            "/cgi-bin/openapi/quota/get", asked, access_token=component
        )
        assert answer["errcode"] == 0


async def test_every_call_is_counted() -> None:
    async with calling(latency_ms=1) as caller:
        token = await caller.token()
        await asyncio.gather(*(caller.ask(token, "getusersummary") for _ in range(3)))
        await caller.ask(await caller.token(OTHER), "getusercumulate")
        await caller.ask("nonsense", "getusercumulate")
        component = await caller.component()
        await caller.managed(component, "api_get_authorizer_list")
        stats = await caller.get("/sandbox/stats")
        assert caller.sandbox.calls == {
            ("getusersummary", ACCOUNT): 3,
            ("getusercumulate", OTHER): 1,
            ("getusercumulate", ""): 1,
        }
        assert (stats["calls"], stats["token_calls"], stats["other_calls"]) == (5, 3, 1)
        assert stats["by_endpoint"] == {"getusercumulate": 2, "getusersummary": 3}
        assert stats["by_token_call"] == {"api_component_token": 1, "stable_token": 2}
        assert stats["accounts"] == 2
        assert 1 < stats["max_in_flight_per_account"] <= 3
        assert stats["max_in_flight"] == stats["max_in_flight_per_account"]
        entries = [
            (entry.place.name, entry.place.appid, entry.place.first, entry.outcome)
            for entry in caller.sandbox.log
        ]
        assert ("getusersummary", ACCOUNT, YESTERDAY, "ok") in entries
        assert ("getusercumulate", "", YESTERDAY, "40014") in entries


async def test_the_clock_starts_where_it_is_told_to() -> None:
    settings = Settings(as_of=datetime(2025, 3, 3, 4, tzinfo=UTC))
    async with running(settings) as sandbox, aiohttp.ClientSession() as session:
        caller = Caller(sandbox, session)
        token = await caller.token()
        assert code(await caller.ask(token, "getusercumulate", "2025-03-03")) == 61501
        assert (
            len((await caller.ask(token, "getusercumulate", "2025-03-02"))["list"]) == 1
        )


async def test_a_taken_port_is_a_usage_error() -> None:
    async with calling() as caller:
        port = int(caller.sandbox.url.rpartition(":")[2])
        with pytest.raises(UsageError, match="choose another port"):
            async with running(Settings(port=port)):
                pass
