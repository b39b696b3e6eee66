"""The folders of embedded servers: closed to others, used by one at a time, with short socket paths."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from pathlib import Path

from engine.errors import CommandError
from engine.limits import SOCKET_PATH_BYTES_MAX

LOCK_NAME = "lock"
LOCK_WAIT_S = 0.3
"""Longer than another command's `is_locked` holds the lock to look at it."""
SOCKET_NAME_BYTES_MAX = len("/.s.PGSQL.5432")


def make_closed_folder(path: Path) -> Path:
    """Make a folder that only we can enter; give its absolute path.

    Raises:
        CommandError: it cannot be made or written, or belongs to somebody else.
    """
    path = path.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != os.geteuid():
            raise CommandError(f"{path} belongs to another user; set SEATLOCK_DATA_DIR to a folder of yours")
        path.chmod(0o700)
        with tempfile.TemporaryFile(dir=path):
            pass
    except FileExistsError:
        raise CommandError(f"{path} is a file, where a folder is needed") from None
    except OSError as error:
        raise CommandError(f"cannot write in {path}: {error.strerror}") from None
    return path


class FolderLock:
    """Held while one `seatlock dev` uses a data folder; freed by the kernel however the process ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            CommandError: another process has it; names that process.
        """
        self._file = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LOCK_WAIT_S
        while not self._take():
            if time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            holder = os.read(self._file, 20).decode(errors="replace").strip() or "?"
            os.close(self._file)
            raise CommandError(
                f"{folder} is in use by another seatlock dev (process {holder}); "
                "stop that one, or set SEATLOCK_DATA_DIR to another folder"
            )
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def _take(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def free(self) -> None:
        """Let the next one in."""
        os.close(self._file)


def socket_folder(folder: Path, *, mode: int = 0o700) -> Path:
    """Give a path of `folder` that is short enough for a socket in it: its own, or a link in a closed temp folder.

    Raises:
        CommandError: no short path can be made.
    """
    if _fits(folder):
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    home = Path(tempfile.gettempdir()) / f"seatlock-{os.geteuid()}-{name}"
    link = home / "s"
    if not _fits(link):
        raise CommandError(
            f"the path of {folder} is too long for a unix socket; set SEATLOCK_DATA_DIR to a shorter one"
        )
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        found = home.lstat()
        if found.st_uid != os.geteuid() or home.is_symlink() or found.st_mode & 0o066:
            raise CommandError(
                f"{home} is not a closed folder of ours; remove it, or set SEATLOCK_DATA_DIR to a shorter path"
            )
        home.chmod(mode)
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
    except OSError as error:
        raise CommandError(f"cannot make a short path for the sockets in {home}: {error.strerror}") from None
    return link


def forget_socket_folder(path: Path) -> None:
    """Remove the link that `socket_folder` may have made; the sockets' own folder stays."""
    if path.is_symlink():
        path.unlink()
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) + SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX


def is_locked(folder: Path) -> bool:
    """Tell whether a `seatlock dev` uses the folder now."""
    try:
        file = os.open(folder / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)
