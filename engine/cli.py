"""The `seatlock` command: what runs for long starts at once, all else is told from its words by `engine.commands`."""

import os
import sys

from engine.errors import SeatlockError
from engine.failing import FAILED_STATUS, INTERRUPTED_STATUS, fail, words_of
from engine.long_running import LONG_RUNNING


def main() -> None:
    """Run the command line; every expected failure is one line and a status other than 0."""
    words = sys.argv[1:] or ["--help"]
    run_for_long = LONG_RUNNING.get(tuple(words))
    try:
        if run_for_long is not None:
            run_for_long()
        else:
            # What tells options apart takes half a second to load, and 15 MB.
            from engine.commands import run

            run(words)
    except SeatlockError as error:
        fail(words_of(error), FAILED_STATUS)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_STATUS)
    except BrokenPipeError:
        # Nobody reads us any more; Python would try once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED_STATUS)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), FAILED_STATUS)


if __name__ == "__main__":
    main()
