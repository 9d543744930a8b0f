"""What the vault knows under one name, and every change it may undergo. Pure.

1. Every change of a token or refresh token raises the generation, and a result is
   stored only over the generation it was fetched for.
2. Taking over the lease of a holder that died raises it too: should its result arrive
   after all, it is turned away.
3. Nothing empty overwrites anything. The last refresh tokens are kept, those of
   results that came too late included.
4. Tokens that others keep replacing are counted, so that two systems that fetch tokens
   of one account do not do so for ever.
5. A fact gives way to one learned at the same moment or later, never to an older one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import Any

from harvester.api.vault.records import Facts, Minted, Profile, Stored
from harvester.api.vault.sealing import Seals

KEPT_REFRESH_TOKENS = 3
"""Each costs a call when the account is gone."""

EARLY_SECONDS = 3600.0
LONGEST_LEASE = 600.0
"""A lease that ends later than this from now was made by a clock that was put back."""

AUTHORISED = "authorised"

_FACTS = tuple(one.name for one in fields(Facts))
_LISTS = ("facts", "early")
_PLAIN = ("learned_at", "expires_at", "generation", "seed", "holder", "until", *_LISTS)
_SECRET = ("token", "refresh_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One name's tokens, lease and facts."""

    token: str = ""
    learned_at: float = 0.0
    expires_at: float = 0.0
    generation: int = 0
    refresh_token: str = ""
    previous: tuple[str, ...] = ()
    """The last refresh tokens, the newest first."""

    seed: str = ""
    """The hash of the configured refresh token that was taken over."""

    early: tuple[float, ...] = ()
    """When, within an hour, a token was replaced in the first half of its life."""

    holder: str = ""
    until: float = 0.0
    facts: Mapping[str, tuple[Any, float]] = field(default_factory=dict)
    """By its name: the fact, and when it was learned."""

    def __repr__(self) -> str:
        return f"Credential(generation={self.generation})"


def stored(known: Credential) -> Stored:
    """What whoever needs a token gets to see."""
    return Stored(
        token=known.token,
        learned_at=known.learned_at,
        expires_at=known.expires_at,
        generation=known.generation,
        refresh_token=known.refresh_token,
        early=len(known.early),
    )


def seeded(known: Credential, refresh_token: str) -> Credential:
    """Takes a configured refresh token over, once for every value it has.

    One that the vault got in another way wins over the first such value.
    """
    seed = sha256(refresh_token.encode()).hexdigest()
    if not refresh_token or known.seed == seed:
        return known
    wins = not known.refresh_token or bool(known.seed)
    return replace(
        _remembering(known, refresh_token),
        seed=seed,
        generation=known.generation + 1,
        refresh_token=refresh_token if wins else known.refresh_token,
    )


def leased(
    known: Credential, holder: str, now: float, seconds: float
) -> Credential | None:
    """The lease is the holder's for so long; None: it is another's."""
    ours = known.holder in ("", holder)
    if not ours and now < known.until <= now + LONGEST_LEASE:
        return None
    return replace(
        known,
        holder=holder,
        until=now + seconds,
        generation=known.generation + (0 if ours else 1),
        early=_lately(known.early, now),
    )


def released(known: Credential, holder: str) -> Credential:
    """The holder's lease ends; another's does not."""
    return replace(known, holder="", until=0.0) if known.holder == holder else known


def minted(known: Credential, generation: int, new: Minted) -> Credential:
    """Takes a result over that was fetched for this generation.

    Raises ValueError for an empty token.
    """
    if not new.token:
        raise ValueError("an empty token is none")
    remembering = _remembering(known, new.refresh_token)
    if known.generation != generation:
        return remembering
    return replace(
        _reopened(remembering, new.learned_at),
        token=new.token,
        learned_at=new.learned_at,
        expires_at=new.expires_at,
        refresh_token=new.refresh_token or known.refresh_token,
        generation=known.generation + 1,
        early=_with_early(known, new.learned_at),
    )


def half_life(stored: Stored | Credential) -> float:
    """The epoch second at which half of the token's usable life is over."""
    return stored.learned_at + (stored.expires_at - stored.learned_at) / 2


def _with_early(known: Credential, now: float) -> tuple[float, ...]:
    """Adds this moment where the known token is replaced in the first half of its life."""
    again = known.token != "" and now < half_life(known)
    return (*_lately(known.early, now), *([now] if again else []))


def _lately(moments: tuple[float, ...], now: float) -> tuple[float, ...]:
    return tuple(one for one in moments if now - EARLY_SECONDS < one <= now)


def with_refresh_token(known: Credential, refresh_token: str) -> Credential:
    """A newer refresh token from outside: it counts from now on."""
    if not refresh_token:
        return known
    return replace(
        _remembering(known, refresh_token),
        refresh_token=refresh_token,
        generation=known.generation + 1,
    )


