"""Ending endless loops for sure."""

import asyncio


def end_if_cancelled() -> None:
    """Raise CancelledError if the current task was asked to end; for loops that call redis-py.

    Before Python 3.12 `asyncio.wait_for`, which redis-py sends commands through, drops a cancellation that arrives
    together with its result; without this look the loop would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
