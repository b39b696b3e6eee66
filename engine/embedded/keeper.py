"""Keep one child process, and end it when whoever started us is gone.

Run as a script (`python -I -S keeper.py ORDER`, ORDER is JSON); standard library only, so that it starts in
milliseconds. Our standard input is a pipe that the starter holds open: when it closes, by a stop or because the
starter was killed with -9, the child is told to stop, first gently, then for good. Should this keeper itself be
killed, the kernel sends the child its `death_signal`.

ORDER fields: argv; stop (signal names, tried in turn); grace_s (seconds given to each); death_signal;
map_uid (run in a user namespace where we are this uid, else null); set_uid (become this uid, else null).

Exit status: the child's; 128 + signal if a signal ended it; 71 if it could not be started.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
CANNOT_START = 71


def enter_user_namespace(uid: int) -> None:
    """Become `uid` in a user namespace of our own; on disk everything still belongs to who we were.

    Raises:
        OSError: user namespaces are switched off here.
    """
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are switched off")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {outer_uid} 1"), ("gid_map", f"{uid} {outer_gid} 1")):
        Path("/proc/self", name).write_text(text, encoding="ascii")


def die_with_parent(number: int) -> None:
    """Ask the kernel for a signal when our parent dies. Only after the last change of uid: that clears the wish."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def become(order: dict[str, Any], keeper: int) -> None:
    """Turn this forked process into the ordered command. Never returns."""
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        if order["map_uid"] is not None:
            enter_user_namespace(order["map_uid"])
        if order["set_uid"] is not None:
            os.setgroups([])
            os.setgid(order["set_uid"])
            os.setuid(order["set_uid"])
        die_with_parent(signal.Signals[order["death_signal"]])
        if os.getppid() == keeper:
            os.execv(order["argv"][0], order["argv"])
    except OSError as error:
        os.write(2, f"cannot run {order['argv'][0]} as uid {os.geteuid()}: {error.strerror}\n".encode())
    finally:
        os._exit(CANNOT_START)


def keep(order: dict[str, Any]) -> int:
    """Start the child, wait until it ends or we are told to end it; give the exit status."""
    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    signal.set_wakeup_fd(wake_end)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        become(order, keeper)
    steps = [*order["stop"], "SIGKILL"]
    next_step_at: float | None = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if next_step_at is not None and time.monotonic() >= next_step_at:
            os.kill(child, signal.Signals[steps.pop(0)])
            next_step_at = time.monotonic() + order["grace_s"] if steps else float("inf")
        stopping = next_step_at is not None
        wait_s = None if next_step_at in (None, float("inf")) else max(0.0, next_step_at - time.monotonic())
        ready, _, _ = select.select([wake] if stopping else [wake, 0], [], [], wait_s)
        told = 0 in ready
        if wake in ready:
            told = told or any(number != signal.SIGCHLD for number in os.read(wake, 512))
        if told and not stopping:
            next_step_at = time.monotonic()


def main() -> int:
    """Carry out the order, or with `probe UID` only say by the exit status whether we could become that uid."""
    if sys.argv[1] == "probe":
        try:
            enter_user_namespace(int(sys.argv[2]))
        except OSError:
            return CANNOT_START
        return 0
    return keep(json.loads(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
