"""The log of all runs, one JSON line each, and the table that is made of it: `python -m tests.faults.harness.table`.

The log is the file named by FAULTS_LOG; without that nothing is written. `make faults` begins a new one, unless it is
given a name: that file is added to.
"""

import json
import os
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from engine.paths import ROOT
from tests.faults.harness.faults import FAULTS, read_catalogue

HEAD = (
    "| fault | runs | held | what must hold | claims | in conflict | confirmed "
    "| claims back, s: median / max | sales back, s | last money settled, s |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def log_path() -> Path | None:
    """Tell where the log is."""
    name = os.environ.get("FAULTS_LOG")
    return ROOT / name if name else None


def write_line(line: dict[str, Any]) -> None:
    """Append a run to the log."""
    path = log_path()
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def read_lines() -> list[dict[str, Any]]:
    """Give all runs of the log."""
    path = log_path()
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def make_table(lines: list[dict[str, Any]]) -> str:
    """Give the table as Markdown, one row for each fault, in the order of the catalogue."""
    runs = defaultdict(list)
    for line in lines:
        runs[line["fault"]].append(line)
    order = [*(name for name in FAULTS if name in runs), *(name for name in runs if name not in FAULTS)]
    rows = [_row(name, runs[name]) for name in order]
    claims, conflicts, confirmed = (_sum(lines, what) for what in ("claims", "conflicts", "confirmed"))
    held = sum(line["held"] for line in lines)
    total = (
        f"{len(order)} faults, {len(lines)} runs, {held} held; {claims} claims, {conflicts} of them in conflict "
        f"({conflicts / max(1, claims):.0%}), {confirmed} sales shown as confirmed"
    )
    failed = [f"- {line['fault']}, seed {line['seed']}: {line['error']}" for line in lines if not line["held"]]
    return "\n".join([HEAD, *rows, "", total, *failed])


def _row(name: str, lines: list[dict[str, Any]]) -> str:
    held = sum(line["held"] for line in lines)
    claims, conflicts = _sum(lines, "claims"), _sum(lines, "conflicts")
    cells = (
        name,
        len(lines),
        held,
        FAULTS[name].holds if name in FAULTS else "",
        claims,
        f"{conflicts / max(1, claims):.0%}",
        _sum(lines, "confirmed"),
        *(_spread(lines, what) for what in ("recovered_claim_s", "recovered_confirm_s", "settled_s")),
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _sum(lines: list[dict[str, Any]], what: str) -> int:
    return sum(line.get(what, 0) for line in lines)


def _spread(lines: list[dict[str, Any]], what: str) -> str:
    values = [line[what] for line in lines if what in line]
    return f"{median(values):.2f} / {max(values):.2f}" if values else ""


if __name__ == "__main__":
    read_catalogue()
    print(make_table(read_lines()))
