"""The same showtime in a real Redis: calls and a look at all its keys, in one round trip."""

import socket
from pathlib import Path
from typing import Any

import hiredis

from engine.paths import LUA_DIR
from engine.seats.keys import partition_key, partition_of, script_keys, showtime_key
from engine.seats.scripts import load_scripts
from tests.conftest import RedisServer
from tests.simulation.model.look import READING, Look, facts_of, look_of_replies
from tests.simulation.model.records import Fact

Command = tuple[Any, ...]


class Real:
    """A connection of its own to a server that is all the test's; it runs the scripts of `lua`."""

    def __init__(self, server: RedisServer, lua: Path = LUA_DIR) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(server.socket))
        self._socket.settimeout(30)
        self._reader = hiredis.Reader()
        self._scripts = load_scripts(server.version, lua)
        self._showtime = 0
        self._last_fact = b"0-0"
        self._heads: dict[str, Command] = {}
        self.ask(*(("SCRIPT", "LOAD", script.source) for script in self._scripts.values()))

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()

    def begin(self, showtime: int) -> int:
        """Forget everything, and look at this showtime from now on. Gives Redis' time in ms."""
        self._showtime, self._last_fact, self._heads = showtime, b"0-0", {}
        (seconds, micros), _ = self.ask(("TIME",), ("FLUSHALL",))
        self._facts_key = partition_key(partition_of(showtime), "facts")
        hint = ("ZSCORE", partition_key(partition_of(showtime), "lapses"), str(showtime))
        reading = [(verb, self.key(name), *rest) for verb, name, *rest in READING]
        self._look = b"".join(hiredis.pack_command(_packable(command)) for command in (*reading, hint))
        self._look_count = len(reading) + 1
        return int(seconds) * 1000 + int(micros) // 1000

    def key(self, name: str) -> str:
        """Give the name of a key of the showtime."""
        return showtime_key(self._showtime, name)

    def script(self, name: str, args: tuple[Any, ...], request_id: str = "") -> Command:
        """Give the command that runs a script."""
        head = self._heads.get(name)
        if request_id or head is None:
            script = self._scripts[name]
            keys = script_keys(script.keys, self._showtime, request_id)
            head = ("EVALSHA", script.sha, len(keys), *keys)
            if not request_id:
                self._heads[name] = head
        return head + args

    def ask(self, *commands: Command) -> list[Any]:
        """Send commands and give their replies; an error is given, not raised."""
        return self._talk(b"".join(hiredis.pack_command(_packable(words)) for words in commands), len(commands))

    def turn(self, *commands: Command) -> tuple[list[Any], Look, list[Fact]]:
        """Send commands; give their replies, how everything stands after them, and the facts told since the last."""
        news = ("XRANGE", self._facts_key, b"(" + self._last_fact, "+")
        sent = [hiredis.pack_command(_packable(words)) for words in (*commands, news)]
        replies = self._talk(b"".join([*sent, self._look]), len(sent) + self._look_count)
        entries, looked = replies[len(commands)], replies[len(commands) + 1 :]
        if entries:
            self._last_fact = entries[-1][0]
        return replies[: len(commands)], look_of_replies(looked[:-1], looked[-1]), facts_of(entries)

    def _talk(self, sent: bytes, count: int) -> list[Any]:
        self._socket.sendall(sent)
        replies: list[Any] = []
        while len(replies) < count:
            reply = self._reader.gets()
            if reply is False:
                received = self._socket.recv(1 << 18)
                assert received, "Redis closed the connection"
                self._reader.feed(received)
            else:
                replies.append(reply)
        return replies


def _packable(words: Command) -> Command:
    return tuple([str(word) if isinstance(word, int) else word for word in words])
