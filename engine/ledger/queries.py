"""SQL lives in files: `sql/queries/<name>.sql` holds one statement under a comment that says what it does."""

from functools import cache

from engine.paths import SQL_DIR


@cache
def query(name: str) -> str:
    """Give the text of one statement.

    Args:
        name: the file's name without its ending, e.g. `read_booking`.

    Raises:
        FileNotFoundError: there is no such file; a tidy test compares names in the code with the files.
    """
    return (SQL_DIR / "queries" / f"{name}.sql").read_text(encoding="utf-8")
