"""The documents in a vault file of the first layout, which had a table for each kind."""

import sqlite3
from collections.abc import Iterator

import orjson

from harvester.api.vault import credential, pushed
from harvester.api.vault.credential import Credential
from harvester.api.vault.pushed import Tickets
from harvester.api.vault.records import Ticket
from harvester.api.vault.sealing import Seals


def documents(database: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """All that the old tables hold; leases excepted."""
    plain = Seals()
    for name, known in _credentials(database):
        yield name, orjson.dumps(credential.document(known, plain))
    for platform, value, learned_at in database.execute("SELECT * FROM ticket"):
        newest = Ticket(value=value, created_at=learned_at)
        found = pushed.ticket_document(Tickets(newest=newest), plain)
        yield f"ticket:{platform}", orjson.dumps(found)


def _credentials(database: sqlite3.Connection) -> Iterator[tuple[str, Credential]]:
    rows = database.execute(
        "SELECT name, token, learned_at, expires_at, generation, refresh_token, seed"
        " FROM credential"
    ).fetchall()
    for name, token, learned_at, expires_at, generation, refresh_token, seed in rows:
        previous = database.execute(
            "SELECT value FROM refresh_token WHERE name = ? ORDER BY number DESC",
            (name,),
        )
        yield (
            name,
            Credential(
                token=token,
                learned_at=learned_at,
                expires_at=expires_at,
                generation=generation,
                refresh_token=refresh_token,
                seed=seed,
                previous=tuple(value for (value,) in previous),
            ),
        )
