"""The receiver of pushes: what is taken, what is turned away, and in what order."""

import asyncio
import gzip
import hmac
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pushes import (
    ACCOUNT,
    CODE,
    KEY,
    NOW,
    PLATFORM,
    QUICK,
    REFRESH_TOKEN,
    SUCCESS,
    TICKET,
    Clock,
    Granting,
    Kept,
    Sent,
    authorised,
    forged,
    granted,
    pushed,
    receiving,
    sealed,
    signed,
    terms,
    ticket,
    until,
    vectors,
    withdrawn,
    xml,
)
from unwelcome import UNWELCOME

from harvester import crypto
from harvester.api.callback import pushes
from harvester.api.callback.contract import Code
from harvester.api.callback.pushes import MOST_BYTES, Unwelcome, read
from harvester.api.callback.receiver import WAITING, Receiver
from harvester.api.callback.replays import Replays
from harvester.commands import serve
from harvester.secret import Secret

VECTORS = vectors("generated_component_pushes")


# Pushes that are taken


async def test_a_ticket_is_answered_exactly_success_and_is_in_the_vault_by_then() -> (
    None
):
    async with receiving() as reception:
        sent = ticket()
        url = f"{reception.url}/wechat/events{sent.tail}"
        async with reception.client.post(url, data=sent.body) as answer:
            assert answer.status == 200
            assert await answer.read() == b"success"
            assert answer.headers["Content-Length"] == "7"
        assert reception.vault.tickets == {PLATFORM: (NOW, TICKET)}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case["name"]) for case in VECTORS["cases"]],
)
async def test_every_known_push_is_taken_or_turned_away(case: dict[str, Any]) -> None:
    outer = case.get("outer_xml") or xml(AppId=PLATFORM, Encrypt=case["encrypt"])
    query = {name: case[name] for name in ("timestamp", "nonce", "msg_signature")}
    async with receiving(authority=Granting()) as reception:
        status, text = await reception.post(Sent(query, outer.encode()))
    meant = "<InfoType>" in case.get("plaintext", "") and case["expected"] == "ok"
    assert (status == 200) is meant
    assert (text == "success") is meant


async def test_a_push_under_the_previous_key_is_taken() -> None:
    (case,) = [c for c in VECTORS["cases"] if c["name"] == "previous_key"]
    query = {name: case[name] for name in ("timestamp", "nonce", "msg_signature")}
    sent = Sent(query, case["outer_xml"].encode())
    async with receiving() as reception:
        assert await reception.post(sent) == SUCCESS
        assert reception.vault.tickets[PLATFORM][1] in case["plaintext"]
    async with receiving(keys=(serve._keys(Secret(KEY), None))) as reception:
        assert await reception.post(sent) == (403, "refused: decryption")


async def test_a_push_is_taken_under_the_configured_path_as_well() -> None:
    async with receiving(path="/callback/x9") as reception:
        assert await reception.post(ticket(), "/callback/x9") == SUCCESS
        assert await reception.post(ticket()) == SUCCESS
        assert (await reception.post(ticket(), "/callback"))[0] == 404


async def test_a_push_whose_fields_are_no_cdata_is_taken() -> None:
    inner = (
        f"<xml>\n  <AppId>{PLATFORM}</AppId><CreateTime>{NOW:.0f}</CreateTime>"
        "<InfoType> component_verify_ticket </InfoType>"
        "<ComponentVerifyTicket>a &amp; b</ComponentVerifyTicket></xml>"
    )
    encrypted = sealed(inner.encode())
    outer = f"<?xml version='1.0'?><xml><Encrypt>{encrypted}</Encrypt></xml>"
    async with receiving() as reception:
        assert await reception.post(signed(encrypted, outer=outer)) == SUCCESS
        assert reception.vault.tickets[PLATFORM] == (NOW, "a & b")


async def test_an_older_ticket_never_overwrites_a_newer_one() -> None:
    async with receiving() as reception:
        for value, at in (("b", NOW), ("a", NOW - 600), ("c", NOW + 1), ("b", NOW)):
            reception.clock.now = NOW + 60
            assert await reception.post(ticket(value, at)) == SUCCESS
        assert reception.vault.tickets[PLATFORM] == (NOW + 1, "c")


