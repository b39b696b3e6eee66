"""A real Redis Cluster and a real Sentinel set on loopback, which a test may break node by node."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from engine.embedded.binaries import ServerProgram
from engine.limits import CLUSTER_SLOTS
from tests.ports import free_port, is_free

NODE_TIMEOUT_MS = 2_000
START_TIMEOUT_S = 30
BUS = 10_000
"""The cluster's own port is this much higher, on every version."""
_DEATH_SIGNAL = 1
_libc = ctypes.CDLL(None)


def _end_with_parent():
    _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL)


def free_ports(count):
    """Give ports that are free, and whose bus ports are."""
    found = []
    while len(found) < count:
        port = free_port()
        if port not in found and is_free(port + BUS):
            found.append(port)
    return found


def wait_for(look, what, timeout_s=START_TIMEOUT_S):
    """Look until something is so; servers tell nobody when they have agreed."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(RedisError, OSError):
            if seen := look():
                return seen
        time.sleep(0.02)
    raise AssertionError(f"never seen: {what}")


class Server:
    """One server process of a cluster or a Sentinel set."""

    def __init__(self, program: ServerProgram, folder: Path, port: int, *options: str, sentinel: bool = False):
        self.port = port
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._program = program
        self._config = folder / "server.conf"
        common = [f"port {port}", "bind 127.0.0.1", f'dir "{folder}"', "daemonize no"]
        self._config.write_text("\n".join([*common, *options, ""]))
        self._sentinel = sentinel
        self.process = None
        self.client = Redis(port=port, socket_timeout=5)

    def start(self):
        """Start it, and wait until it answers."""
        command = [str(self._program.path), str(self._config), *(["--sentinel"] if self._sentinel else [])]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_end_with_parent)  # noqa: PLW1509
        wait_for(self.client.ping, f"an answer of {self.port}")

    def kill(self):
        """End it as a fallen machine does."""
        self.process.kill()
        self.process.wait()

    def freeze(self):
        """Stop it where it stands."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        """Let it go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self):
        """End it for good."""
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()

    @property
    def is_master(self):
        """Whether it takes itself for a master now."""
        return self.client.info("replication")["role"] == "master"


def _data_options():
    return ["appendonly yes", 'save ""', "maxmemory-policy noeviction", "repl-diskless-sync-delay 0"]


class Cluster:
    """Three masters with a replica each, in this order; `nodes[n + 3]` replicates `nodes[n]` at the beginning."""

    def __init__(self, program: ServerProgram, folder: Path, *, replicas: bool = True):
        count = 6 if replicas else 3
        options = ["cluster-enabled yes", f"cluster-node-timeout {NODE_TIMEOUT_MS}", "cluster-config-file nodes.conf"]
        options += ["cluster-replica-validity-factor 0", "cluster-require-full-coverage no"]
        self.nodes = [
            Server(program, folder / f"node-{port}", port, *_data_options(), *options) for port in free_ports(count)
        ]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def start(self):
        """Start the nodes and let them agree."""
        for node in self.nodes:
            node.start()
        self.ids = [node.client.execute_command("CLUSTER", "MYID").decode() for node in self.nodes]
        for index, node in enumerate(self.nodes):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        share = -(-CLUSTER_SLOTS // 3)
        for index, node in enumerate(self.nodes[:3]):
            slots = range(index * share, min((index + 1) * share, CLUSTER_SLOTS))
            node.client.execute_command("CLUSTER", "ADDSLOTS", *slots)
        for node in self.nodes[1:]:
            self.nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        for node in self.nodes:
            wait_for(lambda node=node: self._knows_all(node), "a cluster whose nodes know each other")
        for master, replica in zip(self.ids, self.nodes[3:], strict=False):
            replica.client.execute_command("CLUSTER", "REPLICATE", master)
        self.wait_whole()

    def _knows_all(self, node):
        return len(node.client.execute_command("CLUSTER", "NODES").decode().splitlines()) == len(self.nodes)

    def wait_whole(self):
        """Wait until every slot is served and every replica has all that its master has."""
        for node in self.nodes:
            wait_for(lambda node=node: self._is_well(node), f"{node.port} to be well")

    @staticmethod
    def _is_well(node):
        state = node.client.execute_command("CLUSTER", "INFO").decode()
        replication = node.client.info("replication")
        linked = replication["role"] == "master" or replication["master_link_status"] == "up"
        return "cluster_state:ok" in state and linked

    def heal(self):
        """Bring every node back, each slot to one of the first three places, and forget all data."""
        for node in self.nodes:
            if node.process.poll() is not None:
                node.start()
            node.thaw()
        self.wait_whole()
        for node in self.nodes:
            if node.is_master:
                node.client.flushall()

    def stop(self):
        """End every node."""
        for node in self.nodes:
            node.end()

    def owner(self, slot) -> Server:
        """Give the master that has a slot, as itself says; waits while nobody has it."""
        return wait_for(lambda: self._owner(slot), f"a master of slot {slot}")

    def _owner(self, slot):
        for node in self.nodes:
            if node.process.poll() is None:
                with contextlib.suppress(RedisError, OSError):
                    line = self._own_line(node)
                    if "master" in line and any(self._has(words, slot) for words in line.split()[8:]):
                        return node
        return None

    @staticmethod
    def _own_line(node):
        lines = node.client.execute_command("CLUSTER", "NODES").decode().splitlines()
        return next(line for line in lines if "myself" in line)

    @staticmethod
    def _has(words, slot):
        if words.startswith("["):
            return False
        first, _, last = words.partition("-")
        return int(first) <= slot <= int(last or first)

    def replica_of(self, master: Server) -> Server:
        """Give a replica that follows a master now."""
        return wait_for(lambda: self._replica_of(master), f"a replica of {master.port}")

    def _replica_of(self, master):
        for node in self.nodes:
            if node.process.poll() is None:
                state = node.client.info("replication")
                if state["role"] == "slave" and state["master_port"] == master.port:
                    return node
        return None

    def id_of(self, node: Server) -> str:
        """Give a node's name in the cluster."""
        return self.ids[self.nodes.index(node)]

    def begin_move(self, slot, source: Server, target: Server):
        """Say that a slot is on its way; keys are moved by `move_keys`."""
        target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))

    @staticmethod
    def move_keys(slot, source: Server, target: Server, at_once=10, most=None) -> int:
        """Move keys of a slot, some at a time; give how many it were."""
        moved = 0
        while most is None or moved < most:
            keys = source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, at_once)
            if not keys:
                break
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        return moved

    def end_move(self, slot, target: Server):
        """Say whose the slot is now."""
        for node in (target, *(node for node in self.nodes if node is not target)):
            if node.process.poll() is None and node.is_master:
                node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))

    def move(self, slot, target: Server, at_once=10):
        """Move a slot to another master, as a resharding does."""
        source = self.owner(slot)
        self.begin_move(slot, source, target)
        self.move_keys(slot, source, target, at_once)
        self.end_move(slot, target)


