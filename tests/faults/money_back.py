"""Money back while everything around it dies: a gateway that fails, doubles and dies, a worker that is killed.

A run sells tickets of several showtimes, lets some customers give tickets back, and then the cinema cancels every
showtime. Meanwhile the gateway refuses refunds and doubles events, and it and the worker are killed with -9. When
all is quiet, `Oracle` compares the ledger with the gateway's own book and with the mails that really arrived, and
`seatlock audit` finds nothing.
"""

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

from engine.limits import REFUND_ATTEMPTS_MAX
from engine.paths import ROOT
from tests.flow.town import environ_of, until
from tests.oracle import read_book
from tests.small_catalogue import SEATS

BUYERS_AT_ONCE = 12
QUIET_TIMEOUT_S = 600
SOONER = f"""
UPDATE refunds SET due_at = now()
WHERE status = 'QUEUED' AND attempts >= {REFUND_ATTEMPTS_MAX} AND due_at > now() + interval '10 s'"""
"""Where nobody knows what came of the last attempt there is one more, in some minutes: it is made now."""
CARD = "4242 4242 4242 4242"


@dataclass
class Run:
    """One run: how much is sold, and what happened.

    Attributes:
        town: a running town whose settings make the gateway fail.
        tickets: about how many to sell.
        seed: of who buys what and when something is killed.
        mails: whether somebody takes them, so that they are waited for.
        killed: how often each part was killed.
    """

    town: object
    tickets: int
    seed: int
    mails: bool = True
    worker_deaths: int = 5
    gateway_deaths: int = 2
    bookings: list = field(default_factory=list)
    killed: Counter = field(default_factory=Counter)

    async def play(self):
        """Sell, give back, cancel, kill, and wait until nothing is due any more."""
        chance = random.Random(self.seed)
        showtimes = [await self.town.open_showtime() for _ in range(-(-self.tickets // len(SEATS)))]
        await self._sell(showtimes, chance)
        await self._give_some_back(chance)
        killer = asyncio.create_task(self._kill(chance))
        try:
            await self._cancel(showtimes)
            await killer
        finally:
            killer.cancel()
        await until(self._quiet, "an end of all that is due", QUIET_TIMEOUT_S)

    async def _sell(self, showtimes, chance):
        gate = asyncio.Semaphore(BUYERS_AT_ONCE)
        wishes = []
        for showtime in showtimes:
            free = list(SEATS)
            while free:
                count = min(chance.randint(1, 4), len(free))
                wishes.append((showtime, [free.pop() for _ in range(count)]))
        chance.shuffle(wishes)
        async with self.town.client() as browser:

            async def buy(number, showtime, seats):
                async with gate, self.town.customer(email=f"buyer{number}@example.org") as buyer:
                    booking = await buyer.check_out(await buyer.claim(showtime, *seats))
                    payment = await _begin_payment(buyer, booking)
                    await browser.post(payment["payment_url"] + "/pay", data={"card": CARD})
                    await buyer.until(booking, "CONFIRMED")
                    self.bookings.append((booking["id"], buyer.client.headers["Authorization"]))

            await asyncio.gather(*(buy(number, *wish) for number, wish in enumerate(wishes)))
        if self.mails:
            # A ticket that is given back before its mail has left is not sent any more.
            await until(self._mailed, "every e-ticket in the mailbox", QUIET_TIMEOUT_S)

    async def _give_some_back(self, chance):
        """One customer in ten gives one ticket or all of them back."""
        for booking, token in self.bookings:
            if chance.random() < 0.1:
                async with self.town.client({"Authorization": token}) as client:
                    tickets = (await client.get(f"/bookings/{booking}/tickets")).json()["items"]
                    some = [ticket["id"] for ticket in tickets][: chance.choice((1, 4))]
                    answer = await client.post(
                        f"/bookings/{booking}/refunds", json={"reason": "cannot come", "tickets": some}
                    )
                    assert answer.status_code == 202, answer.text

    async def _cancel(self, showtimes):
        headers = {"Authorization": f"Bearer {self.town.token(subject=str(self.seed), role='admin')}"}
        async with self.town.client(headers) as admin:
            for showtime in showtimes:
                answer = await admin.post(f"/admin/showtimes/{showtime}/cancel", json={"reason": "projector"})
                assert answer.status_code == 202, answer.text

    async def _kill(self, chance):
        """Kill the parts with -9, each time that a further share of the money has gone back."""
        deaths = [self.town.worker] * self.worker_deaths + [self.town.gateway] * self.gateway_deaths
        chance.shuffle(deaths)
        for number, part in enumerate(deaths):
            share = 0.1 + 0.8 * number / len(deaths)
            await until(
                lambda share=share: self._settled(share), f"{share:.0%} of the refunds settled", QUIET_TIMEOUT_S
            )
            part.stop(signal.SIGKILL)
            self.killed[part.name] += 1
            await asyncio.to_thread(part.start)

    async def _settled(self, share):
        (row,) = await self.town.fetch(
            "SELECT count(*) FILTER (WHERE refunds.status IN ('SETTLED', 'MANUAL')) AS done,"
            " (SELECT count(*) FROM bookings) AS bookings FROM refunds"
        )
        return row["done"] >= share * row["bookings"]

    async def _mailed(self):
        (row,) = await self.town.fetch("SELECT count(*) AS sent FROM notifications WHERE status = 'SENT'")
        return row["sent"] == len(self.bookings)

    async def _quiet(self):
        await self.town.fetch(SOONER)
        (row,) = await self.town.fetch(
            """
            SELECT (SELECT count(*) FROM cancellations WHERE done_at IS NULL) AS cancellations,
                   (SELECT count(*) FROM refunds WHERE due_at IS NOT NULL) AS refunds,
                   (SELECT count(*) FROM tickets WHERE restock_due IS NOT NULL) AS restocks,
                   (SELECT count(*) FROM announcements WHERE spread_at IS NULL) AS announcements,
                   (SELECT count(*) FROM notifications WHERE status = 'QUEUED' AND $1) AS notifications
            """,
            self.mails,
        )
        return not any(row.values())


async def _begin_payment(buyer, booking):
    """Begin a payment, asking again while the gateway does not answer; it is the same session each time."""
    while True:
        answer = await buyer.client.post(f"/bookings/{booking['id']}/payments", json={})
        if answer.status_code in (200, 201):
            return answer.json()
        assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.1)


@dataclass
class Oracle:
    """What must be true when all is quiet, by three witnesses: the ledger, the gateway's book, the mailbox."""

    town: object
    mail_server: object
    figures: dict = field(default_factory=dict)

    async def look(self):
        """Check everything; `figures` then has what was seen."""
        await self._check_money()
        await self._check_manual()
        await self._check_seats()
        await self._check_mails()
        await asyncio.to_thread(self._audit)

    async def _check_money(self):
        book = read_book(self.town.settings.data_dir)
        assert set(book.balances().values()) == {0}
        refunds = await self.town.fetch("SELECT id::text, session_id, status, amount_minor FROM refunds")
        # Exactly the settled refunds have moved money, each once and with its own amount.
        settled = {row["id"]: row["amount_minor"] for row in refunds if row["status"] == "SETTLED"}
        moved = book.refunds()
        odd = [row for row in refunds if moved.get(row["id"]) != settled.get(row["id"])]
        assert (odd, set(moved) - {row["id"] for row in refunds}) == ([], set())
        captured = await self.town.fetch("SELECT session_id, amount_minor FROM captures")
        owed = Counter()
        for row in refunds:
            owed[row["session_id"]] += row["amount_minor"]
        assert {row["session_id"]: row["amount_minor"] for row in captured} == dict(owed)
        accounts = book.sessions()
        manual = sum(row["amount_minor"] for row in refunds if row["status"] == "MANUAL")
        kept = sum(account.paid - account.refunded for account in accounts.values())
        assert kept == manual
        self.figures |= {"captured_minor": sum(row["amount_minor"] for row in captured), "manual_minor": manual}
        self.figures |= {"refunds": len(refunds), "settled": len(settled)}

    async def _check_manual(self):
        rows = await self.town.fetch(
            "SELECT refunds.id, status, array_agg(outcome ORDER BY attempt) AS outcomes,"
            " count(*) FILTER (WHERE outcome = 'UNKNOWN') AS unknown,"
            " count(*) FILTER (WHERE error = 'worker_lost') AS lost"
            " FROM refunds LEFT JOIN refund_attempts ON refund_id = refunds.id GROUP BY refunds.id"
        )
        # Of an attempt without an answer nothing is known, so it may take one more to know.
        failed = {
            row["id"]
            for row in rows
            if "SETTLED" not in row["outcomes"] and len(row["outcomes"]) >= REFUND_ATTEMPTS_MAX
        }
        assert failed == {row["id"] for row in rows if row["status"] == "MANUAL"}
        assert all(len(row["outcomes"]) <= REFUND_ATTEMPTS_MAX + row["unknown"] for row in rows)
        attempts = sum(len(row["outcomes"]) for row in rows)
        self.figures |= {"manual": len(failed), "attempts": attempts, "lost": sum(row["lost"] for row in rows)}

    async def _check_seats(self):
        tickets = await self.town.fetch("SELECT status, count(*) AS count FROM tickets GROUP BY status")
        assert [row["status"] for row in tickets] == ["REFUNDED"]
        for row in await self.town.fetch("SELECT id FROM showtimes WHERE status = 'CANCELLED'"):
            assert set((await self.town.seat_statuses(row["id"])).values()) == {"AVAILABLE"}
        self.figures["tickets"] = tickets[0]["count"]

    async def _check_mails(self):
        """Each customer is told of each thing once, by business id; where somebody takes mails, by Message-ID."""
        rows = await self.town.fetch("SELECT business_id, kind, status FROM notifications")
        kinds = Counter(row["kind"] for row in rows)
        (row,) = await self.town.fetch(
            "SELECT (SELECT count(*) FROM bookings) AS bookings,"
            " (SELECT count(*) FROM refunds WHERE status = 'SETTLED') AS settled"
        )
        assert kinds["ticket"] == row["bookings"]
        assert kinds["refund_done"] == row["settled"]
        assert kinds["refund_manual"] == self.figures["manual"]
        self.figures |= {"bookings": row["bookings"], "mails": dict(kinds)}
        if self.mail_server is not None:
            assert Counter(row["status"] for row in rows) == {"SENT": len(rows)}
            ids = Counter(mail["Message-ID"] for _, mail in self.mail_server.mails)
            assert len(ids) == len(rows), kinds
            self.figures["mails_twice"] = sum(ids.values()) - len(ids)

    def _audit(self):
        argv = [sys.executable, "-m", "engine.cli", "audit"]
        audit = subprocess.run(
            argv, cwd=ROOT, env=environ_of(self.town.settings), capture_output=True, text=True, check=False
        )
        assert audit.returncode == 0, audit.stdout + audit.stderr
        self.figures["audit"] = audit.stdout.splitlines()[-1]


def told(run, oracle) -> str:
    """Give the figures of a run in one line."""
    return json.dumps({"seed": run.seed, "killed": dict(run.killed), **oracle.figures}, sort_keys=True)
