"""Health and metrics: a second application, for a loopback address."""

from collections.abc import Iterable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from harvester.api.callback.receiver import Receiver


def health_application(receiver: Receiver) -> web.Application:
    """`/healthz`: 200 or 503 with the reasons; `/metrics`: for Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Numbers(receiver))
    ProcessCollector(registry=registry)

    async def healthz(_: web.Request) -> web.Response:
        said = standing(receiver)
        return web.json_response(said, status=503 if said["problems"] else 200)

    async def metrics(_: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=generate_latest(registry), headers=headers)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    return app


def standing(receiver: Receiver) -> dict[str, object]:
    """What `/healthz` says."""
    health = receiver.watch.health()
    age = health.ticket_age_seconds
    return {
        "status": "failing" if health.problems else "ok",
        "problems": list(health.problems),
        "ticket_age_seconds": None if age is None else round(age),
        "vault": health.vault,
        "pushes_waiting": receiver.waiting,
        "exchanges_under_way": receiver.codes.under_way if receiver.codes else 0,
    }


class _Numbers(Collector):
    """Reads the receiver's counts when somebody asks, and keeps none of its own."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def collect(self) -> Iterable[Metric]:
        """Every number at this moment."""
        yield from self._counters()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        counts = self._receiver.counts
        codes = self._receiver.codes
        for name, text, label, counted in (
            ("taken", "Pushes that were taken.", "kind", counts.taken),
            ("refused", "Pushes turned away.", "reason", counts.refused),
            ("not_stored", "Taken, and lost by the vault.", "kind", counts.not_stored),
        ):
            yield _counter(f"harvester_pushes_{name}", text, label, counted)
        if codes is not None:
            text = "Authorisation codes, by what has become of them."
            yield _counter("harvester_codes", text, "outcome", codes.counts)

    def _gauges(self) -> Iterator[Metric]:
        said = standing(self._receiver)
        for key, name, text in (
            ("ticket_age_seconds", "ticket_age_seconds", "Age of the newest ticket."),
            ("pushes_waiting", "pushes_waiting", "Taken and not stored yet."),
            ("exchanges_under_way", "exchanges_under_way", "Codes being exchanged."),
        ):
            value = said[key]
            if isinstance(value, int | float):
                yield GaugeMetricFamily(f"harvester_{name}", text, value=value)
        well = float(said["vault"] == "ok")
        yield GaugeMetricFamily("harvester_vault_up", "1: the vault answers.", well)


def _counter(name: str, text: str, label: str, counted: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counted.items():
        family.add_metric([str(value)], count)
    return family
