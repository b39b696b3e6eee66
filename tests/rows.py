"""Which test proves which row of the source documents: `python -m tests.rows` lists them all (`make rows`)."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROWS_FILE = TESTS / "source_rows.toml"
STATES = ("claimed", "replaced", "decided", "later")
DEAD_MARKS = ("skip", "xfail")
"""A test that never runs, or that may fail, proves nothing. `skipif` is alive somewhere."""


@dataclass(frozen=True)
class Row:
    """One row: what a document says, and where it stands."""

    id: str
    says: str
    state: str
    why: str = ""


@dataclass(frozen=True)
class Proof:
    """One test that covers rows. `alive` says whether it runs and must pass."""

    test: str
    rows: tuple[str, ...]
    alive: bool


def read_rows(path: Path = ROWS_FILE) -> dict[str, Row]:
    """Read the rows by id.

    Raises:
        ValueError: an id stands twice.
    """
    rows = [Row(**row) for row in tomllib.loads(path.read_text(encoding="utf-8"))["rows"]]
    found = {row.id: row for row in rows}
    if len(found) != len(rows):
        raise ValueError("a row stands twice")
    return found


def marks(nodes: list[ast.expr]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give the name and the texts of every `pytest.mark.NAME` in some expressions, deep ones too."""
    called = {id(node.func): node for root in nodes for node in ast.walk(root) if isinstance(node, ast.Call)}
    for root in nodes:
        for node in ast.walk(root):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pytest.mark":
                arguments = called[id(node)].args if id(node) in called else []
                yield node.attr, tuple(one.value for one in arguments if isinstance(one, ast.Constant))


def proofs_in(tree: ast.Module, name: str) -> list[Proof]:
    """Give every test of a module that covers a row, by its own marks, its class's or its module's."""
    found: list[Proof] = []

    def visit(body: list[ast.stmt], prefix: str, inherited: list[tuple[str, tuple[str, ...]]]) -> None:
        own = [
            mark
            for node in body
            if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node.targets[0])
            for mark in marks([node.value])
        ]
        for node in body:
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}::{node.name}", [*inherited, *own, *marks(node.decorator_list)])
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                every = [*inherited, *own, *marks(node.decorator_list)]
                rows = tuple(row for mark, texts in every if mark == "covers" for row in texts)
                if rows:
                    alive = not any(mark in DEAD_MARKS for mark, _ in every)
                    found.append(Proof(f"{prefix}::{node.name}", rows, alive))

    visit(tree.body, name, [])
    return found


def collect_proofs(folder: Path = TESTS) -> list[Proof]:
    """Give every test under a folder that covers a row."""
    return [
        proof
        for path in sorted(folder.rglob("test_*.py"))
        for proof in proofs_in(ast.parse(path.read_text(encoding="utf-8")), path.relative_to(folder.parent).as_posix())
    ]


def proofs_by_row(proofs: list[Proof]) -> dict[str, list[str]]:
    """Give the living tests of each row."""
    found: dict[str, list[str]] = {}
    for proof in proofs:
        for row in proof.rows if proof.alive else ():
            found.setdefault(row, []).append(proof.test)
    return found


def problems(rows: dict[str, Row], proofs: list[Proof]) -> list[str]:
    """Say what is wrong: unknown rows, claims without a living test, states without a reason."""
    proved = proofs_by_row(proofs)
    wrong = [f"{proof.test} covers unknown row {row}" for proof in proofs for row in proof.rows if row not in rows]
    for row in rows.values():
        if row.state not in STATES:
            wrong.append(f"{row.id} has the unknown state {row.state}")
        elif row.state == "claimed" and row.id not in proved:
            wrong.append(f"{row.id} is claimed and no living test covers it: {row.says}")
        elif row.state != "claimed" and not row.why:
            wrong.append(f"{row.id} is {row.state} and does not say why")
    return wrong


def main() -> int:
    """Print every row with its tests or its reason; the exit status is 1 if a claim has no test."""
    rows, proofs = read_rows(), collect_proofs()
    proved = proofs_by_row(proofs)
    for row in rows.values():
        print(f"{row.id:<7} {row.state:<9} {row.says}")
        if row.why:
            print(f"{'':17} {row.why}")
        for test in proved.get(row.id, []):
            print(f"{'':17} {test}")
    counts = ", ".join(f"{sum(row.state == state for row in rows.values())} {state}" for state in STATES)
    print(f"{len(rows)} rows: {counts}; {len(proofs)} tests cover rows")
    wrong = problems(rows, proofs)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
