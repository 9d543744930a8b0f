"""Log lines on stderr: text for people, one JSON object a line for machines.

Every line goes through `masked`, whoever wrote it: harvester's own modules by
structlog, libraries by the standard library's logging. Whoever runs a harvest binds
`run_id`, `account`, `endpoint`, `window` and `rid` as context variables.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

from harvester.secret import masked


def start(*, as_json: bool, level: str) -> None:
    """From now on structlog and logging write to stderr, from this level on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    both: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    ending: list[Processor] = [_mask, _json_lines() if as_json else _text_lines()]
    structlog.configure(
        processors=[*both, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,
    )
    _route_libraries(number, both, ending)


class _Stderr:
    """Writes to the stderr of the moment: a progress bar puts its own in place."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, line: str) -> None:
        _write(line)

    debug = info = warning = error = critical = msg


class _Handler(logging.Handler):
    """The same for the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        _write(self.format(record))


def _write(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _route_libraries(
    number: int, both: Sequence[Processor], ending: list[Processor]
) -> None:
    """Libraries speak from warnings on, unless debugging was asked for."""
    handler = _Handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*both, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *ending,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number if number == logging.DEBUG else max(number, logging.WARNING))
    logging.captureWarnings(True)


def _json_lines() -> Processor:
    return structlog.processors.JSONRenderer(serializer=_json)


def _text_lines() -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=structlog.dev.plain_traceback,  # others show local variables
    )


def _json(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def _mask(_: object, __: str, event: EventDict) -> EventDict:
    return {key: _masked(value) for key, value in event.items()}


def _masked(value: Any) -> Any:
    match value:
        case str():
            return masked(value)
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _masked(one) for key, one in value.items()}
        case list() | tuple():
            return [_masked(one) for one in value]
    return masked(str(value))
