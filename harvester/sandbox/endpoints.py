"""The 21 Official Account endpoints as the platform sees them.

Written from WeChat's documents by hand, and on purpose not from the catalogue: where
the two disagree, a rehearsal finds out.
"""

from dataclasses import dataclass
from datetime import date

from harvester.sandbox.clock import Label

CLASSIC = date(2014, 12, 1).toordinal()
RECENT = date(2025, 11, 1).toordinal()
"""The first day of the four article endpoints that replaced the six retired ones."""

USERS, ARTICLES, MESSAGES, ACCOUNT = 2, 7, 1, 3
"""Permission sets (权限集)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a call of `/datacube/<id>` is held to."""

    id: str
    span: int
    """The most days of one window, both ends included."""

    permission_set: int
    label: Label = Label.DAY
    earliest: int = CLASSIC
    """Older days answer with an empty list."""

    delays: bool = False
    """Its answers say `is_delay` instead of 61503."""


_ALL = (
    Endpoint("getusersummary", 7, USERS),
    Endpoint("getusercumulate", 7, USERS),
    Endpoint("getarticlesummary", 1, ARTICLES),
    Endpoint("getarticletotal", 1, ARTICLES),
    Endpoint("getuserread", 3, ARTICLES),
    Endpoint("getuserreadhour", 1, ARTICLES),
    Endpoint("getusershare", 7, ARTICLES),
    Endpoint("getusersharehour", 1, ARTICLES),
    Endpoint("getarticleread", 1, ARTICLES, earliest=RECENT, delays=True),
    Endpoint("getarticleshare", 1, ARTICLES, earliest=RECENT, delays=True),
    Endpoint("getbizsummary", 30, ARTICLES, earliest=RECENT, delays=True),
    Endpoint("getarticletotaldetail", 1, ARTICLES, earliest=RECENT, delays=True),
    Endpoint("getupstreammsg", 7, MESSAGES),
    Endpoint("getupstreammsghour", 1, MESSAGES),
    Endpoint("getupstreammsgweek", 30, MESSAGES, Label.WEEK),
    Endpoint("getupstreammsgmonth", 30, MESSAGES, Label.MONTH),
    Endpoint("getupstreammsgdist", 15, MESSAGES),
    Endpoint("getupstreammsgdistweek", 15, MESSAGES, Label.WEEK),
    Endpoint("getupstreammsgdistmonth", 15, MESSAGES, Label.MONTH),
    Endpoint("getinterfacesummary", 30, ACCOUNT),
    Endpoint("getinterfacesummaryhour", 1, ACCOUNT),
)

ENDPOINTS = {endpoint.id: endpoint for endpoint in _ALL}
