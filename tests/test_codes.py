"""Codes become decisions, and never an empty success or a leaked secret."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import endpoint

from harvester.api import rules
from harvester.api.codes import (
    Decision,
    Refusal,
    Scope,
    Verdict,
    address_of,
    refusal,
    rid_of,
    rule_of,
    token_rule_of,
    verdict,
)
from harvester.api.masking import masked, masked_bytes

ACTIONS = {
    "backoff_retry": "-1",
    "deactivate_account": "61003",
    "disable_endpoint": "48001 50001 50003 61007 61016 61017 61502",
    "drop_code": "61009 61010",
    "empty_result": "46009",
    "fix_request": "61500 61501",
    "ignore": "76001 76002",
    "long_backoff": "45102 45501",
    "needs_reauthorization": "42007",
    "park_account": "48004 50002 50004 50007",
    "park_until_next_day": "45009",
    "park_until_next_month": "45040 48006",
    "recover_refresh_token": "42002 61023",
    "refresh_component_once": "42006",
    "reread_then_refresh_once": "40001 40014 42001",
    "retry_later_today": "61503",
    "stop_account": "40243",
    "stop_config": "40013 40066 40125 40234 41001 41002 41004 41018 41021 43002"
    " 43003 44002 47001 48017 61011 61014 61015 61024 61028 61029 61030 76003"
    " 76021 76022 86000",
    "stop_egress": "40164 45035 61004",
    "wait_admin": "89501 89502 89503 89504 89505 89506 89507",
    "wait_for_ticket": "61005 61006",
    "wait_next_minute": "45011",
}
"""An extract of the collected error codes: what each asks of a client."""

ALLOWED = {
    "backoff_retry": {Decision.RETRY},
    "deactivate_account": {Decision.ACCOUNT_GONE},
    "disable_endpoint": {Decision.DENY_ENDPOINT, Decision.DENY_SET},
    "drop_code": {Decision.FAIL},
    "empty_result": {Decision.EMPTY},
    "fix_request": {Decision.FAIL, Decision.NARROW},
    "ignore": {Decision.FAIL},
    "long_backoff": {Decision.PARK_ENDPOINT, Decision.PARK_ACCOUNT},
    "needs_reauthorization": {Decision.ACCOUNT_GONE},
    "park_account": {Decision.PARK_ACCOUNT},
    "park_until_next_day": {Decision.PARK_ENDPOINT},
    "park_until_next_month": {Decision.PARK_ENDPOINT, Decision.FAIL},
    "recover_refresh_token": {Decision.RECOVER_REFRESH_TOKEN},
    "refresh_component_once": {Decision.REFRESH_TOKEN},
    "reread_then_refresh_once": {Decision.REFRESH_TOKEN},
    "retry_later_today": {Decision.NOT_READY},
    "stop_account": {Decision.PARK_ACCOUNT},
    "stop_config": {
        Decision.FAIL,
        Decision.PARK_ACCOUNT,
        Decision.STOP_PROCESS,
        Decision.STOP_EVERYTHING,
    },
    # 40164 is one account's own list: the other accounts' may be right
    "stop_egress": {Decision.STOP_PROCESS, Decision.FAIL},
    "wait_admin": {Decision.PARK_ACCOUNT},
    "wait_for_ticket": {Decision.STOP_EVERYTHING},
    "wait_next_minute": {Decision.SLOW_DOWN},
}

COLLECTED = [
    (code, action) for action, codes in ACTIONS.items() for code in codes.split()
]

PSEUDO_CODES = (
    "timeout reset dns tls http_5xx http_4xx redirect not_json too_large no_rows"
    " unreachable"
)


def test_all_72_collected_codes_stand_in_the_table() -> None:
    codes = {code for code, _ in COLLECTED}
    assert len(codes) == 72
    assert codes <= rules.RULES.keys()


@pytest.mark.parametrize(("code", "action"), COLLECTED)
def test_a_code_decides_what_its_collected_action_asks(code: str, action: str) -> None:
    assert rule_of(code).decision in ALLOWED[action]


@pytest.mark.parametrize(
    ("code", "decision"),
    [
        ("61501", Decision.NARROW),
        ("61500", Decision.FAIL),
        ("61007", Decision.DENY_SET),
        ("48001", Decision.DENY_ENDPOINT),
        ("47009", Decision.RETIRED),
        ("61504", Decision.RETRY),
        ("no_rows", Decision.FAIL),
        ("too_large", Decision.FAIL),
        ("redirect", Decision.FAIL),
        ("not_json", Decision.RETRY),
    ],
)
def test_codes_that_the_design_names(code: str, decision: Decision) -> None:
    assert rule_of(code).decision is decision


@pytest.mark.parametrize("code", PSEUDO_CODES.split())
def test_trouble_on_the_way_has_codes_of_its_own(code: str) -> None:
    assert code in rules.RULES
    assert rule_of(code).decision in (Decision.RETRY, Decision.FAIL)


def test_every_row_names_a_decision_a_scope_and_a_meaning() -> None:
    for code in rules.RULES:
        rule = rule_of(code)
        assert rule.meaning
        assert "{" not in rule.todo.format(address="1.2.3.4")


def test_every_decision_is_reached_by_some_code() -> None:
    assert {rule_of(code).decision for code in rules.RULES} == set(Decision)


def test_an_unknown_code_fails_the_call() -> None:
    assert rule_of("99999").decision is Decision.FAIL
    assert rule_of("99999").scope is Scope.REQUEST


@pytest.mark.parametrize(
    ("code", "decision"),
    [
        ("2009", Decision.DENY_SET),
        ("45009", Decision.SLOW_DOWN),
        ("1701", Decision.FAIL),
        ("45010", Decision.FAIL),
        ("40001", Decision.REFRESH_TOKEN),
    ],
)
def test_a_family_overrides_single_rows(code: str, decision: Decision) -> None:
    assert rule_of(code, "publisher").decision is decision


@pytest.mark.parametrize(
    ("call", "code", "decision", "scope"),
    [
        ("stable_token", "40001", Decision.FAIL, Scope.ACCOUNT),
        ("stable_token", "40125", Decision.FAIL, Scope.ACCOUNT),
        ("stable_token", "45009", Decision.PARK_ENDPOINT, Scope.ACCOUNT),
        ("stable_token", "48001", Decision.FAIL, Scope.ACCOUNT),
        ("stable_token", "-1", Decision.RETRY, Scope.ACCOUNT),
        ("api_component_token", "40001", Decision.STOP_EVERYTHING, Scope.PLATFORM),
        ("api_component_token", "40125", Decision.STOP_EVERYTHING, Scope.PLATFORM),
        ("api_component_token", "61005", Decision.STOP_EVERYTHING, Scope.PLATFORM),
        ("api_component_token", "61006", Decision.STOP_EVERYTHING, Scope.PLATFORM),
        ("api_component_token", "61004", Decision.STOP_PROCESS, Scope.PROCESS),
        ("api_component_token", "12345", Decision.STOP_EVERYTHING, Scope.PLATFORM),
        ("api_authorizer_token", "40001", Decision.REFRESH_TOKEN, Scope.PLATFORM),
        ("api_authorizer_token", "45009", Decision.PARK_ENDPOINT, Scope.ACCOUNT),
        ("api_authorizer_token", "61003", Decision.ACCOUNT_GONE, Scope.ACCOUNT),
        ("api_authorizer_token", "50002", Decision.PARK_ACCOUNT, Scope.ACCOUNT),
        ("api_authorizer_token", "12345", Decision.FAIL, Scope.ACCOUNT),
    ],
)
def test_token_calls_read_codes_their_own_way(
    call: str, code: str, decision: Decision, scope: Scope
) -> None:
    rule = token_rule_of(code, call)
    assert (rule.decision, rule.scope) == (decision, scope)


@pytest.mark.parametrize("code", [{}, {"errcode": 0}, {"errcode": "0"}])
def test_no_code_with_rows_is_a_success(code: dict[str, object]) -> None:
    assert verdict({**code, "list": []}, endpoint()) is None
    assert verdict({**code, "errmsg": "ok", "list": [{}]}, endpoint()) is None
    assert verdict({"errcode": None, "list": []}, endpoint()) is None


@pytest.mark.parametrize("code", [45009, "45009"])
def test_a_code_counts_as_number_and_as_text(code: object) -> None:
    found = verdict({"errcode": code, "errmsg": "x", "list": []}, endpoint())
    assert found is not None
    assert (found.code, found.rule.decision) == ("45009", Decision.PARK_ENDPOINT)


@pytest.mark.parametrize("code", [False, True, 1.5, [], {"a": 1}, "busy", ""])
def test_a_code_that_is_no_number_fails(code: object) -> None:
    found = verdict({"errcode": code, "list": []}, endpoint())
    assert found is not None
    assert found.rule.decision is Decision.FAIL
    assert found.code == "unknown"


@pytest.mark.parametrize(
    "document", [{}, {"list": None}, {"list": {}}, {"list": "[]"}, {"rows": []}]
)
def test_a_success_without_its_array_fails(document: dict[str, object]) -> None:
    found = verdict(document, endpoint())
    assert found is not None
    assert (found.code, found.rule.decision) == ("no_rows", Decision.FAIL)


def test_rows_may_stand_deeper_and_in_several_arrays() -> None:
    nested = endpoint(rows=("list[].details[]",))
    assert verdict({"list": []}, nested) is None
    assert verdict({"details": []}, nested) is not None
    inside = endpoint(rows=("data.list[]",))
    assert verdict({"data": {"list": []}}, inside) is None
    assert verdict({"data": []}, inside) is not None
    several = endpoint(rows=("male[]", "female[]"))
    assert verdict({"male": []}, several) is None
    assert verdict({"male": [], "female": {}}, several) is not None


@pytest.mark.parametrize(
    "document",
    [
        {"base_resp": {"ret": 2009, "err_msg": "invalid publisher"}},
        {"ret": 2009, "err_msg": "invalid publisher"},
    ],
)
def test_a_publishers_error_is_found_where_it_stands(
    document: dict[str, object],
) -> None:
    publisher = endpoint(
        family="publisher", errors=("base_resp.ret", "base_resp.err_msg")
    )
    found = verdict(document, publisher)
    assert found is not None
    assert (found.code, found.message) == ("2009", "invalid publisher")
    assert found.rule.decision is Decision.DENY_SET
    good = {"base_resp": {"ret": 0, "err_msg": "ok"}, "list": [], "total_num": 0}
    assert verdict(good, publisher) is None
    gateway = {"errcode": 40001, "errmsg": "invalid credential"}
    found = verdict(gateway, publisher)
    assert found is not None
    assert found.rule.decision is Decision.REFRESH_TOKEN


@pytest.mark.parametrize(
    ("message", "rid"),
    [
        (
            "date range error rid: 61b7f9e0-66c14e21-3f647b7e",
            "61b7f9e0-66c14e21-3f647b7e",
        ),
        ("try later hint: [p0xlKa0767r234]", "p0xlKa0767r234"),
        ("nothing of the kind", ""),
    ],
)
def test_the_request_id_is_read_from_the_message(message: str, rid: str) -> None:
    assert rid_of(message) == rid


@pytest.mark.parametrize(
    ("message", "address"),
    [
        (
            "access clientip is not registered requestIP: 203.0.113.7 rid: x",
            "203.0.113.7",
        ),
        ("invalid ip 2001:db8:0:1::5 ipv6, not in whitelist", "2001:db8:0:1::5"),
        ("invalid ip", ""),
    ],
)
def test_the_address_to_whitelist_is_named(message: str, address: str) -> None:
    assert address_of(message) == address
    told = refusal(Verdict(rule_of("61004"), "61004", message))
    assert (address or "this machine's address") in told.todo


def test_a_refusals_message_is_one_short_line() -> None:
    told = refusal(Verdict(rule_of("-1"), "-1", "busy\n\t" + "x" * 900))
    assert len(told.message) == 300
    assert told.message.startswith("WeChat is busy: busy xxx")


SECRET = 'se"cret/+token-0123456789abcdef'


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        SECRET[:12],
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_an_echoed_secret_is_masked_however_it_is_written(written: str) -> None:
    found = Verdict(
        rule_of("99999"), "99999", f"bad token {written}, sorry", rid=written
    )
    told = refusal(found, sent=(SECRET,), body=f'{{"m":"{written}"}}'.encode())
    assert told.body is not None
    for text in (repr(told), told.body.decode(), told.rid):
        assert written not in text
        assert SECRET[:12] not in text
    assert "sorry" in told.message


@given(st.text(), st.text(min_size=1).filter(lambda secret: "*" not in secret))
def test_masking_takes_every_occurrence(text: str, secret: str) -> None:
    told = masked(f"{text}{secret}{text}{secret}", [secret])
    assert secret not in told


@given(st.binary())
def test_masking_changes_nothing_else(body: bytes) -> None:
    assert masked_bytes(body, ["", "a-secret-that-is-not-in-there"]) == body


def test_a_body_is_kept_only_where_it_is_needed() -> None:
    def kept(code: str) -> bytes | None:
        return refusal(Verdict(rule_of(code), code, ""), body=b"body").body

    assert kept("99999") == kept("not_json") == b"body"
    assert kept("48001") is None


def test_a_refusal_is_a_frozen_value() -> None:
    told = refusal(Verdict(rule_of("61503"), "61503", ""))
    assert isinstance(told, Refusal)
    with pytest.raises(AttributeError):
        told.code = "0"  # type: ignore[misc]
