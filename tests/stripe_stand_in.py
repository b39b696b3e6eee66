"""What stands in for Stripe: `localstripe` in a process of its own, and the Checkout page, which it lacks.

localstripe is under the GPL: it is started as a program, on loopback and a free port, and nothing of ours imports it.
"""

import asyncio
import json
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import parse_qsl

import httpx

from tests.ports import free_port

KEY = "sk_test_1234567890"
WEBHOOK_SECRET = "whsec_test"
GOOD_CARD, DECLINED_CARD = "4242424242424242", "4000000000000341"

# Its own command listens on all addresses, and keeps what it has in one file for everybody.
PROGRAM = """
import sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda store: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@contextmanager
def localstripe():
    """Run it; gives its address once it answers."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(port)], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            try:
                httpx.get(url + "/v1/balance", headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
                break
            except httpx.TransportError:
                continue
        assert process.poll() is None, "localstripe did not start"
        yield url
    finally:
        process.kill()
        process.wait()


class Checkout(httpx.AsyncBaseTransport):
    """The way to Stripe: plays Checkout Sessions, as Stripe documents them, and passes all else on to localstripe.

    Set `lose` to lose the answer of the next POST after it was carried out.
    """

    def __init__(self, url):
        self.url = url
        self.sessions = {}
        self.by_key = {}
        self.lose = False
        self._onward = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request):
        if request.url.path == "/v1/checkout/sessions":
            return self._open(request)
        answer = await self._onward.handle_async_request(request)
        if self.lose and request.method == "POST":
            self.lose = False
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return answer

    def _open(self, request):
        form, key = dict(parse_qsl(request.content.decode())), request.headers["idempotency-key"]
        first = self.by_key.setdefault(key, form)
        if first != form:
            error = {"type": "idempotency_error", "message": "Keys can only be used with the same parameters."}
            return httpx.Response(400, json={"error": error})
        name = form["payment_intent_data[metadata][seatlock_session]"]
        self.sessions[name] = first
        return httpx.Response(
            200, json={"id": f"cs_{name}", "object": "checkout.session", "url": f"https://pay/{name}"}
        )

    async def aclose(self):
        await self._onward.aclose()

    async def pay(self, session_id, card=GOOD_CARD):
        """Pay as the customer does on the page, with what the session says; a declined card is no error."""
        form = self.sessions[session_id]
        async with httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}) as client:
            fields = {"number": card, "exp_month": 12, "exp_year": 2090, "cvc": "123"}
            drawn = await client.post("/v1/payment_methods", json={"type": "card", "card": fields})
            method = drawn.raise_for_status().json()["id"]
            await client.post(
                "/v1/payment_intents",
                json={
                    "amount": int(form["line_items[0][price_data][unit_amount]"]),
                    "currency": form["line_items[0][price_data][currency]"],
                    "metadata": {"seatlock_session": session_id},
                    "payment_method": method,
                    "confirm": True,
                },
            )

    async def sum_refunds(self, payment):
        """Tell what went back of a payment, by localstripe's own list."""
        async with httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}) as client:
            listed = await client.get("/v1/refunds", params={"payment_intent": payment, "limit": 100})
        return sum(refund["amount"] for refund in listed.json()["data"])


@asynccontextmanager
async def webhook_of(url):
    """Hear localstripe's events; gives the list of (headers, body), and a condition for waiting."""
    heard, arrived = [], asyncio.Condition()

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = httpx.Headers([line.split(": ", 1) for line in head[1:] if line])
        heard.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        async with arrived:
            arrived.notify_all()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with httpx.AsyncClient() as client:
        hook = {"url": f"http://127.0.0.1:{port}/", "secret": WEBHOOK_SECRET}
        (await client.post(f"{url}/_config/webhooks/seatlock", content=json.dumps(hook))).raise_for_status()
    async with server:
        yield heard, arrived
