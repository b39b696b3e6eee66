"""docker-compose.yml and Dockerfile agree with the code: where they cannot be run, everything in them is held."""

import importlib
import json
import os
import re
import shlex
import subprocess

import pytest
import yaml

from api.routes import build_routes
from engine.commands import app
from engine.settings import PREFIX, SECRETS, Settings
from tests.tidy.tree import ROOT, pyproject

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service.get("image") == "seatlock"}
APPS = {"gateway": "api/fake_gateway", "mailbox": "api/mail_sink"}
"""Services that uvicorn serves by itself, and where their apps are."""
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
KNOWN = {PREFIX + field.upper() for field in Settings.__struct_fields__} | {
    f"{PREFIX}{field.upper()}_FILE" for field in SECRETS
}
IMAGE_ENV = dict(re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE))))


def environment(service: str) -> dict[str, str]:
    """Give what a service of ours sees: the image's variables under its own."""
    return IMAGE_ENV | SERVICES[service]["environment"]


def commands() -> set[str]:
    """Give the names of the `seatlock` commands."""
    return {command.name or command.callback.__name__ for command in app.registered_commands}


def probed_url(service: str) -> tuple[int, str]:
    """Give the port and path that the health check of a service of ours asks."""
    text = " ".join(SERVICES[service]["healthcheck"]["test"])
    port, path = re.search(r"http://127\.0\.0\.1:(\d+)(/[\w/.-]*)", text).groups()
    return int(port), path


def instructions(word: str) -> list[str]:
    """Give the arguments of every instruction of that name in the Dockerfile."""
    return re.findall(rf"^{word} (.*)$", DOCKERFILE, re.MULTILINE)


def test_the_parts_are_all_there():
    """A whole system: both servers, the migration, the API, the worker, the fake gateway, a mailbox."""
    assert set(SERVICES) == {"valkey", "postgres", "migrate", "api", "worker", "gateway", "mailbox"}
    assert {"migrate", "api", "worker", "gateway", "mailbox"} == OURS


@pytest.mark.parametrize("service", sorted(OURS))
def test_every_variable_is_a_setting(service):
    """What is set for a service of ours is read by it."""
    assert {name for name in environment(service) if name.startswith(PREFIX)} <= KNOWN


def test_every_variable_that_is_asked_of_the_reader_is_named_at_the_top():
    """Whoever starts it is told which variables to set; none has a default that would be a known secret."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{(\w+)([^}]*)\}", text))
    assert {rest for _, rest in asked} == {":?"}
    preface = text.partition("\nname:")[0]
    assert {name for name, _ in asked} == set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", preface))


@pytest.mark.parametrize("service", sorted(OURS - set(APPS)))
def test_every_command_exists(service):
    """A service's command is one of `seatlock`'s, and the image's entry point is `seatlock`."""
    assert set(SERVICES[service]["command"]) <= commands()
    assert [json.loads(line) for line in instructions("ENTRYPOINT")] == [["seatlock"]]
    assert set(json.loads(instructions("CMD")[0])) <= commands()


@pytest.mark.parametrize("service", APPS)
def test_an_app_can_be_imported(service):
    """The entry point of the fake gateway, and of the mailbox, names a factory that is there."""
    words = SERVICES[service]["entrypoint"]
    assert words[:2] == ["uvicorn", "--factory"]
    module, _, factory = words[2].partition(":")
    assert callable(getattr(importlib.import_module(module), factory))


def test_ports_agree():
    """What is published, probed, named in URLs and listened on is one port each."""
    api_port = Settings().port
    ports = {"api": api_port}
    for name in APPS:
        words = SERVICES[name]["entrypoint"]
        ports[name] = int(words[words.index("--port") + 1])
    for name, port in ports.items():
        assert SERVICES[name]["ports"] == [f"{port}:{port}"]
        assert probed_url(name)[0] == port
    assert environment("api")["SEATLOCK_GATEWAY_URL"] == f"http://gateway:{ports['gateway']}"
    assert environment("gateway")["SEATLOCK_PUBLIC_URL"] == f"http://api:{api_port}"
    assert {environment(name)["SEATLOCK_PUBLIC_URL"] for name in ("api", "worker")} == {f"http://localhost:{api_port}"}
    assert instructions("EXPOSE") == [str(api_port)]