def refilled(known: Credential, refresh_token: str) -> Credential:
    """One that the platform's list names: it counts where none is known.

    Elsewhere it is kept to be tried when the known one is refused: a refresh under
    way may have brought a newer one than the list had.
    """
    if refresh_token in (known.refresh_token, *known.previous):
        return known
    counts = known.refresh_token or refresh_token
    return replace(_remembering(known, refresh_token), refresh_token=counts)


def granted(
    known: Credential, new: Minted, permission_sets: frozenset[int], at: float
) -> Credential:
    """The account was authorised at that moment: its tokens and sets in one step.

    Without tokens in it the known ones stay. An older grant, or one from before a
    withdrawal, leaves everything but the history of refresh tokens as it is.
    """
    if at < known.facts.get(AUTHORISED, (None, 0.0))[1]:
        return _remembering(known, new.refresh_token)
    authorised = learned(
        _standing(known, True, at), Facts(permission_sets=permission_sets), at
    )
    refreshable = with_refresh_token(authorised, new.refresh_token)
    if not new.token:
        return refreshable
    taken = minted(refreshable, refreshable.generation, replace(new, refresh_token=""))
    return replace(taken, early=())


def with_standing(known: Credential, authorised: bool, at: float) -> Credential:
    """Whether the account is authorised, unless something newer is known.

    One that is not keeps its refresh tokens and loses its token; a refresh that is
    under way is turned away.
    """
    told = _standing(known, authorised, at)
    if authorised or told is known:
        return told
    return replace(told, token="", expires_at=0.0, generation=told.generation + 1)


def learned(known: Credential, new: Facts, at: float) -> Credential:
    """Takes over what was said, each fact by itself."""
    facts = dict(known.facts)
    for name in _FACTS:
        value = getattr(new, name)
        if value in (None, "") or at < facts.get(name, (None, 0.0))[1]:
            continue
        facts[name] = (value, at)
    told = known if facts == known.facts else replace(known, facts=facts)
    return _reopened(told, new.auth_time)


def _reopened(known: Credential, at: float | None) -> Credential:
    """Authorised again, if that happened after a withdrawal that is known."""
    standing, since = known.facts.get(AUTHORISED, (None, 0.0))
    if at is None or standing is not False or at <= since:
        return known
    return _standing(known, True, at)


def _standing(known: Credential, authorised: bool, at: float) -> Credential:
    told = (authorised, at)
    if at < known.facts.get(AUTHORISED, (None, 0.0))[1]:
        return known
    if known.facts.get(AUTHORISED) == told:
        return known
    return replace(known, facts={**known.facts, AUTHORISED: told})


def _remembering(known: Credential, refresh_token: str) -> Credential:
    """Puts it at the head of the history, and cuts the history."""
    if not refresh_token or known.previous[:1] == (refresh_token,):
        return known
    others = (one for one in known.previous if one != refresh_token)
    kept = (refresh_token, *others)[:KEPT_REFRESH_TOKENS]
    return replace(known, previous=kept)


def document(known: Credential, seals: Seals) -> dict[str, Any]:
    """The credential as it may be stored; what is empty is left out."""
    plain = {name: getattr(known, name) for name in _PLAIN}
    plain["facts"] = {
        name: [sorted(value) if isinstance(value, frozenset) else value, at]
        for name, (value, at) in known.facts.items()
    }
    found = {name: value for name, value in plain.items() if value}
    for name in _SECRET:
        if getattr(known, name):
            found[name] = seals.seal(getattr(known, name))
    if known.previous:
        found["previous"] = [seals.seal(one) for one in known.previous]
    return found


def credential(found: Mapping[str, Any], seals: Seals) -> Credential:
    """The credential in a document. Raises AuthorisationError when no key opens it."""
    plain: dict[str, Any] = {
        name: found[name] for name in _PLAIN if name in found and name not in _LISTS
    }
    secret: dict[str, Any] = {
        name: seals.unseal(found[name]) for name in _SECRET if name in found
    }
    return Credential(
        **plain,
        **secret,
        previous=tuple(map(seals.unseal, found.get("previous", ()))),
        early=tuple(found.get("early", ())),
        facts=_facts(found),
    )


def profile(appid: str, found: Mapping[str, Any]) -> Profile:
    """The account in a document, without a look at its secrets."""
    facts = _facts(found)
    values = {name: value for name, (value, _) in facts.items()}
    standing = values.pop(AUTHORISED, None)
    return Profile(
        appid=appid,
        facts=Facts(**values),
        authorised=standing,
        learned={name: at for name, (_, at) in facts.items()},
        has_refresh_token="refresh_token" in found,
        has_token="token" in found,
        token_expires_at=found.get("expires_at", 0.0),
    )


def _facts(found: Mapping[str, Any]) -> dict[str, tuple[Any, float]]:
    known = (*_FACTS, AUTHORISED)  # a newer version may have written more
    return {
        name: (frozenset(value) if isinstance(value, list) else value, at)
        for name, (value, at) in found.get("facts", {}).items()
        if name in known
    }
