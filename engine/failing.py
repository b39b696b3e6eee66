"""How a command of `seatlock` fails: one clear line, and a status."""

import sys
from typing import NoReturn

from engine.errors import CommandError, SeatlockError

USAGE_STATUS = 2
FAILED_STATUS = 1
INTERRUPTED_STATUS = 130


def fail(text: str, status: int) -> NoReturn:
    """End the process."""
    print("seatlock: " + " ".join(text.split()), file=sys.stderr)
    sys.exit(status)


def words_of(error: SeatlockError) -> str:
    """Say what went wrong; a code alone where there is no more to say."""
    text = str(error)
    return text if isinstance(error, CommandError) or text == error.code else f"{error.code}: {text}"
