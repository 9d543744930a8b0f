"""Which calls are still missing: pure, and streamed."""

from dataclasses import dataclass

from harvester.catalogue.endpoint import Endpoint
from harvester.dates import Days


@dataclass(frozen=True, slots=True)
class Call:
    """One request: account, endpoint, window, and the wanted dates it owns."""

    appid: str
    endpoint: Endpoint
    first: int
    last: int
    owned: Days