def test_health_checks_ask_routes_that_exist():
    """A probe of a path that is gone would keep everything waiting for ever."""
    assert probed_url("api")[1] in {route.path for route in build_routes()}
    for name, folder in APPS.items():
        assert f'Route("{probed_url(name)[1]}"' in (ROOT / folder / "app.py").read_text(encoding="utf-8")


def test_servers_are_found_under_their_names():
    """The URLs name the services, the database and the user that are made."""
    made = SERVICES["postgres"]["environment"]
    url = environment("api")["SEATLOCK_DATABASE_URL"]
    assert url.startswith(f"postgresql://{made['POSTGRES_USER']}:${{POSTGRES_PASSWORD:?}}@postgres:5432/")
    assert url.endswith(f"/{made['POSTGRES_DB']}")
    assert environment("mailbox")["SEATLOCK_SMTP_URL"] == "smtp://mailbox:8025"
    assert environment("worker")["SEATLOCK_REDIS_URL"] == "redis://seatlock:${VALKEY_PASSWORD:?}@valkey:6379/0"


def test_valkey_starts_with_our_users(tmp_path):
    """The shell line that fills the passwords in does so, and leaves the rest of the file alone."""
    valkey = SERVICES["valkey"]
    shell, flag, line, name = valkey["entrypoint"]
    (mounted,) = [mount for mount in valkey["volumes"] if mount.endswith(":ro")]
    source, target, _ = mounted.split(":")
    assert source == "./lua/ops/users.acl"
    line = (
        line.replace("$$", "$").replace(target, str(ROOT / source)).replace("/tmp/users.acl", f"{tmp_path}/users.acl")
    )
    (tmp_path / "docker-entrypoint.sh").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "docker-entrypoint.sh").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **dict.fromkeys(valkey["environment"], "s3cret")}
    said = subprocess.run(
        [shell, flag, line, name, *valkey["command"]], env=environ, capture_output=True, text=True, check=True
    ).stdout
    assert said.split() == [*" ".join(valkey["command"]).split(), "--aclfile", f"{tmp_path}/users.acl"]
    rules = (ROOT / source).read_text(encoding="utf-8")
    made = (tmp_path / "users.acl").read_text(encoding="utf-8")
    assert made.count(">s3cret") == 2
    assert made == rules.replace("APPLICATION_PASSWORD", "s3cret").replace("SRE_PASSWORD", "s3cret")
    assert {valkey["environment"]["APPLICATION_PASSWORD"], valkey["environment"]["SRE_PASSWORD"]} == {
        "${VALKEY_PASSWORD:?}",
        "${SRE_PASSWORD:?}",
    }


def test_valkey_keeps_a_log_and_never_evicts():
    """The engine refuses a server that evicts; a hold survives a restart of the server."""
    words = SERVICES["valkey"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_data_lies_in_named_volumes():
    """What must outlive a container is in a volume that is declared; the gateway's is where its image may write."""
    mounts = {
        name: [mount for mount in service["volumes"] if not mount.startswith("./")]
        for name, service in SERVICES.items()
        if "volumes" in service
    }
    assert {mount.partition(":")[0] for found in mounts.values() for mount in found} == set(COMPOSE["volumes"])
    assert mounts["gateway"] == [f"gateway:{environment('gateway')['SEATLOCK_DATA_DIR']}"]
    assert f"--home-dir {environment('gateway')['SEATLOCK_DATA_DIR']} " in DOCKERFILE


def test_what_is_depended_on_has_a_health_check():
    """Waiting for health needs a check to wait for."""
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name], name


def test_everything_has_time_to_stop():
    """The API may finish its requests, the servers may write to disk."""
    for name in set(SERVICES) - {"migrate"}:
        assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) >= 15, name


def test_the_image_copies_what_is_there_and_not_ignored():
    """Every path that the Dockerfile copies from the tree exists and passes .dockerignore."""
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line.startswith("!")}
    copied = {path for line in instructions("COPY") if "--from" not in line for path in shlex.split(line)[:-1]}
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert copied == kept


def test_the_image_is_installed_from_the_lock():
    """No version is chosen while the image is built."""
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert all("--require-hashes -r requirements.txt" in line or "--no-deps" in line for line in installs)
    assert len(installs) == 2


@pytest.mark.covers("004.41")
def test_the_licence_is_mit():
    """The text is there, and the package says the same."""
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n\nCopyright (c) ")
    assert pyproject()["project"]["license"] == "MIT"
