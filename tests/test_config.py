"""`accounts.toml`: what is taken, and what is said of what is not."""

import os
import tomllib
from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from harvester import dates
from harvester.config import keys, lines, settings
from harvester.config.models import Config
from harvester.config.origins import flat
from harvester.errors import AuthorisationError, UsageError

APPID = "wx0123456789abcdef"
OTHER = "wxfedcba9876543210"
HUSH = "h4sh-h4sh"

Load = Callable[..., settings.Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a configuration and loads it."""

    def run(text: str, environ: Mapping[str, str] | None = None) -> settings.Loaded:
        path = tmp_path / "accounts.toml"
        path.write_text(text, "utf-8")
        path.chmod(0o600)
        return settings.load(path, environ or {})

    return run


def refusal(load: Load, text: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(UsageError) as refused:
        load(text, environ)
    assert refused.value.exit_code == 2
    return str(refused.value)


def account(body: str = 'secret = "s-e-c-r-e-t"', appid: str = APPID) -> str:
    return f'[[accounts]]\nappid = "{appid}"\n{body}\n'


# --- defaults and frozen results


def test_an_empty_file_holds_every_default(load: Load, tmp_path: Path) -> None:
    config = load("").config
    assert config.api.url == "https://api.weixin.qq.com"
    assert config.api.fallback_urls == ("https://api2.weixin.qq.com",)
    assert config.api.timeout_seconds == 20
    assert config.platform is None
    assert config.vault.url == f"sqlite:///{tmp_path}/vault.db"
    assert config.lake.path == str(tmp_path / "lake")
    assert (config.lake.buckets, config.lake.date) == (0, "day")
    assert (config.lake.compression, config.lake.memory_mb) == ("auto", 64)
    assert (config.lake.raw, config.lake.raw_keep_days) == (False, None)
    assert config.harvest.endpoints == ("official_account",)
    assert config.harvest.since == dates.parse("2014-12-01")
    assert config.harvest.until == "yesterday"
    assert config.harvest.ready_at == time(8)
    assert config.harvest.recheck_empty_days == 3
    assert config.harvest.refresh_days == (1, 2, 3, 7, 14, 30)
    assert config.harvest.wide_windows is False
    assert config.harvest.order == "newest-first"
    assert config.limits.calls_per_second == 10
    assert (config.limits.in_flight, config.limits.total_in_flight) == (4, 256)
    assert (config.limits.daily_calls, config.limits.daily_calls_unknown) == (
        "ask",
        800,
    )
    assert (config.limits.quota_reserve, config.limits.confirm_calls) == (0.2, 100_000)


def test_the_result_cannot_be_changed(load: Load) -> None:
    config = load("").config
    with pytest.raises(ValidationError, match="frozen"):
        config.limits.in_flight = 9  # type: ignore[misc]


def test_relative_paths_start_at_the_folder_of_the_file(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "more.csv").write_text("appid\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load(
        'accounts_file = "more.csv"\n[lake]\npath = "../out"\n[vault]\nurl = "sqlite:///v.db"'
    ).config
    assert config.accounts_file == tmp_path / "more.csv"
    assert config.lake.path == str(tmp_path / "../out")
    assert config.vault.url == f"sqlite:///{tmp_path}/v.db"


def test_absolute_paths_stay_as_they_are(load: Load) -> None:
    config = load(
        '[lake]\npath = "/srv/lake"\n[vault]\nurl = "sqlite:////srv/v.db"'
    ).config
    assert config.lake.path == "/srv/lake"
    assert config.vault.url == "sqlite:////srv/v.db"


def test_dates_may_be_written_as_dates_or_as_text(load: Load) -> None:
    config = load('[harvest]\nsince = 2024-01-01\nuntil = "2024-02-01"').config
    assert config.harvest.since == dates.parse("2024-01-01")
    assert config.harvest.until == dates.parse("2024-02-01")


def test_a_time_may_be_written_as_a_time(load: Load) -> None:
    assert load("[harvest]\nready_at = 09:30:00").config.harvest.ready_at == time(9, 30)


# --- what is refused: the place, and what was expected

DATE = "expected a date such as 2024-12-07"
SECRET = 'expected a string, { env = "NAME" } or { file = "path" }'
URL = "expected an address such as https://example.com (http or https)"
CREDENTIALS = "expected an address without user name and password in it"
AGES = "expected ages in days from 1 to 366, ascending, such as [1, 2, 3, 7]"
APPIDS = "expected wx and 16 characters of 0-9 and a-f"

WRONG = [
    ("[limit]", "1: limit: unknown key; did you mean limits?"),
    ("[limits]\nin_fligth = 3", "2: limits.in_fligth: unknown key; did you mean limits.in_flight?"),
    ("[lake]\nsince = 2024-01-01", "2: lake.since: unknown key; did you mean harvest.since?"),
    ("colour = 3", "1: colour: unknown key"),
    ("limits = 3", "1: limits: expected a table, got 3"),
    ("accounts = 3", "1: accounts: expected a list, got 3"),
    ("[limits]\n\ncalls_per_second = 0", "3: limits.calls_per_second: expected a number greater than 0, got 0"),
    ("[limits]\ncalls_per_second = -1", "2: limits.calls_per_second: expected a number greater than 0, got -1"),
    ("[limits]\ncalls_per_second = nan", "2: limits.calls_per_second: expected a number, got nan"),
    ("[limits]\ncalls_per_second = true", "2: limits.calls_per_second: expected a number, got True"),
    ('[limits]\ncalls_per_second = "5"', "2: limits.calls_per_second: expected a number"),
    ("[limits]\nin_flight = 0", "2: limits.in_flight: expected a number greater than or equal to 1, got 0"),
    ("[limits]\nin_flight = 1.5", "2: limits.in_flight: expected a whole number, got 1.5"),
    ("[limits]\nquota_reserve = 1", "2: limits.quota_reserve: expected a number less than 1, got 1"),
    ("[limits]\ndaily_calls = 0", '2: limits.daily_calls: expected "ask" or a whole number from 1'),
    ('[limits]\ndaily_calls = "all"', '2: limits.daily_calls: expected "ask" or a whole number from 1'),
    ("[limits]\ndaily_calls = true", '2: limits.daily_calls: expected "ask" or a whole number from 1'),
    ("[harvest]\nsince = 2014-11-30", "2: harvest.since: expected a date from 2014-12-01 on, got 2014-11-30"),
    ("[harvest]\nsince = 20240101", f"2: harvest.since: {DATE}"),
    ('[harvest]\nsince = "2024-02-30"', f"2: harvest.since: {DATE}"),
    ("[harvest]\nsince = 2024-01-01T00:00:00", f"2: harvest.since: {DATE}"),
    ('[harvest]\nuntil = "today"', f'2: harvest.until: {DATE}, or "yesterday"'),
    ("[harvest]\nsince = 2024-02-01\nuntil = 2024-01-01", "1: harvest: since (2024-02-01) is after until (2024-01-01)"),
    ('[harvest]\nready_at = "8"', '2: harvest.ready_at: expected "HH:MM", 00:00 to 23:59, got \'8\''),
    ('[harvest]\nready_at = "24:00"', '2: harvest.ready_at: expected "HH:MM", 00:00 to 23:59, got \'24:00\''),
    ("[harvest]\nrefresh_days = [2, 1]", f"2: harvest.refresh_days: {AGES}, got [2, 1]"),
    ("[harvest]\nrefresh_days = [0]", f"2: harvest.refresh_days: {AGES}"),
    ('[harvest]\nrefresh_days = ["1"]', f"2: harvest.refresh_days: {AGES}"),
    ("[harvest]\nrefresh_days = 3", f"2: harvest.refresh_days: {AGES}"),
    ("[harvest]\nrecheck_empty_days = -1", "2: harvest.recheck_empty_days: expected a number greater than or equal to 0, got -1"),
    ("[harvest]\nendpoints = []", "2: harvest.endpoints: expected at least one"),
    ('[harvest]\nendpoints = "user"', "2: harvest.endpoints: expected a list"),
    ("[harvest]\nendpoints = [1]", "2: harvest.endpoints[0]: expected text in quotes, got 1"),
    ('[harvest]\norder = "oldest"', "2: harvest.order: expected 'newest-first' or 'oldest-first'"),
    ("[lake]\nbuckets = -1", "2: lake.buckets: expected a number greater than or equal to 0, got -1"),
    ("[lake]\nbuckets = 100000", "2: lake.buckets: expected a number less than or equal to 99999, got 100000"),
    ('[lake]\ndate = "week"', "2: lake.date: expected 'day' or 'month'"),
    ("[lake]\nraw = 1", "2: lake.raw: expected true or false, got 1"),
    ('[lake]\npath = " "', "2: lake.path: expected a file's path"),
    ('[lake]\npath = "s3://b/p"', "2: lake.path: expected a local directory: this build keeps its lake on a disk"),
    ('[vault]\nurl = "redis://"', "2: vault.url: expected redis://HOST, with port and number of its database"),
    ('[vault]\nurl = "vault.db"', "2: vault.url: expected sqlite:///FILE or redis://HOST"),
    ('[api]\nurl = "ftp://h"', f"2: api.url: {URL}"),
    ('[api]\nurl = "https://"', f"2: api.url: {URL}"),
    ('[api]\nurl = "http://h:port"', f"2: api.url: {URL}"),
    ('[api]\nurl = "https://u:p@h"', f"2: api.url: {CREDENTIALS}"),
    ('[api]\nfallback_urls = ["x"]', f"2: api.fallback_urls[0]: {URL}"),
    ("[api]\ntimeout_seconds = 0", "2: api.timeout_seconds: expected a number greater than 0, got 0"),
    ("accounts_file = 3", "1: accounts_file: expected a file's path"),
    ("[vault]\nkey = 123456", f"2: vault.key: {SECRET}"),
    ('[vault]\nkey = ""', "2: vault.key: the string is empty or not set: expected a secret there"),
    ('[vault]\nkey = { evn = "A" }', f"2: vault.key: {SECRET}"),
    ('[vault]\nkey = { env = "A", file = "b" }', f"2: vault.key: {SECRET}"),
    ('[vault]\nkey = { env = "NOPE" }', "2: vault.key: environment variable NOPE is empty or not set: expected a secret there"),
    (account(appid="../x"), f"2: accounts[0].appid: {APPIDS}, got '../x'"),
    (account(appid=APPID.upper()), f"2: accounts[0].appid: {APPIDS}, got '{APPID.upper()}'"),
    (account(appid=APPID + "0"), f"2: accounts[0].appid: {APPIDS}, got '{APPID}0'"),
    ("[[accounts]]\nappid = 5", f"2: accounts[0].appid: {APPIDS}"),
    ('[[accounts]]\nsecret = "s"', "1: accounts[0].appid: missing"),
    (account() + account("secert = 1", OTHER), "6: accounts[1].secert: unknown key; did you mean accounts[1].secret?"),
    (account('secret = "a"\ntoken_url = "http://h"'), "1: accounts[0]: secret and token_url exclude each other: keep one"),
    (account() + account(), f"4: accounts[1]: appid {APPID} stands at accounts.toml:1: accounts[0] already: keep one"),
    (account(""), "1: accounts[0]: no way to a token: give it secret or token_url, or fill in [platform]"),
    (account('refresh_token = "r"'), "1: accounts[0]: refresh_token needs [platform] with a secret: it was authorised to one"),
    ("[harvest]\nuntil = 2024-01-01\n" + account('secret = "a"\nsince = 2024-02-01'), "3: accounts[0]: since (2024-02-01) is after harvest.until (2024-01-01)"),
    ('[harvest]\nendpoints = ["getuserred"]', "2: harvest.endpoints: no endpoint matches 'getuserred': did you mean 'getuserread'?"),
    (account('secret = "a"\nendpoints = ["usr"]'), "1: accounts[0]: no endpoint matches 'usr': did you mean 'user'?"),
    (f'[platform]\nappid = "{APPID}"', "1: platform: expected secret (harvester owns the tokens) or token_url (another system does)"),
    ('[platform]\nsecret = "s"', "1: platform: appid is missing: secret belongs to one"),
    ('[platform]\nsecret = "s"\ntoken_url = "http://h/{appid}"', "1: platform: token_url excludes secret and ticket: only one system may own the tokens"),
    ('[platform]\nticket = "s"\ntoken_url = "http://h/{appid}"', "1: platform: token_url excludes secret and ticket: only one system may own the tokens"),
    ('[platform]\ntoken_url = "http://h/"', "2: platform.token_url: expected {appid} in the address, where the account's appid goes"),
    ('[platform]\ntoken_url = "http://h/{appid}"\n' + account('refresh_token = "r"'), "3: accounts[0]: refresh_token needs [platform] with a secret: it was authorised to one"),
    ('[platform]\ntoken_url = "http://h/{appid}"\ntoken_headers = { A = 1 }', f"3: platform.token_headers.A: {SECRET}"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_is_wrong_is_said_with_line_place_and_expectation(
    load: Load, text: str, said: str
) -> None:
    assert refusal(load, text) == f"accounts.toml:{said}"


def test_all_that_is_wrong_is_said_at_once(load: Load) -> None:
    said = refusal(load, "[lake]\nraw = 1\n[limits]\nin_flight = 0\ncolour = 1")
    assert [line.split(": ")[1] for line in said.splitlines()] == [
        "lake.raw",
        "limits.in_flight",
        "limits.colour",
    ]


def test_a_flood_of_complaints_is_cut(load: Load) -> None:
    said = refusal(load, "\n".join(f"key{number} = 1" for number in range(50)))
    assert len(said.splitlines()) == 21
    assert said.endswith("… and 30 more")


def test_bad_toml_is_named_with_its_line(load: Load) -> None:
    said = refusal(load, "[limits]\nin_flight = = 3\n")
    assert said.startswith("accounts.toml: not valid TOML: ")
    assert "line 2" in said


def test_a_key_given_twice_is_named_with_its_line(load: Load) -> None:
    assert "line 2" in refusal(load, "colour = 1\ncolour = 2\n")


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.toml: no such file: `harvester init`"):
        settings.load(tmp_path / "no.toml", {})


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        settings.load(tmp_path, {})


def test_other_encodings_are_refused_and_a_byte_order_mark_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text("# 中文", "gbk")
    with pytest.raises(UsageError, match="not UTF-8 text: save it as UTF-8"):
        settings.load(path, {})
    path.write_bytes(b"\xef\xbb\xbf[limits]\r\nin_flight = 2\r\n")
    assert settings.load(path, {}).config.limits.in_flight == 2


def test_a_broken_file_of_own_endpoints_is_named(load: Load) -> None:
    assert "mine.toml" in refusal(load, 'endpoints_file = "mine.toml"')


# --- secrets


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text(f"  {HUSH}\n")
    return path


@pytest.mark.parametrize(
    "written", [f'"{HUSH}"', '{ env = "HUSH" }', '{ file = "secret.txt" }']
)
def test_a_secret_is_text_or_a_variable_or_a_file(
    load: Load, secret_file: Path, written: str
) -> None:
    loaded = load(account(f"secret = {written}"), {"HUSH": HUSH})
    assert loaded.accounts[0].secret is not None
    assert loaded.accounts[0].secret.reveal() == HUSH
    assert [one.reveal() for one in loaded.secrets] == [HUSH]


def test_a_secret_is_in_no_repr_and_no_shown_value(load: Load) -> None:
    loaded = load(
        f'[platform]\nappid = "{OTHER}"\nsecret = "{HUSH}"\nticket = "{HUSH}"\n'
        f'token_headers = {{ A = "{HUSH}" }}\n' + account(f'refresh_token = "{HUSH}"')
    )
    assert HUSH not in repr(loaded)
    assert HUSH not in str(loaded.config)
    shown = {one.key: one.shown for one in loaded.values}
    assert shown["platform.secret"] == "***"
    assert shown["platform.ticket"] == "***"
    assert shown["platform.token_headers.A"] == "***"
    assert shown["accounts[0].refresh_token"] == "***"


@pytest.mark.parametrize(
    "text",
    [
        account(f'secert = "{HUSH}"'),
        account(f'secret = "{HUSH}"\nrefresh_token = "{HUSH}"'),
        account(f'secret = {{ env = "A", value = "{HUSH}" }}'),
        account(f'secret = ["{HUSH}"]'),
        account(f'secret = "{HUSH}\\n"'),
        f'[api]\nurl = "https://user:{HUSH}@h"',
        f'[api]\nurl = "http://user:{HUSH}@[h"',
        f'[vault]\nurl = "redis://:{HUSH}@[h"',
        f'[lake]\ndate = "{HUSH}"',
        f'lake = "{HUSH}"',
    ],
)
def test_no_refusal_repeats_a_secret(load: Load, text: str) -> None:
    assert HUSH not in refusal(load, text)


def test_no_error_of_the_models_repeats_a_value() -> None:
    with pytest.raises(ValidationError) as refused:
        Config.model_validate({"vault": {"key": {"env": HUSH}, "colour": HUSH}})
    assert "input_value" not in str(refused.value)


def test_an_unreadable_or_empty_secret_file_is_named(
    load: Load, tmp_path: Path
) -> None:
    said = refusal(load, '[vault]\nkey = { file = "none" }')
    assert said.startswith(
        f"accounts.toml:2: vault.key: cannot read {tmp_path}/none (No such"
    )
    (tmp_path / "blank").write_text(" \n")
    said = refusal(load, '[vault]\nkey = { file = "blank" }')
    assert said.startswith(
        f"accounts.toml:2: vault.key: file {tmp_path}/blank is empty"
    )
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in refusal(load, '[vault]\nkey = { file = "bytes" }')


def test_the_ticket_is_read_anew_each_time(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "ticket.txt"
    file.write_text("first")
    platform = load(
        f'[platform]\nappid = "{OTHER}"\nsecret = "s"\nticket = {{ file = "ticket.txt" }}'
    ).config.platform
    assert platform is not None
    assert platform.ticket is not None
    assert platform.ticket().reveal() == "first"
    file.write_text("second")
    assert platform.ticket().reveal() == "second"
    file.unlink()
    with pytest.raises(AuthorisationError, match=r"platform\.ticket: cannot read"):
        platform.ticket()


def test_a_ticket_of_another_kind_stays(load: Load) -> None:
    platform = load(
        f'[platform]\nappid = "{OTHER}"\nsecret = "s"\nticket = {{ env = "T" }}',
        {"T": "t"},
    ).config.platform
    assert platform is not None
    assert platform.ticket is not None
    assert platform.ticket().reveal() == "t"


@pytest.mark.parametrize(
    ("mode", "written", "warned"),
    [
        (0o644, f'"{HUSH}"', True),
        (0o640, f'"{HUSH}"', False),
        (0o644, '{ env = "HUSH" }', False),
    ],
)
def test_secrets_that_everybody_can_read_are_warned_of(
    tmp_path: Path, mode: int, written: str, warned: bool
) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(account(f"secret = {written}"))
    path.chmod(mode)
    warnings = settings.load(path, {"HUSH": HUSH}).warnings
    assert (
        any("everybody on this machine can read it" in one for one in warnings)
        == warned
    )


def test_an_accounts_file_with_secrets_is_warned_of_too(
    load: Load, tmp_path: Path
) -> None:
    (tmp_path / "more.csv").write_text(f"appid,secret\n{APPID},s\n")
    (tmp_path / "more.csv").chmod(0o644)
    assert (
        load('accounts_file = "more.csv"')
        .warnings[0]
        .startswith("more.csv holds secrets")
    )


def test_what_this_build_does_not_do_is_warned_of(load: Load) -> None:
    warnings = load(
        f'[platform]\nappid = "{OTHER}"\nsecret = "s"\ndiscover = true'
    ).warnings
    assert [one.partition(":")[0] for one in warnings] == ["platform.discover"]


def test_several_keys_of_the_vault_are_kept_in_their_order(load: Load) -> None:
    config = load('[vault]\nkey = ["new", { env = "OLD" }]', {"OLD": "old"}).config
    assert [key.reveal() for key in config.vault.key] == ["new", "old"]


def test_the_address_of_a_redis_vault_is_shown_without_its_password(load: Load) -> None:
    loaded = load(f'[vault]\nurl = "redis://user:{HUSH}@h:6379/1"')
    shown = {one.key: one.shown for one in loaded.values}
    assert shown["vault.url"] == "redis://h:6379/1"
    assert HUSH in {secret.reveal() for secret in loaded.secrets}


# --- the environment


def test_the_environment_overrides_numbers_lists_and_text(load: Load) -> None:
    loaded = load(
        "[limits]\ncalls_per_second = 3",
        {
            "HARVESTER__LIMITS__CALLS_PER_SECOND": "5",
            "HARVESTER__HARVEST__ENDPOINTS": '["user", "message"]',
            "HARVESTER__HARVEST__SINCE": "2024-01-01",
            "HARVESTER__HARVEST__READY_AT": "09:30",
            "HARVESTER__LIMITS__DAILY_CALLS": "500",
            "HARVESTER__LAKE__PATH": "2024",
            "HARVESTER__LAKE__RAW": "true",
            "HARVESTER__LAKE__DATE": '"month"',
        },
    )
    config = loaded.config
    assert (config.limits.calls_per_second, config.limits.daily_calls) == (5, 500)
    assert config.harvest.endpoints == ("user", "message")
    assert config.harvest.since == dates.parse("2024-01-01")
    assert config.harvest.ready_at == time(9, 30)
    assert config.lake.path.endswith("/2024")
    assert (config.lake.raw, config.lake.date) == (True, "month")


def test_every_key_outside_of_accounts_can_be_overridden(load: Load) -> None:
    config = load(account()).config.model_dump(mode="json")
    given = {place: value for place, value in flat(config) if value is not None}
    for key in keys.every():
        if key.name in given:
            text = (
                str(given[key.name]).replace("True", "true").replace("False", "false")
            )
            load(account(), {key.variable: text.replace("'", '"')})


def test_a_secret_from_the_environment_may_look_like_a_number(load: Load) -> None:
    loaded = load("", {"HARVESTER__VAULT__KEY": "123456"})
    assert [key.reveal() for key in loaded.config.vault.key] == ["123456"]
    assert {one.key: one.source for one in loaded.values}["vault.key"] == (
        "variable HARVESTER__VAULT__KEY"
    )


def test_the_environment_can_name_the_place_of_a_secret(load: Load) -> None:
    loaded = load("", {"HARVESTER__VAULT__KEY": '{ env = "HUSH" }', "HUSH": HUSH})
    assert [key.reveal() for key in loaded.config.vault.key] == [HUSH]


def test_an_unknown_variable_is_an_error_that_names_it(load: Load) -> None:
    assert refusal(load, "", {"HARVESTER__LIMITS__IN_FLIGTH": "5"}) == (
        "environment variable HARVESTER__LIMITS__IN_FLIGTH: unknown key; "
        "did you mean HARVESTER__LIMITS__IN_FLIGHT?"
    )
    assert refusal(load, "", {"HARVESTER__ZZZ": "5"}) == (
        "environment variable HARVESTER__ZZZ: unknown key; `harvester config` lists the keys"
    )


def test_a_wrong_value_from_the_environment_names_the_variable(load: Load) -> None:
    assert refusal(load, "", {"HARVESTER__LIMITS__IN_FLIGHT": "0"}) == (
        "variable HARVESTER__LIMITS__IN_FLIGHT: limits.in_flight: "
        "expected a number greater than or equal to 1, got 0"
    )


def test_an_override_of_a_table_that_is_none_leaves_the_complaint_to_the_file(
    load: Load,
) -> None:
    said = refusal(load, "limits = 3", {"HARVESTER__LIMITS__IN_FLIGHT": "1"})
    assert said == "accounts.toml:1: limits: expected a table, got 3"


# --- where values come from


def test_each_value_is_shown_with_its_origin(load: Load) -> None:
    loaded = load(
        "[limits]\nin_flight = 3\n\n" + account('secret = { env = "HUSH" }'),
        {"HUSH": HUSH, "HARVESTER__LAKE__BUCKETS": "7"},
    )
    origin = {one.key: (one.shown, one.source) for one in loaded.values}
    assert origin["limits.in_flight"] == (3, "accounts.toml:2")
    assert origin["limits.total_in_flight"] == (256, "default")
    assert origin["lake.buckets"] == (7, "variable HARVESTER__LAKE__BUCKETS")
    assert origin["harvest.since"] == ("2014-12-01", "default")
    assert origin["accounts[0].secret"] == ("***", "accounts.toml:6 (variable HUSH)")
    assert "accounts[0].name" not in origin


def test_every_key_is_shown(load: Load) -> None:
    shown = {one.key for one in load("").values}
    expected = {
        one.name
        for one in keys.every()
        if not one.name.startswith(("platform.", "accounts["))
    }
    assert shown == expected | {"platform"}


TRICKY = '''
top = 1 # [no.table]
"quoted" = 2
dotted.inner = 3
[ spaced ] # comment
a = """
b = 1
[x]
"""
c = ["""x""", 1]
list = [
    "d = 4",
]
[[many]]
e = { f = 1 }
[[many]]
[many.sub]
'''


def test_lines_are_found_in_tricky_toml() -> None:
    tomllib.loads(TRICKY)
    found = lines.of(TRICKY)
    assert found["top"] == 2
    assert found["quoted"] == 3
    assert found["dotted.inner"] == 4
    assert found["spaced"] == 5
    assert found["spaced.a"] == 6
    assert "spaced.b" not in found
    assert "x" not in found
    assert found["spaced.c"] == 10
    assert found["spaced.list"] == 11
    assert (found["many[0]"], found["many[0].e"], found["many[1]"]) == (14, 15, 16)


def test_a_place_without_a_line_has_that_of_what_holds_it() -> None:
    found = {"accounts[0]": 3, "accounts[0].secret": 4, "limits": 7}
    assert lines.nearest(found, "accounts[0].secret.env") == 4
    assert lines.nearest(found, "accounts[0].name") == 3
    assert lines.nearest(found, "limits.in_flight") == 7
    assert lines.nearest(found, "lake.path") is None
    assert lines.nearest({"accounts": 1}, "accounts[2].appid") == 1


def test_a_refused_configuration_leaves_nothing_behind(
    load: Load, tmp_path: Path
) -> None:
    refusal(load, '[lake]\npath = "lake"\n' + account(appid="../x"))
    assert os.listdir(tmp_path) == ["accounts.toml"]  # noqa: PTH208 -- names alone
