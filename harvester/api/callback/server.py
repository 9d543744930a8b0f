"""Both applications on their addresses, for as long as a block lasts."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from harvester.api.callback.application import application
from harvester.api.callback.health import health_application
from harvester.api.callback.receiver import Receiver
from harvester.errors import UsageError

LOOPBACK = "127.0.0.1"
GRACE_SECONDS = 10.0
"""Requests under way get so long when the service stops: longer than a page takes."""

_SILENT = logging.getLogger(f"{__name__}.requests")
"""aiohttp quotes a request that it cannot read, and its address may hold a code."""

_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


@dataclass(frozen=True, slots=True)
class Listening:
    """The addresses, ports that were left open now filled in."""

    url: str
    health_url: str


@asynccontextmanager
async def listening(
    receiver: Receiver, host: str, port: int, metrics_port: int
) -> AsyncIterator[Listening]:
    """Serves pushes and pages on `host`, health and metrics on the loopback address.

    Port 0 is any free one. Raises UsageError when an address cannot be had.
    """
    async with (
        _site(health_application(receiver), LOOPBACK, metrics_port) as health_url,
        _site(application(receiver), host, port) as url,
    ):
        yield Listening(url, health_url)


@asynccontextmanager
async def _site(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(
        app, access_log=None, logger=_SILENT, shutdown_timeout=GRACE_SECONDS
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host}:{port} ({error.strerror})",
                "choose another --port, --host or --metrics-port",
            ) from None
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
