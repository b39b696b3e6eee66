"""Lua lives in lua/, SQL in sql/: neither is written inside Python strings, and no such file is left unused."""

import ast
import re

import pytest

from tests.tidy.tree import PRODUCT, files, name_of, strings, syntax

SQL = re.compile(
    r"^\s*(SELECT\s|WITH\s+\w+\s+AS|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|TRUNCATE|VACUUM|ANALYZE|LISTEN\s|NOTIFY\s"
    r"|CREATE\s+(TABLE|INDEX|UNIQUE|DATABASE|ROLE|SCHEMA|TYPE)|ALTER\s+\w+\s|DROP\s+(TABLE|INDEX|DATABASE|SCHEMA))\b"
    r"|\b(SELECT\s.+\sFROM|INSERT\s+INTO|DELETE\s+FROM|ON\s+CONFLICT|FOR\s+UPDATE|RETURNING\s)\b",
    re.DOTALL,
)
LUA = re.compile(r"redis\.p?call\s*\(|\b(KEYS|ARGV)\s*\[|\blocal\s+\w+\s*=|\bend\s*\)\s*\(\s*\)")

ALLOWED: dict[str, str] = {
    "engine/embedded/postgres.py": "makes the very database that files of statements need",
    "engine/ledger/migrations.py": "keeps the list of the files that were applied",
    "engine/seats/scripts.py": "renders includes into Lua",
}
"""File -> why it may hold a statement of another language."""


def foreign_strings(source: str) -> list[str]:
    """Give the strings of a Python source that look like SQL or Lua."""
    return [f"{line}: {text!r}" for line, text in strings(ast.parse(source)) if SQL.search(text) or LUA.search(text)]


@pytest.mark.parametrize(
    "line",
    [
        'run("SELECT 1")',
        'run("SELECT id\\n FROM seats", seat)',
        'run(f"INSERT INTO {table} VALUES (1)")',
        'run("UPDATE seats SET status = 1")',
        'run("DELETE FROM holds")',
        "run(\"return redis.call('GET', KEYS[1])\")",
        'run("local seat = 1")',
    ],
)
def test_the_rule_sees_a_statement_in_a_string(line):
    """SQL and Lua in a string are found; without this the rule below could pass on anything."""
    assert foreign_strings(line)


def test_the_rule_leaves_prose_alone():
    """Docstrings and messages may speak of statements."""
    assert foreign_strings('"""SELECT is read."""\nprint("seat updated; select another")\n') == []


def test_no_sql_or_lua_inside_python_strings():
    """The product's Python holds no statement of another language, but for the files allowed with a reason."""
    offenders = [
        f"{name_of(path)}:{found}"
        for path in files(*PRODUCT, suffix=".py")
        if name_of(path) not in ALLOWED
        for found in foreign_strings(path.read_text(encoding="utf-8"))
    ]
    assert offenders == []


def test_every_exception_is_still_needed():
    """An allowed file that holds no statement any more must leave the list."""
    stale = [
        name
        for name in ALLOWED
        for path in files(*PRODUCT, suffix=".py")
        if name_of(path) == name and not foreign_strings(path.read_text(encoding="utf-8"))
    ]
    missing = set(ALLOWED) - {name_of(path) for path in files(*PRODUCT, suffix=".py")}
    assert stale == []
    assert missing == set()


def words_of_the_product() -> set[str]:
    """Collect every name, attribute and one-word string that the product's Python uses."""
    words: set[str] = set()
    for path in files(*PRODUCT, suffix=".py"):
        tree = syntax(path)
        words.update(text for _, text in strings(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                words.add(node.attr)
            elif isinstance(node, ast.Name):
                words.add(node.id)
    return words


def test_every_query_is_used():
    """Each statement in sql/ is named by the Python that runs it; migrations are run by their numbers."""
    used = words_of_the_product()
    statements = [path for path in files("sql", suffix=".sql") if path.parent.name not in {"sql", "migrations"}]
    assert statements
    assert [name_of(path) for path in statements if path.stem not in used] == []


def test_every_script_is_used():
    """Each script in lua/ is named by the seat engine."""
    used = words_of_the_product()
    scripts = [path for path in files("lua", suffix=".lua") if path.parent.name == "lua"]
    assert scripts
    assert [name_of(path) for path in scripts if path.stem not in used] == []
