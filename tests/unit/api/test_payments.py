"""The test door to payments: it passes on what the webhook said."""

from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from api.payments import simulate_outcome
from api.problems import answer_error
from engine.errors import SeatlockError
from engine.orders.gateways.fake import FakeGateway, Simulated
from engine.settings import Settings
from tests.asgi import AsgiClient


def door(webhook_status: int | None) -> AsgiClient:
    """Give a client of the door, before a gateway whose event was answered so."""

    class Answered(FakeGateway):
        async def simulate(self, session_id: str, outcome: str) -> Simulated:
            return Simulated(event_id="evt_1", webhook_status=webhook_status)

    app = Starlette(
        routes=[Route("/simulate/{session}", simulate_outcome, methods=["POST"])],
        exception_handlers={SeatlockError: answer_error},
    )
    app.state.settings = Settings(simulate_payments=True)
    orders = SimpleNamespace(gateway=Answered("http://gateway", "secret"))
    app.state.runtime = SimpleNamespace(pool=None, orders=orders)
    return AsgiClient(app)


@pytest.mark.parametrize("webhook_status", [None, 401, 500, 503])
def test_a_simulated_payment_fails_when_its_webhook_did(webhook_status):
    """Nobody may take a payment for done that the API has not accepted; the gateway will ask again."""
    answer = door(webhook_status).post("/simulate/sess_1", json={"outcome": "success"})
    assert answer.status_code == 503
    problem = answer.json()
    assert (problem["code"], problem["outcome"]) == ("gateway_unavailable", "unknown")
    assert str(webhook_status or "nothing") in problem["detail"]
