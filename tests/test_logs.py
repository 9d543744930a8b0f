"""Log lines: on stderr, in one form, without secrets."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from harvester import logs
from harvester.secret import Secret, hide

HUSH = "l0g-h4sh-value"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    hide([Secret(HUSH)])
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    printed = capsys.readouterr()
    assert printed.out == ""
    return [json.loads(line) for line in printed.err.splitlines()]


def test_a_json_line_holds_what_is_bound(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start(as_json=True, level="info")
    structlog.contextvars.bind_contextvars(run_id="r1")
    structlog.get_logger().info(
        "refused",
        account="wx1",
        endpoint="getuserread",
        window="2024-12-01..03",
        rid="x-y",
    )
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "refused",
        "level": "info",
        "run_id": "r1",
        "account": "wx1",
        "endpoint": "getuserread",
        "window": "2024-12-01..03",
        "rid": "x-y",
    }


def test_libraries_log_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start(as_json=True, level="info")
    logging.getLogger("aiohttp.client").warning(
        "gone: %s", f"http://h/?access_token={HUSH}"
    )
    logging.getLogger("aiohttp.client").info("chatter")
    (line,) = lines(capsys)
    assert line["event"] == "gone: http://h/?access_token=***"
    assert (line["level"], line["logger"]) == ("warning", "aiohttp.client")


def test_debugging_lets_libraries_speak(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start(as_json=True, level="debug")
    logging.getLogger("asyncio").debug("detail")
    assert [line["event"] for line in lines(capsys)] == ["detail"]


def test_levels_below_the_chosen_one_are_silent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.start(as_json=True, level="error")
    structlog.get_logger().warning("a")
    logging.getLogger("x").warning("b")
    structlog.get_logger().error("c")
    assert [line["event"] for line in lines(capsys)] == ["c"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_is_in_no_line(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    logs.start(as_json=as_json, level="info")
    structlog.get_logger().info(
        f"event {HUSH}",
        text=HUSH,
        wrapped=Secret(HUSH),
        many=[HUSH, {"deep": (HUSH, 5, None)}],
        thing=ValueError(HUSH),
    )
    try:
        raise ValueError(f"access_token={HUSH}")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("x").exception("failed %s", HUSH)
    printed = capsys.readouterr().err
    assert HUSH not in printed
    assert printed.count("Traceback") == 2


def test_text_lines_are_plain_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.start(as_json=False, level="info")
    structlog.get_logger().info("hello", account="wx1")
    printed = capsys.readouterr().err
    assert "hello" in printed
    assert "account=wx1" in printed
    assert "\x1b" not in printed