async def test_a_ticket_from_the_future_does_not_outlast_the_next_one() -> None:
    inner = xml(
        AppId=PLATFORM,
        CreateTime=int(NOW) * 1000,
        InfoType="component_verify_ticket",
        ComponentVerifyTicket="first",
    )
    async with receiving() as reception:
        assert await reception.post(signed(sealed(inner.encode()))) == SUCCESS
        reception.clock.now = NOW + 600
        assert await reception.post(ticket("second", NOW + 600)) == SUCCESS
        assert reception.vault.tickets[PLATFORM][1] == "second"


@pytest.mark.parametrize("kind", ["authorized", "updateauthorized"])
async def test_an_authorisation_replaces_tokens_and_permission_sets(kind: str) -> None:
    vault, authority = Kept(), Granting()
    vault.grants[ACCOUNT] = replace(granted(), token="old", permission_sets=frozenset())
    async with receiving(vault, authority) as reception:
        assert await reception.post(authorised(kind=kind)) == SUCCESS
        assert CODE in vault.codes  # durable before the answer
        await until(lambda: CODE in vault.done)
    assert vault.grants[ACCOUNT] == granted()
    assert vault.authorised() is True
    assert authority.asked == [CODE]


async def test_a_withdrawal_makes_the_account_inactive_and_keeps_what_is_known() -> (
    None
):
    vault = Kept(grants={ACCOUNT: granted()})
    async with receiving(vault, Granting()) as reception:
        assert await reception.post(withdrawn()) == SUCCESS
    assert vault.authorised() is False
    assert vault.grants[ACCOUNT].token == ""
    assert vault.grants[ACCOUNT].refresh_token == REFRESH_TOKEN


async def test_a_withdrawal_that_arrives_late_does_not_undo_an_authorisation() -> None:
    async with receiving(authority=Granting()) as reception:
        vault = reception.vault
        assert await reception.post(authorised(at=NOW)) == SUCCESS
        await until(lambda: CODE in vault.done)
        assert await reception.post(withdrawn(at=NOW - 60)) == SUCCESS
        assert vault.authorised() is True


async def test_an_exchange_that_ends_late_does_not_undo_a_withdrawal() -> None:
    authority = Granting(gate=anyio.Event())
    async with receiving(authority=authority) as reception:
        vault, reception.clock.now = reception.vault, NOW + 60
        assert await reception.post(authorised(at=NOW)) == SUCCESS
        assert await reception.post(withdrawn(at=NOW + 60)) == SUCCESS
        assert authority.gate is not None
        authority.gate.set()
        await until(lambda: CODE in vault.done)
        assert vault.authorised() is False


async def test_a_kind_that_nobody_knows_is_acknowledged_and_changes_nothing() -> None:
    async with receiving(authority=Granting()) as reception:
        assert await reception.post(pushed("notify_third_fasteregister")) == SUCCESS
        vault = reception.vault
        assert (vault.tickets, vault.codes, vault.standings) == ({}, {}, {})
        assert reception.receiver.counts.taken["other"] == 1


@pytest.mark.parametrize("authority", [None, Granting()], ids=["guest", "owner"])
async def test_codes_are_left_to_another_system_where_it_exchanges_them(
    authority: Granting | None,
) -> None:
    given = {} if authority is None else {"exchange_codes": False}
    async with receiving(authority=authority, **given) as reception:
        assert await reception.post(authorised()) == SUCCESS
        assert reception.vault.authorised() is True
        assert reception.vault.codes == {}
        status, page, _ = await reception.get(f"/authorized?auth_code={CODE}")
        assert status == 200
        assert "已收到授权" in page
    assert authority is None or authority.asked == []


# Pushes that are turned away


@pytest.mark.parametrize("case", UNWELCOME)
async def test_a_push_is_turned_away_with_(case: str) -> None:
    sent, status, reason = UNWELCOME[case]
    async with receiving(authority=Granting()) as reception:
        answered = await reception.post(sent)
        assert answered == (status, f"refused: {reason}")
        assert reception.receiver.counts.refused[reason] == 1
        assert reception.receiver.remembered == 0
        vault = reception.vault
        assert (vault.tickets, vault.codes, vault.standings) == ({}, {}, {})
        assert await reception.post(ticket()) == SUCCESS


