"""Break one guard at a time and let the suite notice: `make mutants`, or `MUTANT=name make mutants` for some of them.

A guard that no test misses is a defect of the tests: the run says which it is, and fails.
"""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.progress import Progress
from tests.mutants.copies import Copy, Verdict
from tests.mutants.mutants import Mutant, read_catalogue

WIDTH = 170
"""Of the table where there is no terminal."""


def chosen(names: str) -> list[Mutant]:
    """Give the mutants of these names, with commas between; all of them for no name.

    Raises:
        SystemExit: there is none of a name.
    """
    catalogue = {mutant.name: mutant for mutant in read_catalogue()}
    asked = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in asked if name not in catalogue]:
        raise SystemExit(f"no mutant is called {', '.join(unknown)}; there are: {', '.join(catalogue)}")
    return [catalogue[name] for name in asked] or list(catalogue.values())


def try_all(mutants: list[Mutant], programs: int) -> list[Verdict]:
    """Try mutants out, so many at once, each program in a copy of its own."""
    verdicts = []
    with (
        tempfile.TemporaryDirectory(prefix="seatlock-mutants-") as folder,
        ThreadPoolExecutor(programs) as pool,
        Progress() as progress,
    ):
        copies: SimpleQueue[Copy] = SimpleQueue()
        progress.report("tests without a mutant", 0, 1)
        first = Copy(Path(folder) / "copy-0")
        first.prove_whole((test for mutant in mutants for test in mutant.tests), programs)
        progress.report("tests without a mutant", 1, 1)
        copies.put(first)
        for number in range(1, programs):
            copies.put(Copy(Path(folder) / f"copy-{number}"))

        def try_one(mutant: Mutant) -> Verdict:
            copy = copies.get()
            try:
                return copy.try_out(mutant)
            finally:
                copies.put(copy)

        progress.report("mutants", 0, len(mutants))
        for done in as_completed([pool.submit(try_one, mutant) for mutant in mutants]):
            verdicts.append(done.result())
            if not sys.stderr.isatty():
                print(line_of(verdicts[-1]), file=sys.stderr, flush=True)
            progress.report("mutants", len(verdicts), len(mutants))
    place = {mutant.name: number for number, mutant in enumerate(mutants)}
    return sorted(verdicts, key=lambda verdict: place[verdict.mutant.name])


def line_of(verdict: Verdict) -> str:
    """Say in one line what became of a mutant, where there is no progress bar."""
    word = "killed" if verdict.killed else "NOT KILLED"
    return f"{verdict.mutant.name}: {word} in {verdict.seconds:.1f} s: {verdict.by}"


def table_of(verdicts: list[Verdict]) -> Table:
    """Draw what became of the mutants."""
    table = Table("mutant", "guard", "killed by", "s")
    for verdict in verdicts:
        by = escape(verdict.by) if verdict.killed else f"[bold red]{escape(verdict.by)}[/]"
        table.add_row(verdict.mutant.name, escape(verdict.mutant.guards), by, f"{verdict.seconds:.1f}")
    return table


def main() -> int:
    """Run, print the table, and give the exit code: 0 only if every mutant was killed."""
    mutants = chosen(os.environ.get("MUTANT", ""))
    verdicts = try_all(mutants, int(os.environ.get("PROGRAMS", "1")))
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table_of(verdicts))
    alive = [verdict.mutant.name for verdict in verdicts if not verdict.killed]
    console.print(f"{len(verdicts) - len(alive)} of {len(verdicts)} mutants killed")
    if alive:
        console.print(f"not killed: {', '.join(alive)}", style="bold red")
    return 1 if alive else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RuntimeError as error:
        sys.exit(str(error))
