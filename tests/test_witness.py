"""An independent witness: wechatpy, another project's client and cipher.

It shares nothing with ours, with the sandbox's or with the tests': what all of them got
wrong together, it would not understand.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

import pytest
import requests
from pushes import (
    ACCOUNT,
    CODE,
    KEY,
    NOW,
    PLATFORM,
    SUCCESS,
    TOKEN,
    Granting,
    Sent,
    receiving,
    until,
    xml,
)
from rehearsal import sandboxed
from wechatpy.client.api.datacube import WeChatDataCube
from wechatpy.component import WeChatComponent
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import WeChatClientException

from harvester.sandbox import settings
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings, appids

FIRST, SECOND = appids(1, 2)
DAYS = ("2026-01-13", "2026-01-19")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@contextmanager
def inbox() -> Iterator[tuple[str, "Queue[Sent]"]]:
    """An address that takes every push, and what came there."""
    came: Queue[Sent] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.put(Sent(dict(parse_qsl(urlsplit(self.path).query)), body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"success")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/events", came
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def witness(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Sandbox, WeChatComponent, "Queue[Sent]"]]:
    """A strict sandbox that pushes, wechatpy as its platform, and what came."""
    with (
        inbox() as (url, came),
        sandboxed(Settings(accounts=600, strict=True, callback_url=url)) as box,
    ):
        monkeypatch.setattr(WeChatComponent, "API_BASE_URL", f"{box.url}/cgi-bin")
        monkeypatch.setattr(WeChatDataCube, "API_BASE_URL", f"{box.url}/datacube/")
        component = WeChatComponent(
            settings.PLATFORM, "secret", settings.CALLBACK_TOKEN, settings.AES_KEY
        )
        yield box, component, came


def heard(component: WeChatComponent, came: "Queue[Sent]") -> Any:
    """The next push as wechatpy understands it."""
    sent = came.get(timeout=10)
    names = ("msg_signature", "timestamp", "nonce")
    return component.parse_message(sent.body, *(sent.query[name] for name in names))


def test_wechatpy_gets_from_the_sandboxes_pushes_to_an_accounts_data(
    witness: tuple[Sandbox, WeChatComponent, "Queue[Sent]"],
) -> None:
    box, component, came = witness
    assert heard(component, came).type == "component_verify_ticket"
    link = component.get_pre_auth_url("https://example.com/back")
    opened = requests.get(
        link.replace("https://mp.weixin.qq.com", box.url),
        params={"appid": FIRST, "sets": "2,3,7"},
        allow_redirects=False,
        timeout=10,
    )
    assert opened.headers["Location"].startswith("https://example.com/back?auth_code=")
    event = heard(component, came)  # exchanges the code by itself
    assert event.type == "updateauthorized"
    assert event.authorizer_appid == FIRST
    data = component.get_client_by_appid(FIRST).datacube
    rows = [
        row
        for day in range(13, 20)
        for row in box.world.rows("getusersummary", FIRST, date(2026, 1, day))
    ]
    assert data.get_user_summary(*DAYS) == rows
    last = date(2026, 1, 19)
    for call, endpoint in (
        (data.get_user_cumulate, "getusercumulate"),
        (data.get_user_read, "getuserread"),
        (data.get_article_summary, "getarticlesummary"),
        (data.get_interface_summary, "getinterfacesummary"),
    ):
        assert call(last, last) == box.world.rows(endpoint, FIRST, last)
    with pytest.raises(WeChatClientException) as refused:
        data.get_upstream_msg(last, last)
    assert refused.value.errcode == 61007


def test_wechatpy_lists_refreshes_and_is_refused(
    witness: tuple[Sandbox, WeChatComponent, "Queue[Sent]"],
) -> None:
    box, component, came = witness
    heard(component, came)
    pages = [
        component.get_authorizer_list(offset, 500)["list"] for offset in (0, 500, 600)
    ]
    assert [len(page) for page in pages] == [500, 100, 0]
    listed = {
        one["authorizer_appid"]: one["refresh_token"] for page in pages for one in page
    }
    info = component.get_authorizer_info(SECOND)
    assert info["authorizer_info"]["verify_type_info"] == {"id": 0}
    assert info["authorization_info"]["authorizer_refresh_token"] == listed[SECOND]
    fresh = component.refresh_authorizer_token(SECOND, listed[SECOND])
    assert fresh["authorizer_access_token"]
    with pytest.raises(WeChatClientException) as refused:
        component.refresh_authorizer_token(SECOND, "made up")
    assert refused.value.errcode == 61023
    box.revoke(SECOND)
    assert heard(component, came).authorizer_appid == SECOND
    with pytest.raises(WeChatClientException) as refused:
        component.get_authorizer_info(SECOND)
    assert refused.value.errcode == 61003
    box.platform.tokens.expire(settings.PLATFORM)
    assert component.get_authorizer_list()["total_count"] == 599  # by a new token


async def test_pushes_by_wechatpy_are_taken() -> None:
    sender = WeChatCrypto(TOKEN, KEY, PLATFORM)

    def sent(at: float, kind: str, **fields: object) -> Sent:
        inner = xml(AppId=PLATFORM, CreateTime=int(at), InfoType=kind, **fields)
        nonce, timestamp = f"nonce{at}", f"{at:.0f}"
        outer = sender.encrypt_message(inner, nonce, timestamp)
        signature = ElementTree.fromstring(outer).findtext("MsgSignature")
        query = {
            "timestamp": timestamp,
            "nonce": nonce,
            "msg_signature": str(signature),
        }
        return Sent(query, outer.encode())

    async with receiving(authority=Granting()) as reception:
        for number in range(40):  # every length of the padding
            at, value = NOW + number, f"ticket@@@{'x' * number}"
            reception.clock.now = at
            push = sent(at, "component_verify_ticket", ComponentVerifyTicket=value)
            assert await reception.post(push) == SUCCESS
            assert reception.vault.tickets[PLATFORM] == (at, value)
        about = {"AuthorizerAppid": ACCOUNT}
        code = {"AuthorizationCode": CODE, "AuthorizationCodeExpiredTime": 600}
        assert await reception.post(sent(at, "authorized", **about, **code)) == SUCCESS
        await until(lambda: CODE in reception.vault.done)
        assert reception.vault.authorised() is True
        assert await reception.post(sent(at, "unauthorized", **about)) == SUCCESS
        assert reception.vault.authorised() is False
