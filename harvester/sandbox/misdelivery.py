"""Pushes that go wrong: each changes a draft before it is sealed."""

from harvester.sandbox.sealing import Draft

_DTD = '<!DOCTYPE xml [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


def forged(draft: Draft, _: str) -> None:
    """Signs by another token."""
    draft.token = draft.token[::-1]


def other_key(draft: Draft, key: str) -> None:
    """Encrypts by this key, or by one that nobody has."""
    draft.key = key or draft.key[::-1]


def other_platform(draft: Draft, appid: str) -> None:
    """Is meant for another platform."""
    draft.appid = appid


def bad_padding(draft: Draft, value: str) -> None:
    """Pads with bytes of this value."""
    draft.padding = int(value)


def dtd(draft: Draft, _: str) -> None:
    """Declares an outside entity in front of the content."""
    draft.prologue = _DTD


def large(draft: Draft, kilobytes: str) -> None:
    """Fills the envelope up."""
    draft.filling = int(kilobytes) << 10


def old(draft: Draft, seconds: str) -> None:
    """Was signed so long ago."""
    draft.signed_at -= int(seconds)


def early(draft: Draft, seconds: str) -> None:
    """Is signed so far ahead."""
    draft.signed_at += int(seconds)


def unknown(draft: Draft, kind: str) -> None:
    """Is of a kind that has nothing to do with the receiver."""
    draft.fields = {**draft.fields, "InfoType": kind}


def incomplete(draft: Draft, _: str) -> None:
    """Says what it is, and nothing else."""
    draft.fields = {"InfoType": draft.fields["InfoType"]}


def late(draft: Draft, seconds: str) -> None:
    """Is signed now and comes later, after pushes that were made after it."""
    draft.wait = float(seconds)


def twice(draft: Draft, copies: str) -> None:
    """The very same again."""
    draft.copies = int(copies)


def lost(draft: Draft, _: str) -> None:
    """Never arrives."""
    draft.copies = 0
