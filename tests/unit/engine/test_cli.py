"""The command line: bad input is one clear line and a status other than 0."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.seats.keys import SHOWTIME_KEYS, showtime_key

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = ("dev", "api", "worker", "migrate", "seed", "users", "users add", "key", "audit", "rebuild", "cancel")
AWAY = {"SEATLOCK_REDIS_URL": "redis://127.0.0.1:1", "SEATLOCK_DATABASE_URL": "postgresql://u@127.0.0.1:1/d"}
"""Servers that nobody runs."""


@pytest.fixture
def seatlock(tmp_path):
    """Runs `seatlock` with some words and variables, in an empty folder."""

    def run(*words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")}
        return subprocess.run(
            [sys.executable, "-m", "engine.cli", *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**environ, "PYTHONPATH": str(ROOT), **variables},
        )

    return run


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(seatlock, command):
    """`--help` says what the command does and ends well; without any word the whole is explained."""
    words = command.split()
    done = seatlock(*words, "--help") if words else seatlock()
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: seatlock")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (["sell"], {}, "No such command 'sell'"),
        (["key"], {}, "Missing argument 'what'"),
        (["key", "0"], {}, "0 is neither a showtime's number nor one of facts, lapses"),
        (["key", "4294967296"], {}, "4294967296 is neither"),
        (["key", "forty-two"], {}, "forty-two is neither"),
        (["key", "42", "owners"], {}, "a showtime has no key owners, but meta, "),
        (["key", "--all"], {}, "No such option: --all"),
        (["seed", "--profile", "world"], {}, "'world' is not one of 'demo', 'onsale'"),
        (["users", "add"], {}, "Missing argument 'email'"),
        (["users", "add", "a@example.test", "--role", "boss"], {}, "'boss' is not one of"),
        (["users", "add", "a@example.test", "--cinema", "1"], {}, "--cinema and --manager are for --role staff"),
        (["users", "add", "a@example.test", "--role", "admin", "--manager"], {}, "are for --role staff"),
        (["migrate"], {}, "SEATLOCK_DATABASE_URL not set, and no `seatlock dev` runs on "),
        (["api"], {}, "SEATLOCK_REDIS_URL and SEATLOCK_DATABASE_URL not set"),
        (["api"], {"SEATLOCK_REDIS_URL": "redis://127.0.0.1:1"}, "SEATLOCK_DATABASE_URL not set"),
        (["api"], AWAY | {"SEATLOCK_PORT": "0"}, "SEATLOCK_TICKET_KEYS is not set"),
        (["worker"], AWAY, "SEATLOCK_TICKET_KEYS is not set"),
        (["worker"], {"SEATLOCK_DATABASE_URL": "postgresql://127.0.0.1:1/d"}, "SEATLOCK_REDIS_URL not set"),
        (["migrate"], {"SEATLOCK_DATABASE_URL": "mysql://x"}, "SEATLOCK_DATABASE_URL must begin with postgresql://"),
        (["migrate"], {"SEATLOCK_DATABASE_URL": "postgresql://u@127.0.0.1:1/d"}, "ledger_unavailable: "),
        (["migrate"], {"SEATLOCK_DATABSE_URL": "x"}, "unknown setting SEATLOCK_DATABSE_URL"),
        (["audit"], {}, "SEATLOCK_REDIS_URL and SEATLOCK_DATABASE_URL not set, and no `seatlock dev` runs on "),
        (["audit", "0"], {}, "Invalid value for 'SHOWTIME'"),
        (["audit", "42"], AWAY, "ledger_unavailable: "),
        (["cancel", "42"], {}, "Missing option '--reason'"),
        (["cancel", "0", "--reason", "Storm"], {}, "Invalid value for 'SHOWTIME'"),
        (["cancel", "42", "--reason", " "], {}, "--reason wants words"),
        (["cancel", "42", "--reason", "x" * 501], {}, "--reason is longer than 500 characters"),
        (["cancel", "42", "--reason", "Storm"], AWAY, "ledger_unavailable: "),
        (["rebuild"], {}, "name showtimes, or give --all"),
        (["rebuild", "42", "--force"], {}, "--force is for showtimes that are named, and wants a --reason"),
        (["dev"], {"SEATLOCK_PORT": "x"}, "SEATLOCK_PORT must be a whole number"),
        (["dev"], {"SEATLOCK_DATA_DIR": "/dev/null/x"}, "cannot write in /dev/null/x: Not a directory"),
        (["dev"], {"SEATLOCK_DATA_DIR": "/proc/x"}, "cannot write in /proc/x: "),
        (["dev"], {"SEATLOCK_DATA_DIR": "/dev/null"}, "/dev/null is a file, where a folder is needed"),
    ],
)
def test_bad_input_is_one_clear_line(seatlock, words, variables, said):
    """One line on standard error, no traceback, and a status that a script sees."""
    done = seatlock(*words, **variables)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("seatlock: ")
    assert said in done.stderr


def test_a_port_in_use_is_said(seatlock, tmp_path):
    """Before anything is started, and with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        dev = seatlock("dev", SEATLOCK_PORT=port)
        urls = {"SEATLOCK_REDIS_URL": "redis://127.0.0.1:1", "SEATLOCK_DATABASE_URL": "postgresql://127.0.0.1:1/d"}
        api = seatlock("api", SEATLOCK_PORT=port, **urls)
    for done in (dev, api):
        assert done.stderr.count("\n") == 1
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use; set SEATLOCK_PORT" in done.stderr
    assert not (tmp_path / ".seatlock" / "postgres").exists()


