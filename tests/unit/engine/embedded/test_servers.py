"""The embedded servers: they start, keep their data, end with us, and recover."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from redis import Redis

from engine.embedded.binaries import find_postgres, find_valkey
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.valkey import EmbeddedValkey
from engine.errors import CommandError
from tests.conftest import run_sql
from tests.processes import processes_naming, wait_until

ROOT = Path(__file__).resolve().parents[4]
HOST = """
    import sys, time
    from pathlib import Path
    from engine.embedded.binaries import find_postgres, find_valkey
    from engine.embedded.postgres import EmbeddedPostgres
    from engine.embedded.valkey import EmbeddedValkey
    folder = Path(sys.argv[1])
    valkey = EmbeddedValkey(folder / "valkey", find_valkey(), appendfsync="always")
    valkey.start()
    postgres = EmbeddedPostgres(folder / "postgres", find_postgres())
    postgres.start()
    print("up", valkey.url, postgres.url(), valkey.process.keeper_pid, postgres.process.keeper_pid, flush=True)
    time.sleep(600)
"""

NOBODY = """
    import os, subprocess, sys
    from pathlib import Path
    from engine.embedded.binaries import find_postgres
    from engine.embedded.folders import make_closed_folder
    from engine.embedded.identity import unprivileged_identity
    from engine.embedded.postgres import EmbeddedPostgres
    folder = make_closed_folder(Path(sys.argv[1]))
    postgres = EmbeddedPostgres(folder / "postgres", find_postgres())
    for _ in range(2):
        postgres.start()
        psql = [postgres.program.path.with_name("psql"), "-XqAt", "-d", postgres.url(), "-c", "SELECT 1"]
        answer = subprocess.run(psql, capture_output=True, text=True).stdout.strip()
        postgres.stop()
    found = postgres.cluster.stat()
    print(unprivileged_identity().set_uid, found.st_uid, oct(found.st_mode), oct(folder.stat().st_mode), answer)
"""


@pytest.fixture
def reachable():
    """A folder that every user can reach; pytest closes its own again whenever another run begins."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o711)
        yield Path(path)