async def test_the_signature_is_compared_in_constant_time_before_anything_is_decrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def comparing(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return compare(one, other)

    def never(*_: object) -> bytes:
        raise AssertionError("it was decrypted")

    monkeypatch.setattr(hmac, "compare_digest", comparing)
    monkeypatch.setattr(crypto, "decrypted", never)
    async with receiving() as reception:
        for given in ("0" * 40, "", "x"):
            sent = forged(msg_signature=given)
            assert await reception.post(sent) == (403, "refused: signature")
    assert compared == [b"0" * 40, b"", b"x"]


async def test_pushes_at_the_edges_of_time_are_taken() -> None:
    async with receiving() as reception:
        assert await reception.post(ticket(at=NOW - 3600)) == SUCCESS
        assert await reception.post(ticket(at=NOW + 300)) == SUCCESS
    async with receiving(accept_age=60) as reception:
        assert await reception.post(ticket(at=NOW - 61)) == (403, "refused: old")


async def test_a_large_body_of_unsaid_length_is_turned_away() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2 * MOST_BYTES // 1024):
            yield b" " * 1024

    async with receiving() as reception:
        answered = await reception.post(ticket(), data=endless())
        assert answered == (400, "refused: size")


async def test_a_small_body_that_unpacks_to_a_large_one_is_turned_away() -> None:
    packed = gzip.compress(b" " * (32 * 2**20))
    headers = {"Content-Encoding": "gzip"}
    async with receiving() as reception:
        answered = await reception.post(ticket(), data=packed, headers=headers)
        assert answered == (400, "refused: size")


async def test_a_body_that_is_not_what_its_header_says_is_turned_away() -> None:
    headers = {"Content-Encoding": "gzip"}
    async with receiving() as reception:
        status, _ = await reception.post(ticket(), data=b"<xml/>", headers=headers)
        assert status == 400
        assert await reception.post(ticket()) == SUCCESS


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    never = anyio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"<xml>"
        await never.wait()

    pace = replace(QUICK, body=0.05)
    async with receiving(pace=pace) as reception:
        answered = await reception.post(ticket(), data=slow())
        assert answered == (400, "refused: body")


async def test_other_methods_and_paths_are_no_business_of_the_receiver() -> None:
    async with receiving() as reception:
        assert (await reception.get("/wechat/events"))[0] == 405
        assert (await reception.get("/"))[0] == 404
        assert (await reception.get("/healthz"))[0] == 404
        assert (await reception.get("/metrics"))[0] == 404


async def test_bytes_that_are_no_http_get_no_exception_back() -> None:
    async with receiving() as reception:
        host, port = reception.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /authorized?auth_code=" + CODE.encode() + b" HTTP/x\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert b"Traceback" not in answer
        assert await reception.post(ticket()) == SUCCESS


@given(body=st.binary(max_size=200), query=st.dictionaries(st.text(), st.text()))
def test_no_request_leads_to_anything_but_a_push_or_a_reason(
    body: bytes, query: dict[str, str]
) -> None:
    with pytest.raises(Unwelcome) as turned_away:
        read(terms(), query, body, NOW)
    assert turned_away.value.reason in pushes.STATUS


@given(message=st.binary(max_size=200))
def test_no_genuine_content_leads_to_anything_but_a_push_or_a_reason(
    message: bytes,
) -> None:
    sent = signed(sealed(message))
    with pytest.raises(Unwelcome) as turned_away:
        read(terms(), sent.query, sent.body, NOW)
    assert turned_away.value.reason == "content"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (int(NOW) + 1800, NOW + 1800),
        (1800, NOW + 1800),
        (None, NOW + 3600),
        ("soon", NOW + 3600),
        (0, NOW + 600),
        (int(NOW) - 9, NOW + 600),
        (int(NOW) * 100, NOW + 86_400),
    ],
)
def test_a_code_is_tried_as_long_as_it_may_be_good(
    said: object, expected: float
) -> None:
    fields = {"AuthorizerAppid": ACCOUNT, "AuthorizationCode": CODE}
    told = {} if said is None else {"AuthorizationCodeExpiredTime": said}
    sent = pushed("authorized", **fields, **told)
    event = read(terms(), sent.query, sent.body, NOW).event
    assert isinstance(event, Code)
    assert event.until == expected


# Replays


async def test_a_push_is_taken_once() -> None:
    sent = ticket()
    async with receiving() as reception:
        assert await reception.post(sent) == SUCCESS
        assert await reception.post(sent) == (403, "refused: replay")
        assert await reception.post(ticket()) == SUCCESS
        reception.clock.now = NOW + 3600
        assert await reception.post(sent) == (403, "refused: replay")
        reception.clock.now = NOW + 3601
        assert await reception.post(sent) == (403, "refused: old")


