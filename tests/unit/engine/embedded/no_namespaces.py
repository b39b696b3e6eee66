"""Run a Python script as root in a world where no user namespace can be made.

Used as a command: `python no_namespaces.py SCRIPT ARGUMENT...`; exit status 77 if this machine has no such world.
"""

import ctypes
import os
import sys
from pathlib import Path
from typing import NoReturn

CLONE_NEWUSER = 0x10000000
NOT_HERE = 77
ALL_IDS = "0 0 65536"


def main() -> int:
    """Become the script in a user namespace that looks like the outside; give its exit status."""
    entered, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        enter(entered[1], mapped[0])
    os.read(entered[0], 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text(ALL_IDS, encoding="ascii")
    os.write(mapped[1], b".")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def enter(entered: int, mapped: int) -> NoReturn:
    """Enter the namespace, wait for its ids, forbid further ones in it, run the script."""
    if ctypes.CDLL(None).unshare(CLONE_NEWUSER) != 0:
        os._exit(NOT_HERE)
    os.write(entered, b".")
    os.read(mapped, 1)
    try:
        Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
    except OSError:
        os._exit(NOT_HERE)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
