"""An embedded PostgreSQL: a unix socket in a closed folder, no TCP, no system user, works as root too."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from engine.embedded.binaries import ServerProgram
from engine.embedded.folders import forget_socket_folder, make_closed_folder, socket_folder
from engine.embedded.identity import unprivileged_identity
from engine.embedded.kept_process import KeptProcess, start_kept, take_lock
from engine.errors import CommandError

USER = "seatlock"
DATABASE = "seatlock"
CREATE_DATABASE = """
SELECT 'CREATE DATABASE seatlock' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'seatlock') \\gexec
"""
START_TIMEOUT_S = 120.0
"""After a crash the write-ahead log is read back first."""
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}


class EmbeddedPostgres:
    """One server in its own folder: `cluster/` is its data, `run/` its socket. `start` and `stop` block."""

    def __init__(self, folder: Path, program: ServerProgram, *, settings: Mapping[str, str] = {}) -> None:
        self.folder = folder
        self.program = program
        self._settings = {**SETTINGS, **settings}
        self._identity = unprivileged_identity()
        self._process: KeptProcess | None = None
        self.socket_folder = Path()

    def url(self, database: str = DATABASE) -> str:
        """A `postgresql://` URL that asyncpg and psql take."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self.socket_folder))}"

    @property
    def process(self) -> KeptProcess:
        """The running server; an assertion before `start`."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def cluster(self) -> Path:
        """The data directory."""
        return self.folder / "cluster"

    def start(self) -> None:
        """Make the cluster if there is none, start the server, wait until it takes connections.

        Raises:
            CommandError: it does not come up; carries its last words.
        """
        self._make_folders()
        if not self.cluster.exists():
            self._init_cluster()
        argv = [str(self.program.path), "-D", str(self.cluster), "-k", str(self.socket_folder)]
        for name, value in self._settings.items():
            argv += ["-c", f"{name}={value}"]
        self._process = self._start(argv)
        pid_file = self.cluster / "postmaster.pid"
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _says_ready(pid_file):
            if self._process.exit_status is not None or time.monotonic() > deadline:
                self._process.stop()
                raise CommandError(f"PostgreSQL did not start: {self._process.last_words()}{self._hint()}")
            time.sleep(0.01)
        self._ensure_database()

    def stop(self) -> None:
        """Stop the server: open transactions are rolled back, everything committed is on disk."""
        self.process.stop()
        forget_socket_folder(self.socket_folder)

    def __enter__(self) -> Self:
        """Start it for the length of a block."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _make_folders(self) -> None:
        uid = self._identity.set_uid
        if uid is None:
            self.folder = make_closed_folder(self.folder)
            self.socket_folder = socket_folder(make_closed_folder(self.folder / "run"))
            return
        # We are root without user namespaces: the server is another user, who must be able to pass our folder.
        self.folder = self.folder.absolute()
        (self.folder / "run").mkdir(parents=True, exist_ok=True)
        for path in (self.folder, self.folder / "run"):
            os.chown(path, uid, uid)
            path.chmod(0o700)
        self.folder.parent.chmod(0o711)
        self.socket_folder = socket_folder(self.folder / "run", mode=0o711)

    def _init_cluster(self) -> None:
        """Make the cluster beside its place and move it there whole, so that a kill leaves none half made."""
        fresh = self.folder / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        program = self.program.path.with_name("initdb")
        options = [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        made = self._start([str(program), "-D", str(fresh), *options])
        if made.wait() != 0:
            raise CommandError(f"PostgreSQL could not make its data folder: {made.last_words()}{self._hint()}")
        fresh.rename(self.cluster)

    def _start(self, argv: list[str]) -> KeptProcess:
        """Run a program of PostgreSQL's as whom it accepts, holding the folder's lock.

        SIGINT ends it fast, SIGQUIT at once (and the next start recovers).
        """
        held = take_lock(self.folder.with_name(f"{self.folder.name}.lock"), "PostgreSQL")
        # We are alone in the folder now, so these were left by a server that was killed. The process number in them
        # may meanwhile be a stranger's, and PostgreSQL would then refuse to start.
        for stale in (self.cluster / "postmaster.pid", self.socket_folder / ".s.PGSQL.5432.lock"):
            stale.unlink(missing_ok=True)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
        return start_kept(
            "PostgreSQL",
            argv,
            log=self.folder.with_name(f"{self.folder.name}.log"),
            held=held,
            stop=("SIGINT", "SIGQUIT"),
            identity=self._identity,
            environ={**environ, "LC_ALL": "C", "TZ": "UTC"},
        )

    def _hint(self) -> str:
        """Give what to try when it may be the other uid that cannot reach a folder."""
        if self._identity.set_uid is None:
            return ""
        return "; run seatlock as an ordinary user, or where user namespaces are allowed"

    def _ensure_database(self) -> None:
        """Create our database in a fresh cluster."""
        psql = [
            str(self.program.path.with_name("psql")),
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            self.url("postgres"),
        ]
        made = subprocess.run(psql, input=CREATE_DATABASE, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise CommandError(f"PostgreSQL could not make the database: {made.stderr.strip()}")


def _says_ready(pid_file: Path) -> bool:
    """Read the status line that the server keeps in its pid file."""
    try:
        lines = pid_file.read_text(encoding="utf-8").split("\n")
    except OSError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"
