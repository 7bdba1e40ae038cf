"""Figures for operators, as Prometheus reads them."""

from collections.abc import Iterable

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.dependencies import App, Viewer
from storage.engine import transaction
from storage.waiting import Standing, standing

router = APIRouter(tags=["health"])

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    summary="Figures for operators",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}},
)
def metrics(app: App, caller: Viewer) -> Response:
    """Open invoices by state, and what waits: how much, and how old the oldest of it is."""
    with transaction(app.engine) as connection:
        found = standing(connection)
    registry = CollectorRegistry()
    registry.register(_Figures(found))
    return Response(generate_latest(registry), media_type=_TEXT)


class _Figures(Collector):
    """The figures of one moment."""

    def __init__(self, found: Standing) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        states = GaugeMetricFamily(
            "billwright_open_invoices",
            "Invoices not settled, by collection state.",
            labels=["state"],
        )
        for state, count in self._found.open_invoices.items():
            states.add_metric([state], count)
        waiting = GaugeMetricFamily(
            "billwright_waiting", "Things stored and not dealt with.", labels=["what"]
        )
        oldest = GaugeMetricFamily(
            "billwright_waiting_oldest_seconds",
            "How long the oldest of them has waited; 0 where nothing waits.",
            labels=["what"],
        )
        for kind in self._found.waiting:
            waiting.add_metric([kind.what], kind.count)
            oldest.add_metric([kind.what], kind.oldest_seconds)
        yield from (states, waiting, oldest)
        yield GaugeMetricFamily(
            "billwright_invoices_on_hold",
            "Open invoices whose reminders are on hold.",
            value=self._found.on_hold,
        )
        yield GaugeMetricFamily(
            "billwright_invoices_disputed",
            "Open invoices whose payment is disputed.",
            value=self._found.disputed,
        )
