"""Values that are good for a while: tickets, pre-auth codes, authorisation codes."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from harvester.sandbox.refusals import Refusal

_MOST = 50_000


@dataclass(slots=True)
class _Voucher:
    about: str
    dies_at: float
    spent: bool = False


class Vouchers:
    """All vouchers of one kind; the oldest are forgotten. `ticks` gives seconds."""

    def __init__(
        self,
        start: str,
        life: float,
        codes: tuple[int, int],
        ticks: Callable[[], float],
    ) -> None:
        """`start`: how they begin; `codes`: the refusals of unknown and expired ones."""
        self.life = life
        self._start = start
        self._unknown, self._expired = codes
        self._ticks = ticks
        self._issued: dict[str, _Voucher] = {}

    def issue(self, about: str = "") -> str:
        """A new one; what it is about comes back when it is shown."""
        value = self._start + secrets.token_urlsafe(48)
        self._issued[value] = _Voucher(about, self._ticks() + self.life)
        if len(self._issued) > _MOST:
            del self._issued[next(iter(self._issued))]
        return value

    def check(self, value: str) -> str:
        """What it is about. Raises Refusal."""
        return self._good(value).about

    def spend(self, value: str) -> str:
        """The same, once. Raises Refusal."""
        voucher = self._good(value)
        voucher.spent = True
        return voucher.about

    def _good(self, value: str) -> _Voucher:
        voucher = self._issued.get(value)
        if voucher is None or voucher.spent:
            raise Refusal(self._unknown)
        if voucher.dies_at <= self._ticks():
            raise Refusal(self._expired)
        return voucher
