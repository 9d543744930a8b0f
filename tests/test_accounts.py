"""Accounts from files, and the selection of some."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester import dates
from harvester.accounts import Account, select
from harvester.config import settings
from harvester.config.accounts_file import load_accounts_file
from harvester.config.fields import Source
from harvester.errors import UsageError

A = "wx000000000000000a"
B = "wx000000000000000b"
C = "wx000000000000000c"

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def run(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return run


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as refused:
        load_accounts_file(path)
    return str(refused.value)


def revealed(account: Account) -> str:
    assert account.secret is not None
    return account.secret.reveal()


# --- csv


def test_a_csv_file_may_give_every_key(write: Write) -> None:
    path = write(
        "a.csv",
        "appid,name,secret,refresh_token,token_url,endpoints,since,calls_per_second\n"
        f"{A},品牌,0123,,,user; getuserread*,2024-01-02,2.5\n"
        f"{B},,,refresh,,,,\n"
        f"{C},c,,,http://tokens/c,,,\n",
    )
    first, second, third = load_accounts_file(path)
    assert (first.appid, first.name, revealed(first)) == (A, "品牌", "0123")
    assert first.endpoints == ("user", "getuserread*")
    assert first.since == dates.parse("2024-01-02")
    assert first.calls_per_second == 2.5
    assert second.credential == "refresh_token"
    assert (second.name, second.endpoints, second.since) == ("", (), None)
    assert (third.credential, third.token_url) == ("token_url", "http://tokens/c")


def test_a_csv_file_from_a_spreadsheet_is_read(write: Write) -> None:
    text = f'appid,name\r\n\r\n{A},"a, b"\r\n,\r\n  ,  \r\n{B}\r\n'
    accounts = load_accounts_file(write("a.csv", b"\xef\xbb\xbf" + text.encode()))
    assert [(one.appid, one.name) for one in accounts] == [(A, "a, b"), (B, "")]


def test_columns_may_stand_in_any_order(write: Write) -> None:
    assert load_accounts_file(write("a.csv", f"name,appid\nn,{A}\n"))[0].appid == A


def test_a_cell_may_name_the_place_of_a_secret(write: Write, tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("from the file")
    path = write(
        "a.csv",
        f'appid,secret\n{A},"{{ env = ""S"" }}"\n{B},"{{ file = ""s.txt"" }}"\n',
    )
    source = Source(tmp_path, {"S": "from the environment"})
    found = load_accounts_file(path, source)
    assert [revealed(one) for one in found] == ["from the environment", "from the file"]
    assert not source.plain


APPIDS = "expected wx and 16 characters of 0-9 and a-f"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("appid\nwx1\n", f"a.csv:2: appid: {APPIDS}, got 'wx1'"),
        ("name\nx\n", "a.csv:1: no column appid: the columns may be appid, name,"),
        ("", "a.csv:1: no column appid"),
        ("appid,secert\n", "a.csv:1: unknown column 'secert': the columns may be appid, name,"),
        ("appid,appid\n", "a.csv:1: a column stands twice"),
        (f"appid\n\n{A},x\n", "a.csv:3: 2 cells, but the header has 1 columns"),
        ("appid,name\n,x\n", "a.csv:2: appid: missing"),
        (f"appid,since\n{A},2024/1/2\n", "a.csv:2: since: expected a date such as 2024-12-07"),
        (f"appid,since\n{A},2014-01-02\n", "a.csv:2: since: expected a date from 2014-12-01 on"),
        (f"appid,calls_per_second\n{A},fast\n", "a.csv:2: calls_per_second: expected a number"),
        (
            f"appid,calls_per_second\n{A},0\n",
            "a.csv:2: calls_per_second: expected a number greater than 0, got 0",
        ),
        (f"appid,token_url\n{A},tokens\n", "a.csv:2: token_url: expected an address"),
        (
            f"appid,secret,refresh_token\n{A},x,y\n",
            "a.csv:2: secret and refresh_token exclude each other: keep one",
        ),
        (
            f"appid\n{A}\n{B}\n{A}\n",
            f"a.csv:4: appid {A} stands at a.csv:2 already: keep one",
        ),
        (f'appid\n"{A}\n', "a.csv:2: not csv: unexpected end of data"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_csv_file_is_said_with_its_line(
    write: Write, text: str, said: str
) -> None:
    assert refusal(write("a.csv", text)).startswith(said)


def test_all_wrong_lines_are_said_at_once_and_a_flood_is_cut(write: Write) -> None:
    few = refusal(write("a.csv", "appid\nwx1\nwx2\n")).splitlines()
    assert [line.partition(": ")[0] for line in few] == ["a.csv:2", "a.csv:3"]
    many = refusal(write("b.csv", "appid\n" + "wx1\n" * 100_000))
    assert len(many.splitlines()) == 20


def test_no_refusal_of_a_row_repeats_its_secret(write: Write) -> None:
    assert "h4sh" not in refusal(write("a.csv", "appid,secret\nwx1,h4sh-h4sh\n"))


def test_another_encoding_is_refused_with_the_mend(write: Write) -> None:
    said = refusal(write("a.csv", f"appid,name\n{A},品牌\n".encode("gbk")))
    assert said.endswith("a.csv: not UTF-8 text: save it as UTF-8")


def test_a_file_that_is_not_there_or_of_another_kind_is_named(tmp_path: Path) -> None:
    assert "cannot read the accounts: No such file" in refusal(tmp_path / "no.csv")
    assert "expected a file that ends in .csv, .jsonl, .parquet" in refusal(
        tmp_path / "a.xlsx"
    )


# --- jsonl and parquet


def test_a_jsonl_file_is_read(write: Write, tmp_path: Path) -> None:
    rows = [
        {
            "appid": A,
            "secret": {"env": "S"},
            "endpoints": ["user"],
            "calls_per_second": 3,
        },
        {"appid": B, "name": None, "endpoints": "user;article", "since": "2024-01-02"},
    ]
    path = write("a.jsonl", b"\n\n".join(map(orjson.dumps, rows)))
    first, second = load_accounts_file(path, Source(tmp_path, {"S": "s"}))
    assert (revealed(first), first.endpoints, first.calls_per_second) == (
        "s",
        ("user",),
        3,
    )
    assert (second.name, second.endpoints) == ("", ("user", "article"))
    assert second.since == dates.parse("2024-01-02")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "a.jsonl:2: not JSON"),
        ("[]", "a.jsonl:2: expected one JSON object a line"),
        ('{"appid": 5}', f"a.jsonl:2: appid: {APPIDS}"),
        (
            f'{{"appid": "{B}", "secert": 1}}',
            "a.jsonl:2: secert: unknown key; did you mean",
        ),
        (f'{{"appid": "{A}"}}', f"a.jsonl:2: appid {A} stands at a.jsonl:1 already"),
    ],
)
def test_what_is_wrong_in_a_jsonl_file_is_said_with_its_line(
    write: Write, line: str, said: str
) -> None:
    assert refusal(write("a.jsonl", f'{{"appid": "{A}"}}\n{line}\n')).startswith(said)


def test_a_parquet_file_is_read(tmp_path: Path) -> None:
    day = dates.date.fromordinal(dates.parse("2024-01-02"))
    rows = [
        {"appid": A, "name": "a", "endpoints": ["user"], "since": day, "secret": "s"},
        {"appid": B, "name": None, "endpoints": None, "since": None, "secret": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    first, second = load_accounts_file(tmp_path / "a.parquet")
    assert (first.endpoints, first.since) == (("user",), dates.parse("2024-01-02"))
    assert (second.appid, second.name, second.secret) == (B, "", None)


def test_what_is_wrong_in_a_parquet_file_is_said_with_its_row(
    tmp_path: Path, write: Write
) -> None:
    pq.write_table(pa.table({"appid": [A, "wx1"]}), tmp_path / "a.parquet")
    assert refusal(tmp_path / "a.parquet").startswith(f"a.parquet:2: appid: {APPIDS}")
    assert "b.parquet: not a Parquet file" in refusal(write("b.parquet", "appid"))


# --- together with the configuration


def loaded(tmp_path: Path, text: str) -> settings.Loaded:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    return settings.load(path, {})


def test_the_accounts_of_both_files_are_harvested(tmp_path: Path, write: Write) -> None:
    write("a.csv", f"appid,secret\n{B},b\n")
    text = f'accounts_file = "a.csv"\n[[accounts]]\nappid = "{A}"\nsecret = "a"\n'
    assert [one.appid for one in loaded(tmp_path, text).accounts] == [A, B]


def test_an_appid_in_both_files_is_refused_with_both_places(
    tmp_path: Path, write: Write
) -> None:
    write("a.csv", f"appid,secret\n{B},b\n{A},b\n")
    text = f'accounts_file = "a.csv"\n[[accounts]]\nappid = "{A}"\nsecret = "a"\n'
    with pytest.raises(UsageError) as refused:
        loaded(tmp_path, text)
    assert str(refused.value) == (
        f"a.csv:3: appid {A} stands at accounts.toml:2: accounts[0] already: keep one"
    )


def test_a_row_that_cannot_work_is_named_by_its_line(
    tmp_path: Path, write: Write
) -> None:
    write("a.csv", f"appid,refresh_token,endpoints\n{A},r,\n{B},,usr\n")
    with pytest.raises(UsageError) as refused:
        loaded(tmp_path, 'accounts_file = "a.csv"')
    assert [line.partition(": ")[0] for line in str(refused.value).splitlines()] == [
        "a.csv:2",
        "a.csv:3",
        "a.csv:3",
    ]


# --- selection

NAMED = [
    Account(appid=A, name="brand-a"),
    Account(appid=B, name="Brand-b"),
    Account(appid=C, name=B),
]


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ([], [A, B, C]),
        ([A], [A]),
        (["brand-*"], [A]),
        (["?rand-*"], [A, B]),
        (["[bB]rand-*"], [A, B]),
        ([B], [B, C]),
        (["*b", "brand-a"], [A, B, C]),
        ([B, A], [A, B, C]),
    ],
)
def test_a_glob_matches_appids_and_names(
    patterns: list[str], chosen: list[str]
) -> None:
    assert [one.appid for one in select(NAMED, patterns)] == chosen


@pytest.mark.parametrize("pattern", ["BRAND-a", "brand", "", "wx*0", A.upper()])
def test_a_glob_that_matches_none_is_an_error(pattern: str) -> None:
    with pytest.raises(UsageError, match="matches none of 3 accounts") as refused:
        select(NAMED, [A, pattern])
    assert refused.value.exit_code == 2


@given(st.lists(st.sampled_from([A, B, C]), min_size=1))
def test_a_selection_keeps_the_order_and_holds_each_account_once(
    patterns: list[str],
) -> None:
    chosen = [one.appid for one in select(NAMED[:2] + NAMED[2:], patterns)]
    assert chosen == [one for one in (A, B, C) if one in chosen]
    assert set(patterns) <= set(chosen)
