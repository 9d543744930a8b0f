"""The pushes that were taken lately, so that none is taken twice: bounded."""

MOST = 20_000


class Replays:
    """Signatures, each for as long as its push would still be young enough."""

    def __init__(self, seconds: float, most: int = MOST) -> None:
        self._seconds = seconds
        self._most = most
        self._known: dict[bytes, float] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._known)

    def add(self, signature: str, now: float) -> bool:
        """Notes a signature (40 hex digits); False: it is here already."""
        self._drop_old(now)
        name = bytes.fromhex(signature)
        if name in self._known:
            return False
        self._known[name] = now + self._seconds
        return True

    def forget(self, signature: str) -> None:
        """The push was turned away after all, and may come again."""
        self._known.pop(bytes.fromhex(signature), None)

    def _drop_old(self, now: float) -> None:
        while self._known:
            oldest = next(iter(self._known))
            if self._known[oldest] > now and len(self._known) < self._most:
                return
            del self._known[oldest]
