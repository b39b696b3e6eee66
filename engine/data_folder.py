"""What `seatlock dev` leaves in its data folder, and how the other commands find it there.

lock                  held while dev runs
env                   how to reach the servers, as shell assignments; only while dev runs
demo-logins.json      the demo accounts
webhook-secret        signs the fake gateway's events
token-secret          signs access tokens
ticket-keys           sign e-tickets
*.log                 one per process
valkey/, postgres/    the data
"""

import os
import secrets
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.embedded.folders import is_locked
from engine.errors import CommandError
from engine.settings import Settings, load_settings

ENV_NAME = "env"
SECRET_BYTES = 32


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read; it appears whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.rename(path)


def make_secret() -> str:
    """Make a random secret."""
    return secrets.token_hex(SECRET_BYTES)


def keep_secret(path: Path, make: Callable[[], str] = make_secret) -> Path:
    """Give the path of a file with a secret, made at the first call."""
    if not path.exists():
        write_private(path, make() + "\n")
    return path


def write_env(folder: Path, variables: Mapping[str, str]) -> None:
    """Tell other commands, and shells by `set -a; . FOLDER/env`, how to reach the servers."""
    write_private(
        folder / ENV_NAME, "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
    )


def read_env(folder: Path) -> dict[str, str]:
    """Read what `write_env` wrote; empty if no dev runs on the folder."""
    if not is_locked(folder):
        return {}
    try:
        text = (folder / ENV_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandError(f"cannot read {error.filename}: {error.strerror}") from None
    return dict(word.split("=", 1) for word in shlex.split(text))


def find_servers(environ: Mapping[str, str], *needed: str) -> tuple[Settings, dict[str, str]]:
    """Read the settings; when no server is set, use those of the `seatlock dev` that runs on the data folder.

    Args:
        environ: the environment.
        needed: fields that the caller cannot do without, e.g. `database_url`.

    Returns:
        The settings, and the whole environment that gives them.

    Raises:
        CommandError: a needed server is neither set nor running.
    """
    settings = load_settings(environ)
    whole = dict(environ)
    if not settings.redis_url and not settings.database_url:
        whole = {**read_env(settings.data_dir), **environ}
        settings = load_settings(whole)
    missing = [f"SEATLOCK_{field.upper()}" for field in needed if not getattr(settings, field)]
    if missing:
        raise CommandError(
            f"{' and '.join(missing)} not set, and no `seatlock dev` runs on {settings.data_dir.absolute()}"
        )
    return settings, whole
