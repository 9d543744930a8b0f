"""The command line: what is printed where, and how commands end."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer

from harvester import __version__, cli
from harvester.commands import console, options, setup
from harvester.config import settings
from harvester.errors import HarvesterError, LockedError, StorageError, UsageError

APPID = "wx0123456789abcdef"
HUSH = "c1i-h4sh-value"
TOML = f'[[accounts]]\nappid = "{APPID}"\nname = "品牌"\nsecret = "{HUSH}"\nsince = 2024-01-02\n'

Harvester = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "accounts.toml"
    path.write_text(TOML)
    path.chmod(0o600)
    return path


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without anything."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """This Python in a process of its own, with the package in reach."""
    root = str(Path(cli.__file__).parents[1])
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
        timeout=60,
        check=False,
        **more,
    )


# --- the command line itself


def test_help_needs_nothing_heavy() -> None:
    heavy = "{'aiohttp', 'duckdb', 'numpy', 'pyarrow', 'pydantic', 'rich', 'structlog'}"
    ended = python(
        "-c", f"import sys, harvester.cli; print(sorted({heavy} & set(sys.modules)))"
    )
    assert ended.stdout == "[]\n"


def test_the_version_is_told(harvester: Harvester) -> None:
    assert harvester("--version").out == f"harvester {__version__}\n"


def test_the_package_is_a_program() -> None:
    assert python("-m", "harvester", "--version").stdout == f"harvester {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["colour"],
        ["--colour"],
        ["config", "--colour"],
        ["--log-format", "xml", "config"],
    ],
)
def test_a_wrong_command_line_ends_with_2(
    harvester: Harvester, arguments: Sequence[str]
) -> None:
    ended = harvester(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: harvester" in ended.err


def test_the_configuration_is_named_by_option_or_variable(
    harvester: Harvester, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = config.rename(config.with_name("other.toml"))
    assert harvester("--config", other, "accounts", "list").code == 0
    assert harvester("-c", other, "accounts", "list").code == 0
    assert harvester("accounts", "list").code == 2
    monkeypatch.setenv("HARVESTER_CONFIG", str(other))
    assert harvester("accounts", "list").code == 0


# --- how errors end


def broken(error: BaseException) -> Callable[..., Any]:
    def load(*_: object) -> Any:
        hidden_in_a_variable = HUSH  # noqa: F841 -- must not show in a traceback
        raise error

    return load


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("a: b", "do c"), 2, "harvester: a: b: do c\n"),
        (UsageError("one\ntwo"), 2, "harvester: one\nharvester: two\n"),
        (
            StorageError("disk full", "make room"),
            6,
            "harvester: disk full: make room\n",
        ),
        (LockedError("held by run x", "wait"), 7, "harvester: held by run x: wait\n"),
        (
            ValueError(f"access_token={HUSH}\nmore"),
            1,
            "harvester: ValueError: access_token=*** (a bug: --debug shows where)\n",
        ),
        (
            BaseExceptionGroup(
                "tasks", [UsageError("u"), ExceptionGroup("", [StorageError("s")])]
            ),
            6,
            "harvester: s\n",
        ),
        (
            ExceptionGroup("tasks", [UsageError("u"), KeyError("k")]),
            1,
            "harvester: KeyError: 'k' (a bug: --debug shows where)\n",
        ),
        (HarvesterError("odd"), 1, "harvester: odd\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_line_and_the_code_of_its_class(
    harvester: Harvester,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(settings, "load", broken(error))
    ended = harvester("config")
    assert (ended.code, ended.out, ended.err) == (code, "", said)


def test_debug_shows_the_traceback_without_secrets(
    harvester: Harvester, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "load", broken(ValueError(f"access_token={HUSH}")))
    ended = harvester("--debug", "config")
    assert "Traceback" in ended.err
    assert "in load" in ended.err
    assert HUSH not in ended.err
    assert ended.err.endswith(
        "harvester: ValueError: access_token=*** (a bug: --debug shows where)\n"
    )


def test_a_reader_that_has_gone_changes_no_exit_code(config: Path) -> None:
    script = (
        "import os, sys; from harvester.cli import main\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "main(['config'])\n"
    )
    ended = python("-c", script, cwd=config.parent)
    assert (ended.returncode, ended.stderr) == (0, "")


# --- init


def test_init_writes_a_configuration_that_only_its_owner_reads(
    harvester: Harvester, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = harvester("init")
    assert (ended.code, ended.out) == (0, "")
    assert "accounts.toml is written" in ended.err
    assert (empty / "accounts.toml").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("WECHAT_SECRET_BRAND_A", HUSH)
    assert harvester("config").code == 0


def test_init_never_overwrites(harvester: Harvester, config: Path) -> None:
    ended = harvester("init")
    assert ended.code == 2
    assert (
        ended.err
        == "harvester: accounts.toml exists already: --config names another file\n"
    )
    assert config.read_text() == TOML


def test_init_names_a_place_that_it_cannot_write(
    harvester: Harvester, empty: Path
) -> None:
    ended = harvester("--config", "no/accounts.toml", "init")
    assert ended.code == 2
    assert (
        ended.err
        == "harvester: no/accounts.toml: cannot be written: No such file or directory\n"
    )


def test_quiet_leaves_the_words_out(harvester: Harvester, empty: Path) -> None:
    assert harvester("--quiet", "init").err == ""


@pytest.mark.parametrize(
    ("accounts", "buckets", "date"),
    [
        (1, 0, "day"),
        (50, 0, "day"),
        (51, 1, "month"),
        (8000, 16, "month"),
        (100_000, 200, "month"),
    ],
)
def test_init_proposes_a_layout_from_the_number_of_accounts(
    tmp_path: Path, accounts: int, buckets: int, date: str
) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(setup.template(accounts))
    lake = settings.load(path, {"WECHAT_SECRET_BRAND_A": HUSH}).config.lake
    assert (lake.buckets, lake.date) == (buckets, date)


# --- config


def test_config_shows_every_value_and_its_origin(
    harvester: Harvester, config: Path
) -> None:
    ended = harvester("config")
    assert (ended.code, ended.err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines()[2:]}
    assert rows["limits.in_flight"] == ["4", "default"]
    assert rows["harvest.wide_windows"] == ["false", "default"]
    assert rows["harvest.refresh_days"] == [
        "1,",
        "2,",
        "3,",
        "7,",
        "14,",
        "30",
        "default",
    ]
    assert rows["accounts[0].secret"] == ["***", "accounts.toml:4"]
    assert HUSH not in ended.out


def test_config_as_json_is_one_object(harvester: Harvester, config: Path) -> None:
    ended = harvester("config", "--json")
    found = orjson.loads(ended.out)
    assert found["path"] == "accounts.toml"
    assert found["values"]["limits.in_flight"] == {"value": 4, "source": "default"}
    assert found["values"]["accounts[0].since"] == {
        "value": "2024-01-02",
        "source": "accounts.toml:5",
    }
    assert HUSH not in ended.out


def test_warnings_go_to_stderr_even_when_quiet(
    harvester: Harvester, config: Path
) -> None:
    config.chmod(0o644)
    ended = harvester("--quiet", "config", "--json")
    assert ended.err.startswith("harvester: warning: accounts.toml holds secrets")
    orjson.loads(ended.out)


def test_a_wrong_configuration_ends_with_2_and_writes_nothing(
    harvester: Harvester, config: Path
) -> None:
    config.write_text('[lake]\npath = "lake"\n[limits]\nin_flight = 0\n')
    for command in (
        ["config"],
        ["config", "--json"],
        ["accounts", "list"],
        ["endpoints"],
    ):
        ended = harvester(*command)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == (
            "harvester: accounts.toml:4: limits.in_flight: "
            "expected a number greater than or equal to 1, got 0\n"
        )
    assert [one.name for one in config.parent.iterdir()] == ["accounts.toml"]


# --- accounts list and endpoints


def test_accounts_are_listed_without_their_secrets(
    harvester: Harvester, config: Path
) -> None:
    ended = harvester("accounts", "list")
    assert ended.code == 0
    assert ended.out.splitlines()[-1].split() == [APPID, "品牌", "secret", "2024-01-02"]
    assert HUSH not in ended.out + ended.err


def test_accounts_as_json_are_one_object(harvester: Harvester, config: Path) -> None:
    assert orjson.loads(harvester("accounts", "list", "--json").out) == {
        "accounts": [
            {
                "appid": APPID,
                "name": "品牌",
                "credential": "secret",
                "endpoints": [],
                "since": "2024-01-02",
                "calls_per_second": None,
            }
        ]
    }


def test_no_accounts_are_a_table_without_rows(
    harvester: Harvester, config: Path
) -> None:
    config.write_text("")
    assert harvester("accounts", "list").out.split()[0] == "appid"
    assert orjson.loads(harvester("accounts", "list", "--json").out) == {"accounts": []}


def test_endpoints_need_no_configuration(harvester: Harvester, empty: Path) -> None:
    ended = harvester("endpoints", "--json")
    assert (ended.code, ended.err) == (0, "")
    found = {one["id"]: one for one in orjson.loads(ended.out)["endpoints"]}
    assert len(found) == 21
    assert found["getusersummary"]["span"] == 7
    assert found["getusersummary"]["earliest"] == "2014-12-01"
    assert found["getarticlesummary"]["status"] == "retired"
    assert len(harvester("endpoints").out.splitlines()) == 23


def test_endpoints_of_a_named_configuration_need_it(
    harvester: Harvester, empty: Path
) -> None:
    assert harvester("--config", "other.toml", "endpoints").code == 2


# --- the sandbox


def test_the_sandbox_prints_its_address_and_ends_when_interrupted(
    tmp_path: Path,
) -> None:
    root = str(Path(cli.__file__).parents[1])
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "harvester",
            "sandbox",
            "--accounts",
            "3",
            "--config-folder",
            tmp_path,
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    loaded = settings.load(tmp_path / "accounts.toml", {})
    assert loaded.config.api.url == url
    assert len(loaded.accounts) == 3


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--fault", "colour"], "no fault is called 'colour'"),
        (
            ["--as-of", "2024-01-01T00:00:00"],
            "--as-of 2024-01-01T00:00:00: expected a time with its offset",
        ),
        (["--as-of", "soon"], "--as-of soon: expected a time with its offset"),
        (["--port", "99999"], "port 99999 does not exist"),
    ],
)
def test_a_wrong_wish_for_the_sandbox_ends_with_2(
    harvester: Harvester, option: Sequence[str], said: str
) -> None:
    ended = harvester("sandbox", *option)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"harvester: {said}")


# --- what commands share


def test_dates_and_times_of_options_are_checked() -> None:
    assert options.day("--since", None) is None
    assert options.day("--since", "2024-12-07") == 739227
    assert options.moment("--as-of", None) is None
    found = options.moment("--as-of", "2024-12-08T09:00+08:00")
    assert found is not None
    assert found.isoformat() == "2024-12-08T09:00:00+08:00"
    with pytest.raises(UsageError, match="--since 20241207: expected a date such as"):
        options.day("--since", "20241207")


def test_a_table_that_no_terminal_shows_is_neither_cut_nor_wrapped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.table(("a", "b"), [("x" * 300, None), (["p", True], 0.5)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "x" * 300
    assert lines[3].split() == ["p,", "true", "0.5"]


def test_words_that_look_like_markup_are_printed_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.table(("a",), [("[red]accounts[0]",)])
    assert "[red]accounts[0]" in capsys.readouterr().out


def test_there_is_no_progress_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress() as show:
        show("calls", 1, None)
    assert capsys.readouterr().err == ""


def test_every_command_takes_the_options_before_it() -> None:
    assert isinstance(cli.app, typer.Typer)
    assert cli.PRECEDENCE == (1, 6, 7, 2, 4)


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_tells_what_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress() as show:
        show("[calls] · 7 rows", 3, 12)
    assert "3/12" in terminal.getvalue()
    assert "[calls] · 7 rows" in terminal.getvalue()


def test_words_never_hold_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("http://h/?access_token=abc")
    console.warn("http://h/?access_token=abc")
    assert "abc" not in capsys.readouterr().err
