"""What is still to be pushed. Anybody may put something in, from any thread."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Push:
    """One push: its kind, the account it is about, and what it says besides."""

    kind: str
    appid: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    answered: "asyncio.Future[str] | None" = None
    """Gets what the receiver answered, where somebody waits for it."""


class Outbox:
    """Pushes in the order in which they came about; closed until somebody sends them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Queue[Push] = asyncio.Queue()

    def open(self) -> None:
        """From now on pushes are kept for `next`, in this event loop."""
        self._loop = asyncio.get_running_loop()

    def put(self, push: Push) -> None:
        """Adds a push; before anybody sends, nothing happens."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._waiting.put_nowait, push)

    async def next(self) -> Push:
        """The push that has waited the longest."""
        return await self._waiting.get()
