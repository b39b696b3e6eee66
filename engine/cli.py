"""The `seatlock` command: a server starts at once, all else is told from its words by `engine.commands`."""

import sys
from collections.abc import Callable
from functools import partial

from engine.errors import SeatlockError
from engine.failing import FAILED_STATUS, INTERRUPTED_STATUS, fail, words_of
from engine.servers import run_api, run_dev, run_worker

# What tells options apart takes half a second and 15 MB, for as long as a server runs.
SERVERS: dict[tuple[str, ...], Callable[[], None]] = {
    ("api",): run_api,
    ("worker",): run_worker,
    ("dev",): partial(run_dev, with_parent=False),
    ("dev", "--with-parent"): partial(run_dev, with_parent=True),
}


def main() -> None:
    """Run the command line; every expected failure is one line and a status other than 0."""
    words = sys.argv[1:] or ["--help"]
    try:
        server = SERVERS.get(tuple(words))
        if server is not None:
            server()
        else:
            from engine.commands import run

            run(words)
    except SeatlockError as error:
        fail(words_of(error), FAILED_STATUS)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED_STATUS)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), FAILED_STATUS)


if __name__ == "__main__":
    main()
