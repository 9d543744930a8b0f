"""A value that must never be seen: in a repr, a log, an error or a report."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """Wraps a secret; whoever needs the value says so by `reveal`."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The value itself: only for the request that carries it."""
        return self._value

    def __str__(self) -> str:
        return "***"
