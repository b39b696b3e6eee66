"""Refunds while the gateway fails and dies and the worker is killed: the books balance, and nobody is paid twice.

Longer with `make refunds`: `REFUND_TICKETS` is how many tickets are sold, `REFUND_SEED` names a run to repeat.
"""

import os
import random

import pytest

from tests.faults.money_back import Mailbox, Oracle, Run, told
from tests.flow.town import open_town

pytestmark = pytest.mark.one_redis("what it proves lies in the ledger and at the gateway")

TICKETS = int(os.environ.get("REFUND_TICKETS", "40"))
SEED = int(os.environ.get("REFUND_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
WHOLE = TICKETS >= 1000
FAULTS = f"seed={SEED},refund_fail=0.3,refund_dead=0.005,double=0.1,timeout=0.02,hang_ms=1000"


@pytest.fixture
def mailbox():
    """A real SMTP server."""
    mailbox = Mailbox(SEED, 0.05 if WHOLE else 0)
    mailbox.url = mailbox.start()
    yield mailbox
    mailbox.stop()


@pytest.fixture
def town(mailbox, postgres, migrated_template, tmp_path):
    """A town whose gateway goes wrong by seed, and whose mails arrive."""
    settings = {
        "gateway_faults": FAULTS,
        "refund_retry_min_ms": 50,
        "smtp_url": mailbox.url,
        "admin_emails": "admin@example.org",
    }
    with open_town(tmp_path, "valkey", postgres, migrated_template, **settings) as town:
        yield town


@pytest.mark.timeout(3600 if WHOLE else 240)
@pytest.mark.covers("000.7", "000.19", "000.20", "000.21", "001.21", "001.35", "001.36", "001.37", "001.38")
async def test_everybody_gets_their_money_once_and_is_told_once(town, mailbox):
    """Whatever dies meanwhile: captured = settled + MANUAL, MANUAL is what failed five times, one mail of each kind."""
    deaths = {} if WHOLE else {"worker_deaths": 1, "gateway_deaths": 1}
    run, oracle = Run(town, TICKETS, SEED, **deaths), Oracle(town, mailbox)
    print(f"\nREFUND_SEED={SEED} REFUND_TICKETS={TICKETS}")
    await run.play()
    await oracle.look()
    print(told(run, oracle))
    assert run.killed == {"worker": run.worker_deaths, "gateway": run.gateway_deaths}
