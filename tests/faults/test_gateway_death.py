"""kill -9 of the fake gateway at any moment: what it had answered stands, and what it owed the webhook still comes."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from engine.errors import Unavailable
from engine.listening import local_url
from engine.orders.gateways.fake import FakeGateway
from engine.orders.gateways.protocol import RefundOrder
from tests.oracle import read_book
from tests.ports import free_port
from tests.till import SECRET, Seller, session, till

PART = 5000000


@contextmanager
def gateway_process(folder):
    """Run the gateway as in production; gives its process and address. Its webhook is never there."""
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")} | {
        "SEATLOCK_DATA_DIR": str(folder),
        "SEATLOCK_WEBHOOK_SECRET": SECRET,
        "SEATLOCK_PUBLIC_URL": "http://127.0.0.1:9",
        "SEATLOCK_GATEWAY_FAULTS": "seed=1,double=0.5,refund_later=0.2",
    }
    command = ["uvicorn", "--factory", "api.fake_gateway.app:create_app_from_env", "--log-level", "critical"]
    process = subprocess.Popen([sys.executable, "-m", *command, "--port", str(port)], env=environ)
    try:
        yield process, local_url("127.0.0.1", port)
    finally:
        process.kill()
        process.wait()


async def answering(url):
    """Wait until it serves."""
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(20):
        while True:
            try:
                await client.get(url + "/health")
            except httpx.HTTPError:
                await asyncio.sleep(0.02)
            else:
                return


async def buy_and_return(gateway, number, promised):
    """Pay for sessions and get a part of the money back, until the gateway is gone; note what was answered."""
    for turn in range(1000):
        name = f"sess_{number}_{turn}"
        order = RefundOrder(
            refund_id=f"refund_{name}", session_id=name, amount_minor=PART, currency="IDR", reason="customer"
        )
        try:
            await gateway.create_session(session(name))
            await gateway.simulate(name, "success")
            promised["paid"].add(name)
            if (await gateway.refund(order)).status == "SETTLED":
                promised["refunded"].add(order.refund_id)
        except Unavailable:
            return


@pytest.mark.parametrize("answers", [2, 9])
async def test_a_killed_gateway_keeps_what_it_promised(tmp_path, answers):
    """Every answered payment and refund is in the book, once; the next process brings every event."""
    promised = {"paid": set(), "refunded": set()}
    with gateway_process(tmp_path) as (process, url):
        gateway = FakeGateway(url, SECRET)
        await answering(url)
        buyers = [asyncio.create_task(buy_and_return(gateway, number, promised)) for number in range(4)]
        async with asyncio.timeout(20):
            while len(promised["refunded"]) < answers:
                await asyncio.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*buyers)
        await gateway.close()
    book = read_book(tmp_path)
    accounts = book.sessions()
    assert set(book.entries().values()) == {0}
    assert promised["paid"] <= set(accounts)
    assert promised["refunded"] <= set(book.refunds())
    assert all(account.refunded in (0, PART) for account in accounts.values())
    seller = Seller()
    async with till(tmp_path, seller) as (_gateway, _browser):
        # Refunds that were pending end meanwhile, and tell of it too.
        while {event["session_id"] for event in seller.events if event["type"] == "payment.success"} != set(accounts):
            await seller.until(len(seller.events) + 1)
