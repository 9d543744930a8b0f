"""Whatever is wrong in a catalogue file is named: file, endpoint, field, mend."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.catalogue import merge, records
from harvester.catalogue.load import catalogue
from harvester.errors import UsageError

OWN = (Path(__file__).parent / "data" / "own.endpoints.toml").read_text(
    encoding="utf-8"
)


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


FILE, ENDPOINT = "mine.toml: ", "mine.toml: endpoint getmine"
FAULTS = {
    "unknown key of the file": (
        "[labels]",
        "[label]",
        f"{FILE}unknown key 'label': did you mean 'labels'?",
    ),
    "a version of one's own": (
        "[defaults]",
        'version = "1"\n[defaults]',
        f"{FILE}unknown key 'version'",
    ),
    "endpoints as a table": ("[[endpoints]]", "[endpoints]", "write [[endpoints]]"),
    "defaults as a text": (
        OWN,
        "defaults = 1",
        f"{FILE}`defaults` is 1: expected a table",
    ),
    "unknown default": (
        'family = "mine"',
        'famly = "mine"',
        f"{FILE}defaults: unknown key 'famly': did you mean 'family'?",
    ),
    "a default that is each endpoint's own": (
        "[defaults]",
        '[defaults]\nid = "x"',
        "unknown key 'id'",
    ),
    "unknown key of a column": (
        '{ type = "date32" }',
        '{ typ = "date32" }',
        f"{FILE}column ref_date: unknown key 'typ': did you mean 'type'?",
    ),
    "column that is no table": (
        'ref_date = { type = "date32" }',
        'ref_date = "date32"',
        f"{FILE}column ref_date is no table",
    ),
    "unknown key of an endpoint": (
        "span = 7",
        "spam = 7",
        f"{ENDPOINT}: unknown key 'spam': did you mean 'span'?",
    ),
    "missing key": (
        "span = 7\n",
        "",
        f"{ENDPOINT}: `span` is missing: write `span = …`",
    ),
    "missing id": ('id = "getmine"\n', "", f"{FILE}endpoint number 1: `id` is missing"),
    "id with capitals": (
        '"getmine"',
        '"getMine"',
        "`id` is 'getMine': expected a-z, 0-9 and _",
    ),
    "id that climbs": ('"getmine"', '"../x"', "`id` is '../x': expected a-z"),
    "id that is a number": (
        '"getmine"',
        "7",
        "endpoint number 1: `id` is 7: expected a-z",
    ),
    "path that is an address": (
        "/datacube/{id}",
        "https://example.com",
        f"{ENDPOINT}: `path` is 'https://example.com': expected a path such as",
    ),
    "span of no day": (
        "span = 7",
        "span = 0",
        "`span` is 0: expected a whole number from 1 on",
    ),
    "span as a text": (
        "span = 7",
        'span = "7"',
        "`span` is '7': expected a whole number",
    ),
    "span as a flag": (
        "span = 7",
        "span = true",
        "`span` is True: expected a whole number",
    ),
    "safe span beyond span": (
        "span = 7",
        "span = 7\nsafe_span = 8",
        f"{ENDPOINT}: `safe_span` 8 is longer than `span` 7: expected at most 7",
    ),
    "granularity": (
        '"day"',
        '"dya"',
        "`granularity` is 'dya': expected one of hour, day, week, month, publish_day",
    ),
    "date in quotes": (
        "2024-01-01",
        '"2024-01-01"',
        "`earliest` is '2024-01-01': expected a date such as 2014-12-01, without quotes",
    ),
    "date with a time": (
        "2024-01-01",
        "2024-01-01T00:00:00",
        "expected a date such as",
    ),
    "title that says nothing": (
        "an endpoint of one's own",
        " ",
        "`en` is ' ': expected a text",
    ),
    "notes as a text": (
        "span = 7",
        'span = 7\nnotes = "x"',
        "`notes` is 'x': expected a list",
    ),
    "source without https": (
        "span = 7",
        'span = 7\nsource = "http://x"',
        "expected an address",
    ),
    "one half of errors": (
        "span = 7",
        'span = 7\nerrors = ["code"]',
        "`errors` is ['code']: expected two texts",
    ),
    "unknown successor": (
        "span = 7",
        'span = 7\nreplaced_by = ["getusersumary"]',
        f"{ENDPOINT}: `replaced_by` names no endpoint: 'getusersumary': did you mean",
    ),
    "request that is no table": (
        "span = 7",
        "span = 7\nrequest = 1",
        f"{ENDPOINT}: `request` is 1: expected a table",
    ),
    "request method": (
        "span = 7",
        'span = 7\nrequest.method = "PUT"',
        f"{ENDPOINT}, request: `method` is 'PUT': expected one of POST, GET",
    ),
    "request format": (
        "span = 7",
        'span = 7\nrequest.format = "DD"',
        "`format` is 'DD': expected one of YYYY-MM-DD, YYYYMMDD",
    ),
    "page size": (
        "span = 7",
        "span = 7\nrequest.page_size = 90",
        "`page_size` is 90: expected the parameter and the rows a page",
    ),
    "constants that are no texts": (
        "span = 7",
        "span = 7\nrequest.constant = { page = 1 }",
        "expected a text in one line",
    ),
    "whole periods, several a call": (
        "span = 7",
        "span = 7\nrequest.whole_period = true",
        "`span` is 7 beside `whole_period`: expected 1",
    ),
    "rows that are no array": (
        '["list[].details[]"]',
        '["list[].details"]',
        "expected arrays such as list[].details[]",
    ),
    "no rows": (
        '["list[].details[]"]',
        "[]",
        "`rows` is []: expected a list of at least 1",
    ),
    "rows of several arrays": (
        '["list[].details[]"]',
        '["list[].details[]", "other[].details[]"]',
        "`rows` list[].details[] and other[].details[] are not in the same array",
    ),
    "label outside the rows": (
        "span = 7",
        'span = 7\nlabel = "items[].ref_date"',
        f"{ENDPOINT}: `label` is at items[].ref_date, outside the rows",
    ),
    "ref_date that is not the label": (
        '  "ref_date",',
        '  { name = "ref_date", at = "list[].day" },',
        f"{ENDPOINT}: field ref_date is not the label",
    ),
    "no key": (
        '["ref_date", "kind"]',
        "[]",
        "`key` is []: expected a list of at least 1",
    ),
    "key that is no field": (
        '["ref_date", "kind"]',
        '["ref_date", "kinds"]',
        f"{ENDPOINT}: `key` names 'kinds', which is no field: did you mean 'kind'?",
    ),
    "key without a date": (
        '["ref_date", "kind"]',
        '["kind"]',
        "`key` is without ref_date",
    ),
    "key with a double": (
        '["ref_date", "kind"]',
        '["ref_date", "kind", "kind"]',
        "`key` names kind twice",
    ),
    "ref_date not first": (
        '  "ref_date",\n',
        "",
        "the first field is kind: expected ref_date",
    ),
    "unknown column": (
        '  "ref_date",',
        '  "ref_dat",',
        f"{ENDPOINT}: field 'ref_dat' is not in [columns]: did you mean 'ref_date'?",
    ),
    "field without a name": (
        'name = "visits", ',
        "",
        f"{ENDPOINT}, fields: `name` is missing",
    ),
    "field that is a number": (
        '  "ref_date",',
        '  "ref_date", 5,',
        "fields: expected a table",
    ),
    "unknown key of a field": (
        "additive = true",
        "aditive = true",
        f"{ENDPOINT}, field visits: unknown key 'aditive': did you mean 'additive'?",
    ),
    "flag as a text": (
        "additive = true",
        'additive = "yes"',
        f"{ENDPOINT}, field visits: `additive` is 'yes': expected true or false",
    ),
    "unknown type": (
        '"int64"',
        '"int46"',
        f"{ENDPOINT}, field visits: `type` is 'int46': expected one of int32, int64, float64",
    ),
    "double column": ('"visits"', '"kind"', f"{ENDPOINT}: field kind is there twice"),
    "column named like a path key": (
        '"date_"',
        '"date"',
        f"{ENDPOINT}: field date is a key of the lake's paths: call it date_",
    ),
    "column with a reserved name": (
        '"visits"',
        '"_extra"',
        "`name` is '_extra': expected a-z",
    ),
    "column outside the rows": (
        '"list[].date"',
        '"other[].date"',
        f"{ENDPOINT}: field date_ is at other[].date, outside the rows: expected it on the way",
    ),
    "list in the place of a list": (
        '"list[].date"',
        '"list[].."',
        "expected a place such as",
    ),
    "list without fields": (
        ', fields = [{ name = "share", type = "float64" }]',
        "",
        f"{ENDPOINT}: field parts: `fields` do not go with type list",
    ),
    "fields of a number": (
        '"parts", type = "list"',
        '"parts", type = "int64"',
        f"{ENDPOINT}: field parts: `fields` do not go with type int64",
    ),
    "list in a list": (
        '"float64"',
        '"list"',
        f"{ENDPOINT}, field parts, fields: `type` is 'list': expected one of",
    ),
    "double member": (
        '{ name = "share", type = "float64" }',
        '{ name = "share", type = "int32" }, { name = "share", type = "int32" }',
        f"{ENDPOINT}: field parts: share is there twice",
    ),
    "unknown labels": (
        'labels = "kinds"',
        'labels = "kind"',
        f"{ENDPOINT}: field kind: no labels 'kind': did you mean 'kinds'?",
    ),
    "labels of another type": (
        'labels = "kinds"',
        'labels = "scene_desc"',
        f"{ENDPOINT}: field kind: labels scene_desc do not fit int32",
    ),
    "figures that are texts": (
        '"int64", additive',
        '"string", additive',
        f"{ENDPOINT}: field visits: a string is no figure",
    ),
    "running total that adds up": (
        "additive = true",
        "additive = true, cumulative = true",
        f"{ENDPOINT}: field visits: a running total cannot be added up",
    ),
    "shipped id": (
        '"getmine"',
        '"getuserread"',
        f"{FILE}endpoint getuserread: it is there already: `replaces = true` redefines it",
    ),
    "replacement of nothing": (
        'id = "getmine"',
        'id = "getuseread"\nreplaces = true',
        "endpoint getuseread: it replaces nothing: did you mean 'getuserread'?",
    ),
    "labels that are no list": (
        'kinds = [{ value = 1, en = "first" }, { value = 2, en = "second" }]',
        "kinds = 5",
        f"{FILE}labels kinds: expected a list",
    ),
    "unknown key of a label": (
        'en = "first"',
        'eng = "first"',
        f"{FILE}labels kinds, number 1: unknown key 'eng': did you mean 'en'?",
    ),
    "label without a value": (
        "value = 1, ",
        "",
        "labels kinds, number 1: `value` is missing",
    ),
    "label that is a fraction": (
        "value = 1,",
        "value = 1.5,",
        "expected a whole number or a text",
    ),
    "label that is no table": (
        '{ value = 1, en = "first" }',
        "1",
        "number 1: expected a table",
    ),
    "double label": (
        "value = 2",
        "value = 1",
        "labels kinds, value 1: it is there twice",
    ),
    "numbers and texts": (
        "value = 2",
        'value = "2"',
        "labels kinds: numbers beside texts",
    ),
    "shipped label": (
        "kinds = [{ value = 1",
        "msg_type = [{ value = 1",
        "value 1: it is there already",
    ),
    "not TOML": (
        "span = 7",
        "span = = 7",
        f"{FILE}not TOML: Invalid value (at line 15, column 8)",
    ),
}


@pytest.mark.parametrize(("good", "bad", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_a_file_is_named_with_its_place_and_mend(
    tmp_path: Path, good: str, bad: str, message: str
) -> None:
    assert good in OWN
    with pytest.raises(UsageError) as caught:
        catalogue(write(tmp_path, OWN.replace(good, bad, 1)))
    assert message in str(caught.value)
    assert str(caught.value).startswith(FILE)
    assert "\n" not in str(caught.value)


def test_an_id_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    own = OWN[OWN.index("[[endpoints]]") :]
    with pytest.raises(UsageError, match="endpoint getmine: it is there twice"):
        catalogue(write(tmp_path, OWN + own))


def test_a_name_alone_needs_columns(tmp_path: Path) -> None:
    text = OWN.replace('[columns]\nref_date = { type = "date32" }', "")
    with pytest.raises(
        UsageError, match=r"'ref_date' is not in \[columns\]: write a table"
    ):
        catalogue(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml: No such file"):
        catalogue(tmp_path / "absent.toml")
    path = tmp_path / "mine.toml"
    path.write_bytes(b'a = "\xff"')
    with pytest.raises(UsageError, match=r"mine\.toml: byte 5 is not UTF-8"):
        catalogue(path)


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))


@given(st.data())
def test_no_value_in_any_place_gets_past_the_checks_as_a_crash(
    data: st.DataObject,
) -> None:
    """Whatever a key holds, the file is taken or refused with its place."""
    content = tomllib.loads(OWN)
    table = data.draw(
        st.sampled_from(
            [
                content,
                content["defaults"],
                content["columns"],
                content["labels"],
                content["endpoints"][0],
                content["endpoints"][0]["fields"][1],
                content["labels"]["kinds"][0],
            ]
        )
    )
    table[data.draw(st.sampled_from(sorted(table)))] = data.draw(
        st.one_of(
            scalars, st.lists(scalars, max_size=2), st.dictionaries(st.text(), scalars)
        )
    )
    try:
        records.FILE.read(content, "mine.toml")
        merge.endpoints(
            {}, merge.labels({}, content, "mine.toml"), content, "mine.toml"
        )
    except UsageError as error:
        assert str(error).startswith("mine.toml: ")  # noqa: PT017
