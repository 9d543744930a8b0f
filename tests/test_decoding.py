"""Bytes become a document with nothing lost, or a reason."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.decoding import Unreadable, decode, every_key_kept, exact

BOTH = pytest.mark.parametrize("read", [decode, exact])


@BOTH
def test_an_object_is_read(read: Any) -> None:
    assert read('{"list": [{"title": "数据"}]}'.encode()) == {
        "list": [{"title": "数据"}]
    }


@BOTH
def test_a_byte_order_mark_is_taken_off(read: Any) -> None:
    assert read(b'\xef\xbb\xbf{"list":[]}') == {"list": []}


@BOTH
def test_raw_control_characters_in_a_text_are_kept(read: Any) -> None:
    assert read(b'{"title":"one\ntwo\tthree\x01"}') == {"title": "one\ntwo\tthree\x01"}


@BOTH
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"<html></html>", "not JSON"),
        (b'{"list":[]', "not JSON"),
        (b'{"list":[]} {}', "not JSON"),
        (b"[]", "not a JSON object but list"),
        (b"null", "not a JSON object but NoneType"),
        (b'"x"', "not a JSON object but str"),
        (b'{"a":NaN}', "NaN is not a JSON number"),
        (b'{"a":-Infinity}', "-Infinity is not a JSON number"),
        (b'{"a":1e400}', "the number 1e400 is too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "not JSON: Exceeds the limit"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8 at byte 0"),
        (b'{"a":"\\ud800"}', "half of a surrogate pair"),
        (b'{"a":["\\uDC00"]}', "half of a surrogate pair"),
        (b'{"a":' + b"[" * 1100 + b"]" * 1100 + b"}", "nested too deeply"),
        (b'{"a":' * 1100 + b"1" + b"}" * 1100, "nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_refused_with_a_reason(
    read: Any, body: bytes, reason: str
) -> None:
    with pytest.raises(Unreadable) as caught:
        read(body)
    assert caught.value.reason.startswith(reason)
    assert str(caught.value) == caught.value.reason


@BOTH
def test_a_whole_surrogate_pair_is_one_character(read: Any) -> None:
    assert read(b'{"a":"\\ud83d\\ude00"}') == {"a": "😀"}


def test_exact_reading_keeps_numbers_as_written() -> None:
    body = b'{"a":18446744073709551616,"b":-9223372036854775809,"c":0.5}'
    assert exact(body) == {"a": 2**64, "b": -(2**63) - 1, "c": 0.5}


def test_exact_reading_refuses_a_key_that_stands_twice() -> None:
    with pytest.raises(Unreadable, match="the key 'new_user' stands twice"):
        exact(b'{"list":[{"new_user":1,"cancel_user":2,"new_user":3}]}')


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"list":[{"a":1},{"a":1 , "a" : 2}]}',
        b'{"list":[{"t":"x:y","a":1,"a":2}]}',
        b'{"list":[{"t":"\\u003a","a":1,"a":2}]}',
        b'{"list":[{"t":"\\u003A","a":1,"a":2}]}',
        b'{"list":[{"a":[[{"b":1,"b":2}]]}]}',
        b'{"a:b":1,"c":2,"c":3}',
    ],
)
def test_a_lost_key_is_noticed(body: bytes) -> None:
    assert not every_key_kept(orjson.loads(body), body)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"list":[]}',
        b'{ "list" : [ { "a" : 1 }, { "a" : 2 } ] }',
        b'{"list":[{"t":"http://x:80/","a":[{"b":1}]},"x:y",["z:z"]]}',
        b'{"list":[{"t":"\\"quoted\\"","a":null}]}',
    ],
)
def test_an_object_with_different_keys_is_whole(body: bytes) -> None:
    assert every_key_kept(orjson.loads(body), body)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    [":", '":', "a:b", "\\u003a", "é:"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=12,
)


def written(value: Any, twice: int, ascii_only: bool) -> tuple[str, int]:
    """JSON in which the `twice`th object, if there is one, has its first key again."""
    if isinstance(value, list):
        parts = []
        for one in value:
            text, twice = written(one, twice, ascii_only)
            parts.append(text)
        return f"[{','.join(parts)}]", twice
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=ascii_only), twice
    members = []
    for name, one in value.items():
        text, twice = written(one, twice, ascii_only)
        members.append(f"{json.dumps(name, ensure_ascii=ascii_only)} : {text}")
    if members:
        twice -= 1
        members += members[:1] if twice == 0 else []
    return f"{{{','.join(members)}}}", twice


@given(st.dictionaries(TEXTS, VALUES, max_size=3), st.integers(0, 3), st.booleans())
def test_no_lost_key_is_ever_overlooked(
    document: dict[str, Any], twice: int, ascii_only: bool
) -> None:
    text, left = written(document, twice, ascii_only)
    body = text.encode()
    repeated = twice > 0 and left <= 0
    if repeated:
        assert not every_key_kept(decode(body), body)
        with pytest.raises(Unreadable):
            exact(body)
    else:
        assert decode(body) == exact(body) == document