def test_key_prints_the_keys_of_a_showtime(seatlock):
    """One line per key with its meaning; with a name, that key alone, to be used inside other commands."""
    lines = seatlock("key", "42").stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(SHOWTIME_KEYS)]] == [
        showtime_key(42, name) for name in SHOWTIME_KEYS
    ]
    assert seatlock("key", "42", "meta").stdout == showtime_key(42, "meta") + "\n"
    assert len(set(seatlock("key", "facts").stdout.split())) == 64


def test_key_loads_neither_server_nor_database_code(seatlock):
    """A small question is answered quickly."""
    probe = """if True:
        import sys
        from engine.cli import main
        sys.argv = ["seatlock", "key", "42"]
        try:
            main()
        except SystemExit:
            print(sorted({"asyncpg", "redis", "uvicorn", "starlette", "rich"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


def test_users_add_makes_an_account_of_any_role(seatlock, database_url):
    """With a given password, or with a random one that is printed; twice only with --replace."""
    given = seatlock(
        "users",
        "add",
        "A@example.test",
        "--role",
        "admin",
        "--password-stdin",
        stdin="long enough\n",
        SEATLOCK_DATABASE_URL=database_url,
    )
    assert given.stdout.startswith("admin a@example.test "), given.stderr
    assert "long enough" not in given.stdout
    again = seatlock("users", "add", "a@example.test", SEATLOCK_DATABASE_URL=database_url)
    assert (again.returncode, again.stderr) == (
        1,
        "seatlock: email_taken: An account has this e-mail; --replace changes it.\n",
    )
    replaced = seatlock("users", "add", "a@example.test", "--replace", SEATLOCK_DATABASE_URL=database_url)
    assert " password " in replaced.stdout
    short = seatlock(
        "users", "add", "b@example.test", "--password-stdin", stdin="short\n", SEATLOCK_DATABASE_URL=database_url
    )
    assert short.stderr.count("\n") == 1


def test_migrate_says_what_it_did(seatlock, database_url):
    """A database that is up to date is left as it is."""
    done = seatlock("migrate", SEATLOCK_DATABASE_URL=database_url)
    assert (done.returncode, done.stdout) == (0, "nothing to apply\n")


@pytest.mark.covers("004.39")
def test_seed_loads_the_demo_once(seatlock, database_url):
    """The second run adds nothing."""
    first = seatlock("seed", SEATLOCK_DATABASE_URL=database_url)
    assert first.returncode == 0, first.stderr
    assert "0 cities" not in first.stdout
    assert set(seatlock("seed", SEATLOCK_DATABASE_URL=database_url).stdout.split()) >= {"0"}


def test_an_audit_that_cannot_look_is_told_from_one_that_finds(seatlock, database_url):
    """Redis is away: status 2 and one line; status 1 is for differences alone."""
    done = seatlock("audit", **{**AWAY, "SEATLOCK_DATABASE_URL": database_url})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("seatlock: redis_unavailable: ")
    assert done.stderr.count("\n") == 1
