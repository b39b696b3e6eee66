"""PostgreSQL as the engine reaches it: a server with the ledger's tables, sessions, advisory locks; a pool of sessions.

The statements are those of `sql/queries/`, each a function of its name over tables in memory, so that the ledger, the
projector and the reader run on it as they are. A session whose process dies is ended and rolled back; a COMMIT may be
done while its answer is lost; sessions of a frozen worker can be ended by another one.
"""

from functools import cache

import asyncpg

from engine.ledger.queries import query
from tests.simulation.world import sql_bookings, sql_facts, sql_refunds
from tests.simulation.world.loop import WORLD
from tests.simulation.world.tables import View, empty_tables, moment_of

LOCK_WAIT_S = 5.0


@cache
def statements():
    """Give what each statement's text does, and its name; True: it is the session's business."""
    found = {}
    for module in (sql_bookings, sql_facts, sql_refunds):
        for name, function in vars(module).items():
            if callable(function) and not name.startswith("_") and function.__module__ == module.__name__:
                try:
                    found[query(name)] = (name, function, function in sql_facts.SESSION)
                except FileNotFoundError:
                    continue
    found[query("read_showtime")] = ("read_showtime", sql_facts.lock_showtime, False)
    return found


class Server:
    """The server.

    Attributes:
        up: it takes connections.
        tables: what was committed.
        advised: partition -> the session that has its advisory lock.
    """

    def __init__(self, world):
        self.world = world
        self.up = True
        self.tables = empty_tables()
        self.advised = {}
        self._sessions = []
        self._writer = None
        self._waiting = []

    def view(self, *, frozen=False):
        """Give a transaction's view, begun now; a frozen one goes on seeing what is committed now."""
        # Rows and tables are replaced and never changed in place, so the list of tables is a snapshot.
        return View(dict(self.tables) if frozen else self.tables, moment_of(self.world.loop.unix_s()))

    def stop(self):
        """Go away: every session is over, what was not committed is gone."""
        self.up = False
        for session in list(self._sessions):
            session.end()

    def connect(self, process, name):
        """Give a new session."""
        if not self.up:
            raise ConnectionRefusedError("the database is down")
        session = Session(self, process, name)
        self._sessions.append(session)
        return session

    def closed(self, session):
        """Forget a session: its transaction is rolled back, its locks are free."""
        if session in self._sessions:
            self._sessions.remove(session)
            for partition in [one for one, of in self.advised.items() if of is session]:
                del self.advised[partition]
            self.leave(session)

    # --- One writer at a time

    def enter(self, session):
        """Give None if the session may write now, else a future of that moment."""
        if self._writer in (None, session):
            self._writer = session
            return None
        future = self.world.loop.create_future()
        self._waiting.append((session, future))
        self.world.loop.call_later(LOCK_WAIT_S, self._give_up, future, context=WORLD)
        return future

    def leave(self, session):
        """Let the next one write."""
        if self._writer is not session:
            return
        self._writer = None
        while self._waiting:
            following, future = self._waiting.pop(0)
            if not future.done() and not following.closed:
                self._writer = following
                future.set_result(None)
                return

    def _give_up(self, future):
        if not future.done():
            future.set_exception(TimeoutError("the statement waited for too long"))

    # --- Sessions and advisory locks

    def session_names(self):
        """Give the names of all sessions."""
        return {session.name for session in self._sessions}

    def end_sessions(self, names):
        """End the sessions of these names; give how many it were."""
        ended = [session for session in self._sessions if session.name in names]
        for session in ended:
            self.world.note("session ended", session.name)
            session.end()
        return len(ended)

    def advise(self, session, partition):
        """Take an advisory lock; whether the session has it now."""
        return self.advised.setdefault(partition, session) is session

    def forget_advice(self, session, partition):
        """Give an advisory lock up."""
        if self.advised.get(partition) is session:
            del self.advised[partition]


