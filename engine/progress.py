"""A progress bar on a terminal, silence elsewhere; shown only for work that lasts."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

SHOW_AFTER_S = 0.2


class Progress:
    """A context manager; `report` is handed to whoever does the work."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self._bars = RichProgress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._began_at_s = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._bars.stop()

    def report(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of `what` are behind us."""
        if not self._shown and time.monotonic() - self._began_at_s > SHOW_AFTER_S:
            self._bars.start()
            self._shown = True
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)
