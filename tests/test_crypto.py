"""The cipher and the signature of pushes: every known vector, and what must not pass."""

import base64
import hashlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pushes import KEY, OLD_KEY, PLATFORM, sealed, vectors

from harvester import crypto

FILES = (
    "easywechat_decrypt_signed",
    "generated_component_pushes",
    "skit_decrypt_full_plaintext",
    "wxjava_encrypt_fixed_random",
)
CASES = [
    pytest.param({**known, **case}, id=f"{file}-{case['name']}")
    for file in FILES
    for known in (vectors(file),)
    for case in known["cases"]
]
REASONS = {
    "wrong_receiver_appid": "appid",
    "other_component_appid": "appid",
    "bad_pad_zero": "padding",
    "bad_pad_33": "padding",
    "msg_len_overflow": "layout",
    "msg_len_little_endian": "layout",
    "truncated_ciphertext": "length",
}
KEYS = (crypto.key_of(KEY), crypto.key_of(OLD_KEY))


def of(**wanted: object) -> list[Any]:
    """The cases that have these keys, and these values where one is given."""
    return [
        case
        for case in CASES
        if all(
            case.values[0].get(key) is not None
            and (value is ... or case.values[0][key] == value)
            for key, value in wanted.items()
        )
    ]


@pytest.mark.parametrize("case", of(msg_signature=...))
def test_a_signature_holds_exactly_where_it_is_genuine(case: dict[str, Any]) -> None:
    parts = (case["token"], case["timestamp"], case["nonce"], case["encrypt"])
    genuine = case["name"] != "wrong_signature"
    assert crypto.signed(case["msg_signature"], *parts) is genuine
    assert (crypto.signature(*parts) == case["msg_signature"]) is genuine


@pytest.mark.parametrize(
    "case", [c for c in of(plaintext=...) if c.values[0]["name"] not in REASONS]
)
def test_a_known_message_is_read(case: dict[str, Any]) -> None:
    keys = [
        crypto.key_of(case[name])
        for name in ("encoding_aes_key", "previous_encoding_aes_key")
        if name in case
    ]
    message = crypto.decrypted(case["encrypt"], keys, case["appid"])
    assert message == case["plaintext"].encode()


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0]["name"] in REASONS])
def test_a_message_that_is_none_is_refused_by_its_reason(case: dict[str, Any]) -> None:
    appid = case.get("appid_override", case["appid"])
    key = crypto.key_of(case["encoding_aes_key"])
    with pytest.raises(crypto.Undecryptable) as refused:
        crypto.decrypted(case["encrypt"], (key,), appid)
    assert refused.value.reason == REASONS[case["name"]]


@pytest.mark.parametrize("case", of(direction="encrypt+decrypt"))
def test_the_tests_encrypt_as_wechat_does(case: dict[str, Any]) -> None:
    made = sealed(
        case["plaintext"].encode(),
        key=case["encoding_aes_key"],
        appid=case["appid"],
        random=case["random16"].encode(),
    )
    assert made == case["encrypt"]


@pytest.mark.parametrize("case", of(layout=..., plaintext=...))
def test_the_tests_encrypt_every_published_message(case: dict[str, Any]) -> None:
    key = "encoding_aes_key"
    if case.get("encrypted_with") == "previous":
        key = "previous_encoding_aes_key"
    made = sealed(
        case["plaintext"].encode(),
        key=case[key],
        appid=case["layout"]["trailing_id"],
        random=bytes.fromhex(case["layout"]["random16_hex"]),
    )
    assert made == case["encrypt"]


def test_only_the_previous_key_opens_what_it_closed() -> None:
    (case,) = of(name="previous_key")
    encrypted = case.values[0]["encrypt"]
    assert crypto.decrypted(encrypted, KEYS, PLATFORM)
    assert crypto.decrypted(encrypted, KEYS[::-1], PLATFORM)
    with pytest.raises(crypto.Undecryptable):
        crypto.decrypted(encrypted, KEYS[:1], PLATFORM)


def test_sorted_parts_have_the_published_digest() -> None:
    for known in vectors("key_decoding_and_signature_misc")["sorted_sha1"]:
        assert crypto.signature(*reversed(known["parts"])) == known["sha1"]


@pytest.mark.parametrize("known", vectors("key_decoding_and_signature_misc")["keys"])
def test_a_key_with_spare_bits_is_read(known: dict[str, str]) -> None:
    assert crypto.key_of(known["encoding_aes_key"]).hex() == known["aes_key_hex"]


def test_a_key_pasted_with_its_padding_is_read() -> None:
    assert crypto.key_of(f"{KEY}=") == crypto.key_of(KEY)


@pytest.mark.parametrize(
    "key", ["", KEY[:-1], f"{KEY}A", f"{KEY[:-1]}\n", f"{KEY}\n", f"{KEY[:-1]}é"]
)
def test_a_key_that_is_none_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(crypto.Undecryptable) as refused:
        crypto.key_of(key)
    assert str(refused.value) == "key"


@pytest.mark.parametrize("text", ["", "ab", "====", "not base64!", "é", "YWJj\nYWJj"])
def test_what_is_no_ciphertext_is_refused(text: str) -> None:
    with pytest.raises(crypto.Undecryptable):
        crypto.decrypted(text, KEYS, PLATFORM)


def test_without_a_key_nothing_is_decrypted() -> None:
    with pytest.raises(crypto.Undecryptable) as refused:
        crypto.decrypted(sealed(b"message"), (), PLATFORM)
    assert refused.value.reason == "key"


def test_of_several_keys_the_one_that_came_furthest_gives_the_reason() -> None:
    encrypted = sealed(b"message", key=OLD_KEY, appid="wx00000000000000ff")
    with pytest.raises(crypto.Undecryptable) as refused:
        crypto.decrypted(encrypted, KEYS, PLATFORM)
    assert refused.value.reason == "appid"


@given(
    message=st.binary(max_size=300),
    random=st.binary(min_size=16, max_size=16),
    key=st.sampled_from([KEY, OLD_KEY]),
)
def test_every_message_comes_out_as_it_went_in(
    message: bytes, random: bytes, key: str
) -> None:
    encrypted = sealed(message, key=key, random=random)
    assert crypto.decrypted(encrypted, KEYS, PLATFORM) == message


@given(blocks=st.binary(max_size=400))
def test_no_bytes_lead_to_anything_but_a_message_or_a_reason(blocks: bytes) -> None:
    encrypted = base64.b64encode(blocks).decode()
    with suppress(crypto.Undecryptable):
        crypto.decrypted(encrypted, KEYS, PLATFORM)


@given(st.text())
def test_no_text_leads_to_anything_but_a_reason(text: str) -> None:
    with pytest.raises(crypto.Undecryptable):
        crypto.decrypted(text, KEYS, PLATFORM)


@given(parts=st.lists(st.text(alphabet=st.characters()), max_size=5), other=st.text())
def test_a_signature_is_one_of_all_parts_in_any_order(
    parts: list[str], other: str
) -> None:
    found = crypto.signature(*parts)
    assert crypto.signed(found, *reversed(parts))
    assert crypto.signed(other, *parts) == (other == found)
    assert len(found) == hashlib.sha1().digest_size * 2
    assert found == found.lower()
