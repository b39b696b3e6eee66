"""As whom a server runs. PostgreSQL refuses root, and refuses a uid that has no name."""

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

from engine.embedded import keeper

PREFERRED_UID = 1000


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom to become before the command starts; both None: stay who we are.

    Attributes:
        map_uid: be this uid in a user namespace; on disk everything stays ours.
        set_uid: really be this uid; its files must belong to it.
    """

    map_uid: int | None = None
    set_uid: int | None = None


@cache
def unprivileged_identity() -> Identity:
    """Choose whom PostgreSQL runs as: ourselves, else a mapped uid, else (root without user namespaces) `nobody`."""
    uid = os.geteuid()
    if uid != 0 and _has_name(uid):
        return Identity()
    named = PREFERRED_UID if _has_name(PREFERRED_UID) else next((one.pw_uid for one in pwd.getpwall() if one.pw_uid), 0)
    if named and _can_map(named):
        return Identity(map_uid=named)
    return Identity(set_uid=pwd.getpwnam("nobody").pw_uid) if uid == 0 else Identity()


def _has_name(uid: int) -> bool:
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _can_map(uid: int) -> bool:
    probe = [sys.executable, "-I", "-S", keeper.__file__, "probe", str(uid)]
    return subprocess.run(probe, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