@pytest.fixture
def host(tmp_path):
    """Starts processes that run both servers, in `tmp_path` if not told otherwise; ends them all afterwards."""
    started = []

    def start(*python: str, folder: Path = tmp_path) -> tuple[subprocess.Popen, list[str]]:
        process = subprocess.Popen(
            [*(python or [sys.executable]), "-c", textwrap.dedent(HOST), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        started.append(process)
        words = process.stdout.readline().split()
        assert words[:1] == ["up"], process.stderr.read()
        return process, words[1:]

    yield start
    for process in started:
        process.kill()
        process.communicate()
    assert wait_until(lambda: not processes_naming(str(tmp_path)))


def query(url: str, sql: str) -> str:
    """Run SQL on a URL through psql."""
    psql = find_postgres().path.with_name("psql")
    return subprocess.run([psql, "-XqAt", "-d", url, "-c", sql], capture_output=True, text=True, check=True).stdout


def test_both_servers_listen_on_no_tcp_port(redis_server, postgres):
    """Whoever has no access to the folder has no access to the data."""
    with Redis.from_url(redis_server.url) as client:
        assert client.config_get("port") == {"port": "0"}
    assert run_sql(postgres, "postgres", "SHOW listen_addresses").strip() == ""
    assert redis_server.socket.parent.stat().st_mode & 0o777 == 0o700
    assert postgres.socket_folder.stat().st_mode & 0o777 == 0o700


def test_valkey_never_evicts_and_keeps_a_log(redis_server):
    """A full memory refuses, and a restart loses nothing."""
    with Redis.from_url(redis_server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_postgres_speaks_utf8_and_utc(postgres):
    """Text and times are the same on every machine."""
    assert run_sql(postgres, "postgres", "SHOW server_encoding; SHOW timezone").split() == ["UTF8", "UTC"]


def test_data_survives_a_restart(tmp_path):
    """What was written is there after an orderly stop."""
    valkey = EmbeddedValkey(tmp_path / "valkey", find_valkey())
    postgres = EmbeddedPostgres(tmp_path / "postgres", find_postgres())
    valkey.start()
    postgres.start()
    with Redis.from_url(valkey.url) as client:
        client.set("seat", "C7")
    query(postgres.url(), "CREATE TABLE seats AS SELECT 'C7' AS seat")
    valkey.stop()
    postgres.stop()
    assert processes_naming(str(tmp_path)) == {}

    valkey.start()
    postgres.start()
    with Redis.from_url(valkey.url) as client:
        assert client.get("seat") == b"C7"
    assert query(postgres.url(), "SELECT seat FROM seats") == "C7\n"
    valkey.stop()
    postgres.stop()


def test_nothing_is_left_when_the_host_is_killed(host, tmp_path):
    """After kill -9 of the process that started them, both servers end by themselves, and recover at the next start."""
    process, (redis_url, database_url, *_) = host()
    with Redis.from_url(redis_url) as client:
        client.set("seat", "C7")
    query(database_url, "CREATE TABLE seats AS SELECT 'C7' AS seat")
    process.kill()
    assert wait_until(lambda: not processes_naming(str(tmp_path)))

    _, (redis_url, database_url, *_) = host()
    with Redis.from_url(redis_url) as client:
        assert client.get("seat") == b"C7"
    assert query(database_url, "SELECT seat FROM seats") == "C7\n"


def test_nothing_is_left_when_a_keeper_is_killed(host, tmp_path):
    """The kernel ends a server whose keeper was killed with -9."""
    _, (*_, valkey_keeper, postgres_keeper) = host()
    for keeper in (valkey_keeper, postgres_keeper):
        os.kill(int(keeper), signal.SIGKILL)
    servers = (f"unixsocket:{tmp_path}", f"postgres -D {tmp_path}")
    assert wait_until(lambda: not any(processes_naming(server) for server in servers))


def test_a_start_right_after_a_kill_waits_for_what_is_left(host, tmp_path):
    """The next start may come before the killed one's servers have ended; two never share a folder."""
    first, _ = host()
    first.kill()
    _, (_, database_url, *_) = host()
    assert query(database_url, "SELECT 1") == "1\n"
    assert len(processes_naming(f"postgres -D {tmp_path}")) == 1


def test_stale_files_do_not_stop_postgres(tmp_path):
    """A pid file whose number now belongs to a stranger, and an old socket, are no reason to refuse."""
    postgres = EmbeddedPostgres(tmp_path / "postgres", find_postgres())
    postgres.start()
    postgres.stop()
    stranger = str(os.getppid())
    (postgres.cluster / "postmaster.pid").write_text(
        f"{stranger}\n{postgres.cluster}\n1\n5432\n{tmp_path}\n\n 1 1\nready\n"
    )
    (postgres.socket_folder / ".s.PGSQL.5432.lock").write_text(f"{stranger}\n{postgres.cluster}\n1\n5432\n{tmp_path}\n")
    postgres.start()
    assert query(postgres.url(), "SELECT 1") == "1\n"
    postgres.stop()


def test_a_cluster_that_was_half_made_is_made_anew(tmp_path):
    """A kill in the middle of the first start leaves nothing that the next one trips over."""
    half = tmp_path / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    postgres = EmbeddedPostgres(tmp_path / "postgres", find_postgres())
    postgres.start()
    assert query(postgres.url(), "SELECT 1") == "1\n"
    postgres.stop()


def test_a_deep_folder_works(tmp_path):
    """A path that is longer than a socket's may be is reached through a link in a closed temporary folder."""
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 8)
    valkey = EmbeddedValkey(deep / "valkey", find_valkey())
    postgres = EmbeddedPostgres(deep / "postgres", find_postgres())
    valkey.start()
    postgres.start()
    with Redis.from_url(valkey.url) as client:
        assert client.ping()
    assert query(postgres.url(), "SELECT 1") == "1\n"
    assert valkey.socket.resolve().is_relative_to(deep)
    links = {valkey.socket.parent.parent, postgres.socket_folder.parent}
    assert not any(link.is_relative_to(tmp_path) for link in links)
    valkey.stop()
    postgres.stop()
    assert not any(link.exists() for link in links)


def test_a_server_that_cannot_start_says_why(tmp_path):
    """The last line of the server's log is in the one line that the user sees."""
    postgres = EmbeddedPostgres(tmp_path / "postgres", find_postgres(), settings={"no_such_setting": "1"})
    with pytest.raises(CommandError, match=r"PostgreSQL did not start: .*no_such_setting"):
        postgres.start()


def python_for_nobody() -> list[str]:
    """Give a command line that runs our code as an ordinary user; skips if nobody else can reach our files."""
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    needs = "from engine.embedded.binaries import find_postgres; print(find_postgres())"
    for python in dict.fromkeys((sys.executable, "/usr/bin/python3", "/usr/bin/python3.11")):
        command = [*become, "env", f"PYTHONPATH={os.pathsep.join([str(ROOT), *sys.path])}", python]
        if subprocess.run([*command, "-c", needs], cwd="/", capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("no Python that an ordinary user can run here reaches our files")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_both(host, reachable):
    """No root is needed, and no namespace."""
    os.chown(reachable, 65534, 65534)
    process, (_, database_url, *_) = host(*python_for_nobody(), folder=reachable)
    servers = processes_naming(f"postgres -D {reachable}")
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in servers} == {65534}
    assert query(database_url, "SELECT 1") == "1\n"
    process.kill()
    assert wait_until(lambda: not processes_naming(str(reachable)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
def test_root_without_user_namespaces_runs_postgres_as_nobody(reachable):
    """Where user namespaces are switched off, the server becomes `nobody`, who gets one folder and no other."""
    python_for_nobody()
    script = reachable / "script.py"
    script.write_text(textwrap.dedent(NOBODY), encoding="utf-8")
    command = [sys.executable, Path(__file__).with_name("no_namespaces.py"), script, reachable / "data"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    if done.returncode == 77:
        pytest.skip("no user namespace can be made in which to forbid them")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["65534", "65534", "0o40700", "0o40711", "1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
def test_a_folder_that_nobody_can_reach_is_said_in_one_line(tmp_path):
    """Without user namespaces, a data folder inside a closed one cannot work; the user is told what would."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(NOBODY), encoding="utf-8")
    command = [sys.executable, Path(__file__).with_name("no_namespaces.py"), script, closed / "data"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    if done.returncode == 77:
        pytest.skip("no user namespace can be made in which to forbid them")
    assert done.stderr.strip().endswith("run seatlock as an ordinary user, or where user namespaces are allowed")
