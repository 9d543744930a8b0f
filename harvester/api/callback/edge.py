"""The edge of the receiver: what fails here fails alone, and the service goes on."""

from collections.abc import Awaitable
from traceback import format_tb
from typing import TypeVar

import structlog

from harvester.errors import HarvesterError

T = TypeVar("T")

log = structlog.get_logger(__name__)


async def alone(what: str, work: Awaitable[T]) -> T | None:
    """What the work gives, or None where it failed; the log says why."""
    try:
        return await work
    except HarvesterError as error:
        log.error(f"{what}_failed", reason=str(error))
    except Exception as error:  # one push that meets a bug must not end the service
        # its message may hold what was pushed
        where = "".join(format_tb(error.__traceback__))
        log.error(f"{what}_failed", bug=type(error).__name__, where=where)
    return None
