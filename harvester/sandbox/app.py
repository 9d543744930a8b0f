"""Starting and stopping: inside a test's event loop, or as a command."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

from aiohttp import web

from harvester.errors import UsageError
from harvester.sandbox.rehearsal import rehearsal
from harvester.sandbox.routes import application
from harvester.sandbox.sandbox import Sandbox
from harvester.sandbox.settings import Settings

_GRACE = 0.1
"""Seconds that calls under way get when the sandbox stops."""


@asynccontextmanager
async def running(
    settings: Settings | None = None, *, now: Callable[[], datetime] | None = None
) -> AsyncIterator[Sandbox]:
    """A sandbox that listens for as long as the block lasts.

    `now` is its clock (aware moments); token life and minute quotas follow the machine's.
    Raises UsageError when the address cannot be had.
    """
    sandbox = Sandbox(settings or Settings(), now)
    runner = web.AppRunner(
        application(sandbox),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_GRACE,
    )
    await runner.setup()
    try:
        sandbox.url = await _listen(runner, sandbox.settings)
        async with _pushing(sandbox):
            yield sandbox
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _pushing(sandbox: Sandbox) -> AsyncIterator[None]:
    sandbox.platform.outbox.open()
    work = asyncio.create_task(sandbox.pushes.work())
    try:
        yield
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def _listen(runner: web.AppRunner, settings: Settings) -> str:
    site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise UsageError(
            f"the sandbox cannot listen on {where} ({error.strerror})",
            "choose another port, or 0",
        ) from None
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{runner.addresses[0][1]}"


async def serve(settings: Settings, folder: Path | None = None) -> None:
    """Runs until SIGINT or SIGTERM; prints `{"url": ...}` once it listens.

    With a folder, an `accounts.toml` with made-up accounts that point here is put there.
    Raises UsageError.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as sandbox:
        if folder is not None:
            rehearsal(sandbox.settings, folder, sandbox.url)
        sys.stdout.write(json.dumps({"url": sandbox.url}) + "\n")
        sys.stdout.flush()
        await stop.wait()
