"""The ledger's tables in memory, and how one transaction sees them: its own writes over what was committed.

Transactions that write come one after another (whoever writes first holds off the others until it ends); reads outside
of them see what was committed. What PostgreSQL does when two of them touch the same rows at once is tested on
PostgreSQL itself.
"""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = (
    "showtimes",
    "bookings",
    "booking_seats",
    "payments",
    "payment_events",
    "captures",
    "tickets",
    "refunds",
    "refund_attempts",
    "refund_tickets",
    "cases",
    "facts",
    "fact_heads",
    "rebuilds",
    "workers",
    "cancellations",
    "acts",
    "requests",
    "generations",
    "gateway_cursors",
    "layouts",
)


class Row(dict):
    """A row as asyncpg gives it: read by name, and in the order of its columns."""

    __slots__ = ()

    def __iter__(self):
        return iter(self.values())


class View:
    """What a statement reads and writes.

    Attributes:
        now: when the transaction began.
        clock: when the statement runs.
    """

    __slots__ = ("_base", "_own", "clock", "now")

    def __init__(self, base, at):
        self._base, self._own = base, {}
        self.now = self.clock = at

    def __getattr__(self, name):
        own = self._own.get(name)
        return self._base[name] if own is None else own

    def write(self, name):
        """Give a table to change."""
        own = self._own.get(name)
        if own is None:
            own = self._own[name] = dict(self._base[name])
        return own

    def put(self, name, key, row):
        """Insert or replace a row."""
        self.write(name)[key] = row

    def change(self, name, key, **changes):
        """Change columns of a row; rows are never changed in place."""
        table = self.write(name)
        row = table[key] = Row(table[key], **changes)
        return row

    def commit(self):
        """Let everybody see it."""
        self._base.update(self._own)

    @property
    def written(self):
        """Whether anything was written."""
        return bool(self._own)


def empty_tables():
    """Give a ledger without rows."""
    return {name: {} for name in NAMES}


def moment_of(unix_s):
    """Turn Unix seconds into a time, exact to the microsecond as PostgreSQL is."""
    return EPOCH + timedelta(microseconds=round(unix_s * 1_000_000))


def unix_ms(at):
    """Turn a time into Unix ms, as the ledger's function of that name; None stays."""
    if at is None:
        return None
    return ((at - EPOCH) // timedelta(microseconds=1) + 500) // 1000


def ms(number):
    """Give a time span."""
    return timedelta(milliseconds=number)
