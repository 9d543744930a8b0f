"""How often an account may call: by day in China and endpoint, and by minute."""

from collections import Counter

from harvester.sandbox.refusals import Refusal


class Quotas:
    """Counts of the current day and the current minute; older ones are forgotten."""

    def __init__(self) -> None:
        self._day = self._minute = 0
        self._of_day: Counter[tuple[str, str]] = Counter()
        self._of_minute: Counter[str] = Counter()

    def spend_minute(self, appid: str, minute: int, limit: int | None) -> None:
        """One more call in this minute. Raises Refusal 45011 above the limit."""
        if minute != self._minute:
            self._minute, self._of_minute = minute, Counter()
        self._of_minute[appid] += 1
        if limit is not None and self._of_minute[appid] > limit:
            raise Refusal(45011)

    def spend_day(self, appid: str, name: str, day: int, limit: int | None) -> None:
        """One more call of this endpoint on this day. Raises Refusal 45009 above the limit."""
        used = self.used(appid, name, day)
        if limit is not None and used >= limit:
            raise Refusal(45009)
        self._of_day[appid, name] = used + 1

    def used(self, appid: str, name: str, day: int) -> int:
        """Calls of the endpoint that were let through on this day."""
        if day != self._day:
            self._day, self._of_day = day, Counter()
        return self._of_day[appid, name]
