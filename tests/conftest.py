"""What every test file may ask for. Kept small: a test says itself what it needs."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog
from hypothesis import settings

from harvester import cli

settings.register_profile("harvester", derandomize=True, deadline=None)
settings.load_profile("harvester")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's own HARVESTER_CONFIG must not decide how a test ends."""
    for name in os.environ:
        if name.startswith("HARVESTER"):
            monkeypatch.delenv(name)


@pytest.fixture
def harvester(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Runs a command in this process, as `main` does for a person."""

    def run(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(one) for one in arguments])
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers = handlers
    logging.captureWarnings(False)
    structlog.reset_defaults()