class Session:
    """One connection, with the methods of asyncpg that the engine calls."""

    def __init__(self, server, process, name):
        self.server, self.process, self.name = server, process, name
        self.closed = False
        self.view = None
        self.snapshot = False
        self.began_with = None
        process.at_death(self.end)

    async def fetch(self, text, *args):
        return await self._ask(text, args) or []

    async def fetchrow(self, text, *args):
        rows = await self._ask(text, args)
        return rows[0] if rows else None

    async def fetchval(self, text, *args):
        rows = await self._ask(text, args)
        return next(iter(rows[0].values())) if rows else None

    execute = fetch

    async def copy_records_to_table(self, table, *, records, columns):
        await self._run_named(f"copy_{table}", getattr(sql_facts, f"copy_{table}"), (records, columns))

    async def set_type_codec(self, *_, **__):
        """Values need no coding here."""

    def transaction(self, isolation="read_committed"):
        return Transaction(self, snapshot=isolation == "repeatable_read")

    def is_closed(self):
        return self.closed

    def terminate(self):
        self.end()

    def end(self):
        """Roll back and close."""
        if not self.closed:
            self.closed, self.view = True, None
            self.server.closed(self)

    def _ask(self, text, args):
        if text not in statements():
            self.server.world.crashed("statement", f"the simulated ledger does not know:\n{text}")
        name, function, own = statements()[text]
        return self._run_named(name, function, args, own=own)

    def _run_named(self, name, function, args, *, own=False):
        if self.view is not None and self.began_with is None:
            self.began_with = name
        return self.process.io(("postgres", name), lambda: self._run(function, own, args), self.broken)

    def _run(self, function, own, args):
        self.check()
        view = self.server.view()
        if own:
            return self._at_once(view, function, (self, *args))
        if self.view is None:
            # By itself, a statement is a transaction; all that the engine sends so are reads.
            return self._at_once(view, function, args)
        if not self.snapshot:
            waiting = self.server.enter(self)
            if waiting is not None:
                return self._later(waiting, function, args)
        self.view.clock = view.clock
        return function(self.view, *args)

    @staticmethod
    def _at_once(view, function, args):
        rows = function(view, *args)
        view.commit()
        return rows

    def _later(self, waiting, function, args):
        future = self.server.world.loop.create_future()

        def go_on(done):
            if future.done():
                return
            try:
                done.result()
                future.set_result(self._run(function, False, args))
            except Exception as error:  # noqa: BLE001 (it is the server's answer)
                future.set_exception(error)

        waiting.add_done_callback(go_on, context=WORLD)
        return future

    def check(self):
        """Refuse what comes over a connection that has ended."""
        if self.closed or not self.server.up:
            raise ConnectionResetError("the connection to the database is lost")

    def broken(self, _fate):
        """End the connection; the server notices at once."""
        self.end()
        return ConnectionResetError("the connection to the database is lost")


class Transaction:
    """One transaction of a session."""

    def __init__(self, session, *, snapshot):
        self._session, self._snapshot = session, snapshot

    async def start(self):
        session = self._session
        session.check()
        session.began_with = None
        session.view, session.snapshot = session.server.view(frozen=self._snapshot), self._snapshot

    async def commit(self):
        session = self._session
        # Named by its first statement, so that faults can be aimed at it.
        await session.process.io(("postgres", f"COMMIT {session.began_with}"), self._commit, session.broken)

    def _commit(self):
        session = self._session
        session.check()
        view, session.view = session.view, None
        view.commit()
        session.server.leave(session)

    async def rollback(self):
        session = self._session
        session.view = None
        session.server.leave(session)


class Pool:
    """The pool of one process."""

    def __init__(self, server, process, name):
        self._server, self._process, self._name = server, process, name
        self._idle = []

    async def acquire(self, timeout=None):
        while self._idle:
            session = self._idle.pop()
            if not session.closed:
                return session
        return await connect(self._server, self._process, self._name)

    async def release(self, session, timeout=None):
        if not session.closed:
            session.view = None
            self._server.leave(session)
            self._idle.append(session)


async def connect(server, process, name):
    """Open a session."""
    refused = lambda _fate: ConnectionRefusedError("the database does not answer")  # noqa: E731
    return await process.io(("postgres", "CONNECT"), lambda: server.connect(process, name), refused)


class Driver:
    """Stands in for the module `asyncpg` where the reader opens its session."""

    def __init__(self, server, current):
        self._server, self._current = server, current

    async def connect(self, _url, *, server_settings, **_):
        return await connect(self._server, self._current(), server_settings["application_name"])

    def __getattr__(self, name):
        return getattr(asyncpg, name)
