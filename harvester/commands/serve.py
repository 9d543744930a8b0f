"""`serve`: receives WeChat's pushes until it is interrupted."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from harvester.commands import console, options
from harvester.errors import UsageError

if TYPE_CHECKING:
    from harvester.api.callback.calls import Calls
    from harvester.api.callback.contract import Terms
    from harvester.api.callback.receiver import Receiver
    from harvester.api.vault.vault import Vault
    from harvester.api.wire import Wire
    from harvester.config import models
    from harvester.secret import Secret


def serve(
    context: typer.Context,
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", help="Where to listen; 0: any free port."),
    ] = 8080,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="The address to listen on."),
    ] = "127.0.0.1",
    metrics_port: Annotated[
        int,
        typer.Option(
            "--metrics-port",
            metavar="N",
            help="Where /healthz and /metrics are, on 127.0.0.1; 0: any free port.",
        ),
    ] = 9108,
) -> None:
    """Receive WeChat's pushes: tickets and authorisations go into the vault.

    Put a server with TLS in front. Runs until SIGINT or SIGTERM.
    """
    import anyio

    loaded = options.loaded(context)
    fast = find_spec("uvloop") is not None
    ports = (port, metrics_port)
    anyio.run(_served, loaded.config, host, ports, backend_options={"use_uvloop": fast})


async def _served(config: "models.Config", host: str, ports: tuple[int, int]) -> None:
    """Serves until a signal comes. Raises UsageError, StorageError."""
    import anyio

    from harvester.api.callback.server import listening

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with (
            opened(config) as receiver,
            listening(receiver, host, *ports) as addresses,
        ):
            console.say(f"Pushes: {addresses.url}{receiver.terms.path}")
            console.say(f"Health: {addresses.health_url}/healthz, /metrics")
            async for _ in signals:
                break


@asynccontextmanager
async def opened(config: "models.Config") -> AsyncIterator["Receiver"]:
    """The receiver, with vault and wire. Raises UsageError, StorageError."""
    from harvester.api.callback.receiver import Receiver
    from harvester.api.vault.vault import opened as opened_vault
    from harvester.api.wire import Wire

    terms = terms_of(config.platform)
    seconds = config.api.timeout_seconds
    async with (
        opened_vault(config.vault.url, keys=config.vault.key) as vault,
        Wire((config.api.url,), timeout_seconds=seconds) as wire,
    ):
        yield Receiver(terms, vault, _calls(config.platform, vault, wire))


def terms_of(platform: "models.Platform | None") -> "Terms":
    """What the configuration says of the receiver. Raises UsageError."""
    from harvester.api.callback.contract import Terms

    if platform is None or platform.appid is None:
        raise UsageError("platform.appid is missing", "`serve` receives for one")
    if platform.callback_token is None or platform.encoding_aes_key is None:
        todo = "take both from the open platform's console"
        raise UsageError("platform.callback_token or encoding_aes_key is missing", todo)
    return Terms(
        platform=platform.appid,
        token=platform.callback_token,
        keys=_keys(platform.encoding_aes_key, platform.previous_encoding_aes_key),
        path=platform.callback_path,
        public_url=platform.public_url or "",
        accept_age=platform.accept_age,
        exchange_codes=platform.exchange_codes,
    )


def _keys(present: "Secret", previous: "Secret | None") -> tuple[bytes, ...]:
    from harvester.crypto import Undecryptable, key_of

    found = []
    for name, key in (
        ("encoding_aes_key", present),
        ("previous_encoding_aes_key", previous),
    ):
        try:
            found += [] if key is None else [key_of(key.reveal())]
        except Undecryptable:
            expected = "expected the 43 letters and digits of the console"
            raise UsageError(f"platform.{name}: {expected}") from None
    return tuple(found)


def _calls(
    given: "models.Platform | None", vault: "Vault", wire: "Wire"
) -> "Calls | None":
    """The platform's calls; None for a guest, who must make none."""
    from harvester.api.callback.calls import Calls
    from harvester.api.tokens.platform import Platform
    from harvester.api.tokens.tokens import Tokens

    if given is None or given.secret is None or given.appid is None:
        return None
    read = given.ticket
    platform = Platform(
        appid=given.appid,
        secret=given.secret,
        ticket=(lambda: read().reveal()) if read else (lambda: ""),
    )
    tokens = Tokens(wire, vault, platform)
    component = tokens.component
    return Calls(wire, given.appid, component.enquiries.asked, component.ask_for_pushes)
