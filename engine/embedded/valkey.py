"""An embedded Valkey (or Redis): a unix socket in a closed folder, an append-only file, no TCP."""

import socket
import time
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from engine.embedded.binaries import ServerProgram
from engine.embedded.folders import forget_socket_folder, make_closed_folder, socket_folder
from engine.embedded.kept_process import KeptProcess, start_kept, take_lock
from engine.errors import CommandError

START_TIMEOUT_S = 60.0
"""A long append-only file takes a while to read back."""


class EmbeddedValkey:
    """One server in its own folder. `start` and `stop` block; `url` is valid from `start` on."""

    def __init__(
        self, folder: Path, program: ServerProgram, *, appendfsync: Literal["everysec", "always"] = "everysec"
    ) -> None:
        self.folder = folder
        self.program = program
        self._appendfsync = appendfsync
        self._process: KeptProcess | None = None
        self.socket = Path()

    @property
    def url(self) -> str:
        """A `unix://` URL that redis-py and the lane take."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def process(self) -> KeptProcess:
        """The running server; an assertion before `start`."""
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            CommandError: it does not come up; carries its last words.
        """
        self.folder = make_closed_folder(self.folder)
        self.socket = socket_folder(self.folder) / "valkey.sock"
        config = self.folder / "valkey.conf"
        config.write_text(self._config(), encoding="utf-8")
        held = take_lock(self.folder.with_name(f"{self.folder.name}.lock"), self.program.product)
        self.socket.unlink(missing_ok=True)
        self._process = start_kept(
            self.program.product,
            [str(self.program.path), str(config)],
            log=self.folder.with_name(f"{self.folder.name}.log"),
            held=held,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.exit_status is not None or time.monotonic() > deadline:
                self._process.stop()
                raise CommandError(f"{self.program.product} did not start: {self._process.last_words()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server; what it acknowledged is on disk."""
        self.process.stop()
        forget_socket_folder(self.socket.parent)

    def __enter__(self) -> Self:
        """Start it for the length of a block."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _config(self) -> str:
        return "\n".join(
            (
                "# Written by seatlock at every start; changes here are lost.",
                "port 0",
                f'unixsocket "{self.socket}"',
                "unixsocketperm 700",
                f'dir "{self.folder}"',
                "daemonize no",
                "appendonly yes",
                f"appendfsync {self._appendfsync}",
                'save ""',
                "maxmemory-policy noeviction",
                "loglevel notice",
                "",
            )
        )

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False