class SentinelSet:
    """A master, a replica and three sentinels that agree by two."""

    NAME = "seats"

    def __init__(self, program: ServerProgram, folder: Path, down_after_ms: int = 1_000):
        ports = free_ports(5)
        self.nodes = [Server(program, folder / f"node-{port}", port, *_data_options()) for port in ports[:2]]
        watch = [
            f"sentinel monitor {self.NAME} 127.0.0.1 {ports[0]} 2",
            f"sentinel down-after-milliseconds {self.NAME} {down_after_ms}",
            f"sentinel failover-timeout {self.NAME} 5000",
        ]
        self.sentinels = [
            Server(program, folder / f"sentinel-{port}", port, *watch, sentinel=True) for port in ports[2:]
        ]
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{self.NAME}"

    def start(self):
        """Start all of them, and wait until they know each other."""
        for node in self.nodes:
            node.start()
        self.nodes[1].client.execute_command("REPLICAOF", "127.0.0.1", self.nodes[0].port)
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            wait_for(lambda one=sentinel: self._is_well(one), "sentinels that know each other")
        wait_for(lambda: self.nodes[1].client.info("replication")["master_link_status"] == "up", "a whole replica")

    def heal(self):
        """Forget all data."""
        self.master().client.flushall()

    def _is_well(self, sentinel):
        state = sentinel.client.sentinel_master(self.NAME)
        return state["num-other-sentinels"] == 2 and state["num-slaves"] == 1

    def stop(self):
        """End all of them."""
        for server in (*self.sentinels, *self.nodes):
            server.end()

    def master(self) -> Server:
        """Give the master that the sentinels name."""
        return wait_for(self._master, "a master")

    def _master(self):
        for sentinel in self.sentinels:
            with contextlib.suppress(RedisError, OSError):
                _, port = sentinel.client.sentinel_get_master_addr_by_name(self.NAME)
                return next((node for node in self.nodes if node.port == port and node.is_master), None)
        return None

    def fail_over(self):
        """Ask for a failover, and wait until another node is the master."""
        before = self.master()
        self.sentinels[0].client.execute_command("SENTINEL FAILOVER", self.NAME)
        wait_for(lambda: self._master() not in (None, before), "another master")


@contextlib.contextmanager
def running(servers) -> Iterator:
    """Start a cluster or a Sentinel set, and end it at the end whatever happens."""
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
