"""A realm of real daemons on this machine: three brokers, some nodes, and agencies without a process of their own.
The daemons make their keys and requests with their own commands; bench_realm stands for the authority."""
import http.client
import json
import os
import secrets
import shutil
import socket

from processes import BenchError, Process, free_ports, run, wait_until


class UnixHttp(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def get_json(path, resource, timeout=60):
    connection = UnixHttp(path, timeout)
    try:
        connection.request("GET", resource)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise BenchError(f"GET {resource}: {response.status} {body[:300]!r}")
        return json.loads(body)
    finally:
        connection.close()


class Daemon:
    """One home directory with its raw key, which reaches the process through a pipe and nothing else."""

    def __init__(self, program, home, log):
        self.program, self.home, self.log = program, home, log
        self.key = secrets.token_hex(32)
        self.process = None
        self.settings = {}

    def _with_key(self, start):
        read_end, write_end = os.pipe()
        os.write(write_end, self.key.encode())
        os.close(write_end)
        try:
            return start(read_end)
        finally:
            os.close(read_end)

    def init(self, *arguments):
        self._with_key(lambda fd: run([self.program, "init", "--dir", self.home, "--raw-key", "--passphrase-fd", str(fd), *arguments],
                                      pass_fds=(fd,)))

    def accept(self, approval):
        self._with_key(lambda fd: run([self.program, "accept", "--dir", self.home, "--approval", approval, "--passphrase-fd", str(fd)],
                                      pass_fds=(fd,)))

    def start(self, group):
        self.process = self._with_key(lambda fd: group.start([self.program, "run", "--dir", self.home, "--passphrase-fd", str(fd)],
                                                             self.log, pass_fds=(fd,)))
        return self.process

    @property
    def request(self):
        return os.path.join(self.home, "enrol.request")


class Node(Daemon):
    def __init__(self, program, home, log, code):
        super().__init__(program, home, log)
        self.code = code

    @property
    def api(self):
        return os.path.join(self.home, "api.sock")

    def ready(self, brokers=3):
        """The API answers and this many brokers are connected."""
        self.process.check_alive()
        try:
            health = get_json(self.api, "/v1/health", timeout=5)
        except (OSError, BenchError):
            return False
        return sum(1 for broker in health["brokers"] if broker["connected"]) >= brokers


class Realm:
    def __init__(self, group, binaries, directory, nodes=2, silent=0, floor=1024, brokers=3):
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory, mode=0o700)
        self.group, self.binaries, self.directory = group, binaries, directory
        ports = free_ports(2 * brokers)
        self.brokers, self.nodes = [], []
        for i in range(brokers):
            home = os.path.join(directory, f"b{i}")
            broker = Daemon(self.binary("tram-broker"), home, os.path.join(directory, f"b{i}.log"))
            broker.init("--name", f"Broker {i}", "--failure-domain", f"domain-{i}", "--control", f"tcp://127.0.0.1:{ports[2 * i]}",
                        "--bulk", f"tcp://127.0.0.1:{ports[2 * i + 1]}")
            self.brokers.append(broker)
        for i in range(nodes):
            node = Node(self.binary("tram-node"), os.path.join(directory, f"n{i}"), os.path.join(directory, f"n{i}.log"), f"N{i}")
            node.init("--name", f"Node {i}", "--code", node.code)
            self.nodes.append(node)
        daemons = self.brokers + self.nodes
        requests = [argument for daemon in daemons for argument in ("--request", daemon.request)]
        self.made = json.loads(run([self.binary("bench_realm"), "--phase", "make", "--out", directory, "--silent", str(silent),
                                    "--floor", str(floor), *requests]))
        for i, daemon in enumerate(daemons):
            daemon.accept(os.path.join(directory, f"{i}.approval"))
        self.agencies = os.path.join(directory, "agencies")

    def binary(self, name):
        return os.path.join(self.binaries, name)

    def broker_argument(self, i):
        enrolled = self.made["enrolled"][i]
        return f"{enrolled['control_endpoint']},{enrolled['curve']}"

    def broker_sig(self, i):
        return self.made["enrolled"][i]["sig"]

    def start_brokers(self, only=None):
        for i, broker in enumerate(self.brokers):
            if only is None or i in only:
                broker.start(self.group)

    def start_nodes(self, nodes=None, seconds=60):
        nodes = self.nodes if nodes is None else nodes
        for node in nodes:
            node.start(self.group)
        for node in nodes:
            wait_until(lambda: node.ready(len(self.brokers)), seconds, f"node {node.code}")

    def publish(self):
        """The silent agencies' KX keys at every broker."""
        return run([self.binary("bench_realm"), "--phase", "publish", "--agencies", self.agencies, "--realm", self.made["realm"],
                    *[argument for i in range(len(self.brokers)) for argument in ("--broker", self.broker_argument(i))]])

    def daemons(self):
        return [d for d in self.brokers + self.nodes if d.process is not None]

    def complaints(self):
        """Lines of level error in the daemons' logs."""
        out = []
        for daemon in self.daemons():
            with open(daemon.log, errors="replace") as f:
                out += [line.rstrip() for line in f if " error " in line]
        return out