async def test_of_many_equal_pushes_at_once_exactly_one_is_taken() -> None:
    sent = authorised()
    async with receiving(authority=Granting()) as reception:
        answers = await asyncio.gather(*(reception.post(sent) for _ in range(30)))
        assert answers.count(SUCCESS) == 1
        assert answers.count((403, "refused: replay")) == 29


def test_replays_are_known_for_as_long_as_they_would_be_taken() -> None:
    replays = Replays(100.0)
    assert replays.add("ab" * 20, 0.0)
    assert not replays.add("ab" * 20, 99.0)
    assert replays.add("ab" * 20, 100.0)


def test_replays_are_bounded_and_drop_the_oldest() -> None:
    replays = Replays(3600.0, most=1000)
    for number in range(10_000):
        assert replays.add(f"{number:040x}", float(number) / 100)
        assert len(replays) <= 1000
    assert not replays.add(f"{9_999:040x}", 100.0)
    assert replays.add(f"{0:040x}", 100.0)


# The vault is slow, failing, or behind


async def test_a_slow_vault_does_not_keep_wechat_waiting() -> None:
    vault = Kept(gate=anyio.Event())
    pace = replace(QUICK, answer=0.05)
    async with receiving(vault, Granting(), pace=pace) as reception:
        started = asyncio.get_running_loop().time()
        answers = await asyncio.gather(
            *(reception.post(ticket(f"{n}", NOW + n)) for n in range(20))
        )
        assert asyncio.get_running_loop().time() - started < 5
        assert answers == [SUCCESS] * 20
        assert vault.tickets == {}
        assert vault.gate is not None
        vault.gate.set()
        await until(lambda: vault.tickets.get(PLATFORM) == (NOW, "19"))


async def test_what_was_taken_is_stored_before_the_service_ends() -> None:
    vault = Kept(gate=anyio.Event())
    pace = replace(QUICK, answer=0.01)
    async with receiving(vault, pace=pace) as reception:
        assert await reception.post(ticket()) == SUCCESS
        assert vault.tickets == {}
        assert vault.gate is not None
        asyncio.get_running_loop().call_later(0.05, vault.gate.set)
    assert vault.tickets[PLATFORM] == (NOW, TICKET)


async def test_a_vault_that_fails_for_a_moment_is_tried_again() -> None:
    async with receiving(pace=replace(QUICK, look=60)) as reception:
        await until(lambda: reception.receiver.watch.health().vault == "ok")
        reception.vault.failures = 3
        assert await reception.post(ticket()) == SUCCESS
        assert reception.vault.tickets[PLATFORM] == (NOW, TICKET)


async def test_a_vault_that_keeps_failing_costs_that_push_alone() -> None:
    async with receiving(pace=replace(QUICK, look=60)) as reception:
        await until(lambda: reception.receiver.watch.health().vault == "ok")
        reception.vault.failures = 5
        assert await reception.post(ticket("lost")) == SUCCESS
        assert await reception.post(ticket("kept")) == SUCCESS
        assert reception.vault.tickets[PLATFORM] == (NOW, "kept")
        counts = reception.receiver.counts
        assert counts.not_stored["component_verify_ticket"] == 1


async def test_pushes_are_turned_away_when_too_many_wait_and_may_come_again() -> None:
    vault = Kept(gate=anyio.Event())
    pace = replace(QUICK, answer=0.0)
    async with receiving(vault, pace=pace) as reception:
        late = ticket("late", NOW)
        receiver = reception.receiver
        for number in range(WAITING + 1):  # the first has left the queue
            sent = ticket(f"{number}")
            await receiver.take(sent.query, sent.body)
            await asyncio.sleep(0)
        assert receiver.waiting == WAITING
        assert await reception.post(late) == (503, "refused: busy")
        assert vault.gate is not None
        vault.gate.set()
        await until(lambda: receiver.waiting == 0)
        assert await reception.post(late) == SUCCESS
        await until(lambda: vault.tickets.get(PLATFORM) == (NOW, "late"))


async def test_wechat_is_asked_for_pushes_from_the_start_on() -> None:
    authority = Granting()
    async with receiving(authority=authority, pace=replace(QUICK, ask=0.01)):
        await until(lambda: authority.asked_for_pushes > 2)


async def test_nothing_is_acknowledged_that_nobody_works_on() -> None:
    receiver = Receiver(terms(), Kept(), clock=Clock())
    sent = ticket()
    with pytest.raises(Unwelcome, match="busy"):
        await receiver.take(sent.query, sent.body)
