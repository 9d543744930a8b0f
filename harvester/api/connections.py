"""The pool of connections: none that has something left to say is used again.

A server may send a second answer that nobody asked for. aiohttp 3.14.5 hands a
pooled connection out without looking at what came in meanwhile, and the next request,
another account's perhaps, would take that answer for its own. So a connection is
asked before it is used again: bytes that were read are in `should_close`, bytes
that still lie in the socket (or its end) make it readable. Both close it.

What arrives after the next request has left cannot be told from its answer here:
rows are checked against the account's window further up.
"""

import select
from asyncio import AbstractEventLoop, BaseTransport
from functools import partial

from aiohttp import TCPConnector
from aiohttp.client_proto import ResponseHandler

IDLE_SECONDS = 10.0
"""How long an unused connection is kept: shorter than any server keeps it."""

RESOLVED_SECONDS = 60
"""How long a name's addresses are believed: WeChat retires its addresses."""


def pool(loop: AbstractEventLoop, limit: int) -> TCPConnector:
    """A pool of at most `limit` connections, to be opened inside the loop."""
    connector = TCPConnector(
        limit=limit, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=RESOLVED_SECONDS
    )
    protocol: type[ResponseHandler] = Silent
    connector._factory = partial(protocol, loop=loop)
    return connector


class Silent(ResponseHandler):
    """A connection that counts as closed once it speaks without being asked."""

    _descriptor = -1

    def connection_made(self, transport: BaseTransport) -> None:
        """Remembers the socket, to look into it before each use."""
        super().connection_made(transport)
        self._descriptor = transport.get_extra_info("socket").fileno()

    def is_connected(self) -> bool:
        """Whether the next request may use it; the pool asks nobody else."""
        return (
            super().is_connected()
            and not self.should_close
            and not _readable(self._descriptor)
        )


def _readable(descriptor: int) -> bool:
    """Whether bytes, or the end of them, wait in the socket."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
