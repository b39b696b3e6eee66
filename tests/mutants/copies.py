"""Copies of the checkout in which guards are broken one at a time; the checkout itself is never touched."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutants import ROOT, Mutant

TEST_TIMEOUT_S = 180
RUN_TIMEOUT_S = 600
PLUGINS = ("-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", "-p", "xdist.plugin", "-p", "tests.mutants.witness")
"""Only these: to import all that are installed takes longer than most tests here."""
OPTIONS = ("-x", "-q", "--redis", "valkey", "--timeout", str(TEST_TIMEOUT_S), "-p", "no:cacheprovider")
ASSERTIONS = ("AssertionError", "Failed")
"""Errors that mean that a test has noticed something; `Failed` is pytest's own, e.g. of an error that did not come."""
HUNG = "Timeout"
"""How pytest-timeout begins to speak. Whoever waits for ever has noticed nothing."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant. `by` is the test that noticed, or why nothing counts as noticed."""

    mutant: Mutant
    killed: bool
    by: str
    seconds: float


class Copy:
    """One copy of what the checkout holds, in a folder that is not there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._witness = folder.with_name(f"{folder.name}-witness.jsonl")
        command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0"):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        # By its content, not by its time, Python sees that a file was changed and changed back within a second.
        self._python("-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "engine", "api")

    def prove_whole(self, tests: Iterable[str], programs: int) -> None:
        """Run tests where nothing is broken: one that fails anyway would notice every mutant.

        Raises:
            RuntimeError: one fails.
        """
        done, facts = self._pytest(sorted(set(tests)), "-n", str(programs), "--dist", "loadfile")
        if done.returncode != 0:
            raise RuntimeError(f"tests fail without any mutant: {facts}\n{done.stdout[-3000:]}{done.stderr[-1000:]}")

    def try_out(self, mutant: Mutant) -> Verdict:
        """Break one guard, run the tests that must notice, and mend it again."""
        began_s = time.monotonic()
        path = self.folder / mutant.file
        whole = path.read_text(encoding="utf-8")
        try:
            path.write_text(mutant.applied_to(whole), encoding="utf-8")
            killed, by = self._notice(mutant)
        except LookupError as moved:
            killed, by = False, str(moved)
        finally:
            path.write_text(whole, encoding="utf-8")
        return Verdict(mutant, killed, by, time.monotonic() - began_s)

    def _notice(self, mutant: Mutant) -> tuple[bool, str]:
        loads = self._python("-m", "tests.mutants.load_check", mutant.file)
        if loads.returncode != 0:
            return False, f"does not load: {loads.stderr.strip()[-300:]}"
        done, facts = self._pytest(mutant.tests)
        if not facts:
            return False, "SURVIVES" if done.returncode == 0 else f"pytest says {done.returncode}: {done.stdout[-300:]}"
        first = facts[0]
        test = f"{first['test']} ({first['error']})"
        if first["phase"] != "call":
            return False, f"fails in its {first['phase']}, not by itself: {test} {first['text']}"
        if first["error"] == "Failed" and first["text"].startswith(HUNG):
            return False, f"hangs: {test}"
        if first["error"] not in (*ASSERTIONS, *mutant.raises):
            return False, f"not by an assertion: {test} {first['text']}"
        return True, first["test"].rpartition("::")[2]

    def _pytest(
        self, tests: Sequence[str], *options: str
    ) -> tuple[subprocess.CompletedProcess[str], list[dict[str, str]]]:
        self._witness.unlink(missing_ok=True)
        done = self._python("-m", "pytest", *PLUGINS, *OPTIONS, *options, *tests)
        told = self._witness.read_text(encoding="utf-8").splitlines() if self._witness.exists() else []
        return done, [json.loads(line) for line in told]

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")}
        environ |= {
            "PYTHONPATH": str(self.folder),
            "WITNESS": str(self._witness),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        command = [sys.executable, *arguments]
        try:
            return subprocess.run(
                command,
                cwd=self.folder,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=RUN_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, -1, "", f"no end after {RUN_TIMEOUT_S} s")
