"""The data folder: what is private, who uses it, how others find it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from engine.data_folder import find_servers, keep_secret, read_env, write_env, write_private
from engine.embedded.folders import FolderLock, make_closed_folder, socket_folder
from engine.errors import CommandError
from engine.limits import SOCKET_PATH_BYTES_MAX

VARIABLES = {"SEATLOCK_REDIS_URL": "unix:///a b/it's.sock", "SEATLOCK_DATABASE_URL": "postgresql://seatlock@/x?host=/y"}


@pytest.fixture
def running(tmp_path):
    """A folder that looks as if `dev` ran on it."""
    lock = FolderLock(tmp_path)
    write_env(tmp_path, VARIABLES)
    yield tmp_path
    lock.free()


def test_a_private_file_is_private_from_the_first_moment(tmp_path):
    """It is never open to others, and replaces an older one whole."""
    path = tmp_path / "secret"
    path.write_text("old", encoding="utf-8")
    write_private(path, "new")
    assert (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777) == ("new", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_a_secret_is_made_once(tmp_path):
    """It is random, long, and stays."""
    first = keep_secret(tmp_path / "a").read_text(encoding="utf-8")
    assert keep_secret(tmp_path / "a").read_text(encoding="utf-8") == first
    assert keep_secret(tmp_path / "b").read_text(encoding="utf-8") != first
    assert len(first.strip()) == 64


def test_the_servers_of_a_running_dev_are_found(running):
    """What is written is read back, whatever characters it has; a shell reads the same."""
    assert read_env(running) == VARIABLES
    command = (
        f'set -a; . "{running}/env"; exec "{sys.executable}" -c "import os; print(os.environ[\'SEATLOCK_REDIS_URL\'])"'
    )
    shell = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert shell.stdout.strip() == VARIABLES["SEATLOCK_REDIS_URL"]
    settings, environ = find_servers({"SEATLOCK_DATA_DIR": str(running)}, "redis_url", "database_url")
    assert settings.redis_url == environ["SEATLOCK_REDIS_URL"] == VARIABLES["SEATLOCK_REDIS_URL"]


def test_urls_that_are_set_win(running):
    """Whoever names a server means that one, and nothing of `dev` is mixed in."""
    environ = {"SEATLOCK_DATA_DIR": str(running), "SEATLOCK_DATABASE_URL": "postgresql://elsewhere/x"}
    settings, _ = find_servers(environ, "database_url")
    assert (settings.database_url, settings.redis_url) == ("postgresql://elsewhere/x", "")


def test_what_a_killed_dev_left_is_not_believed(tmp_path):
    """Without the lock nobody runs, whatever the file says."""
    write_env(tmp_path, VARIABLES)
    assert read_env(tmp_path) == {}
    with pytest.raises(CommandError, match="SEATLOCK_REDIS_URL not set, and no `seatlock dev` runs on"):
        find_servers({"SEATLOCK_DATA_DIR": str(tmp_path)}, "redis_url")


def test_one_dev_at_a_time(running):
    """The second is told who has it; a freed lock can be taken."""
    with pytest.raises(CommandError, match=r"in use by another seatlock dev \(process \d+\); stop that one"):
        FolderLock(running)


def test_looking_does_not_disturb_a_start(tmp_path):
    """A command that looks whether `dev` runs holds the lock for a moment; a start in that moment waits."""
    look = "import sys; from pathlib import Path; from engine.embedded.folders import is_locked\n"
    look += "while True: is_locked(Path(sys.argv[1]))"
    FolderLock(tmp_path).free()
    looking = subprocess.Popen([sys.executable, "-c", look, str(tmp_path)], cwd=Path(__file__).parents[3])
    try:
        for _ in range(200):
            FolderLock(tmp_path).free()
    finally:
        looking.kill()
        looking.wait()


def test_folders_are_closed(tmp_path):
    """A folder that was open to others is closed before anything is put into it."""
    (tmp_path / "data").mkdir(mode=0o755)
    assert make_closed_folder(tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.fixture
def short_folder():
    """A temporary folder whose path is short whatever pytest's is; removed afterwards."""
    with tempfile.TemporaryDirectory() as path:
        yield path


def test_a_short_path_leads_to_a_deep_folder(tmp_path, short_folder, monkeypatch):
    """The link's own folder is closed; one that somebody else prepared is not used."""
    monkeypatch.setattr("tempfile.tempdir", short_folder)
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 6)
    deep.mkdir(parents=True)
    link = socket_folder(deep)
    assert len(str(link)) < SOCKET_PATH_BYTES_MAX
    assert link.resolve() == deep
    assert link.parent.stat().st_mode & 0o777 == 0o700
    assert socket_folder(deep) == link
    link.parent.chmod(0o777)
    with pytest.raises(CommandError, match="is not a closed folder of ours"):
        socket_folder(deep)


def test_where_no_short_path_is_to_be_had_the_user_is_told(tmp_path, monkeypatch):
    """One line, with the setting that helps."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path.joinpath(*["a-rather-long-name"] * 6)))
    with pytest.raises(CommandError, match="too long for a unix socket; set SEATLOCK_DATA_DIR"):
        socket_folder(tmp_path.joinpath(*["a-rather-long-name"] * 6))
