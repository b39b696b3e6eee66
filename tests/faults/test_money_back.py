"""Refunds while the gateway fails and dies and the worker is killed: the books balance, and nobody is paid twice.

Longer with `make refunds`: `REFUND_TICKETS` is how many tickets are sold, `REFUND_SEED` names a run to repeat.
"""

import os
import random

import pytest

from tests.faults.money_back import Oracle, Run, told
from tests.flow.town import open_town
from tests.mailroom import mail_server

pytestmark = pytest.mark.one_redis("what it proves lies in the ledger and at the gateway")

TICKETS = int(os.environ.get("REFUND_TICKETS", "40"))
SEED = int(os.environ.get("REFUND_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
WHOLE = TICKETS >= 1000
FAULTS = f"seed={SEED},refund_fail=0.3,refund_dead=0.005,double=0.1,timeout=0.02,hang_ms=1000"


@pytest.fixture
async def mails():
    """A real mail server that turns a few mails away at first; none in the short run, where nobody waits for mails."""
    if not WHOLE:
        yield None
        return
    async with mail_server() as server:
        server.replies = random.Random(SEED).choices(["250 taken", "451 later"], [95, 5], k=TICKETS)
        yield server


@pytest.fixture
async def town(mails, postgres, migrated_template, tmp_path):
    """A town whose gateway goes wrong by seed."""
    settings = {"gateway_faults": FAULTS, "refund_retry_min_ms": 50, "admin_emails": "admin@example.org"}
    settings["smtp_url"] = mails.url if mails else ""
    with open_town(tmp_path, "valkey", postgres, migrated_template, **settings) as town:
        yield town


@pytest.mark.timeout(3600 if WHOLE else 240)
@pytest.mark.covers("000.7", "000.19", "000.20", "000.21", "001.21", "001.35", "001.36", "001.37", "001.38")
async def test_everybody_gets_their_money_once_and_is_told_once(town, mails):
    """Whatever dies meanwhile: captured = settled + MANUAL, MANUAL is what failed five times, one mail of each kind."""
    deaths = {} if WHOLE else {"worker_deaths": 1, "gateway_deaths": 1}
    run, oracle = Run(town, TICKETS, SEED, mails=mails is not None, **deaths), Oracle(town, mails)
    print(f"\nREFUND_SEED={SEED} REFUND_TICKETS={TICKETS}")
    await run.play()
    await oracle.look()
    print(told(run, oracle))
    assert run.killed == {"worker": run.worker_deaths, "gateway": run.gateway_deaths}
