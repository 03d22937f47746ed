"""A practice realm of real daemons on this machine: officers, brokers, nodes, all made with the product's own commands.

Used by deploy/try and by the process tests. Python standard library only. Everything lies below one folder; keys of the
practice realm are unlocked with random raw keys kept beside them (mode 0600): fit for practice, for nothing else.
"""
import base64
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time

from ports import free_ports

ARGON_MEMORY = "8MiB"  # a practice realm starts many daemons at once


class RealmError(Exception):
    pass


def wait_until(condition, seconds, what, alive=None):
    """Polls `condition` until it is true; RealmError after `seconds` or when `alive` raises."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if alive:
            alive()
        if time.monotonic() > deadline:
            raise RealmError(f"timed out after {seconds} s: {what}")
        time.sleep(0.02)


def with_secret(secret, run):
    """Calls run(fd) with a descriptor from which `secret` can be read: never argv, never the environment."""
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, secret.encode())
        os.close(write_end)
        return run(read_end)
    finally:
        os.close(read_end)


def command(arguments, **options):
    """Runs a command; its standard output. RealmError with its messages when it fails."""
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise RealmError(f"{' '.join(map(str, arguments))}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """The local API of one node, over its unix socket."""

    def __init__(self, socket_path):
        self.socket_path = socket_path

    def call(self, method, resource, body=None, headers=None, timeout=60):
        """(status, headers, body); JSON is decoded. OSError when the node is not there."""
        connection = UnixHttp(self.socket_path, timeout)
        try:
            headers = dict(headers or {})
            if method == "POST" and "Idempotency-Key" not in headers:
                headers["Idempotency-Key"] = secrets.token_hex(16)
            if isinstance(body, (dict, list)):
                body = json.dumps(body).encode()
                headers.setdefault("Content-Type", "application/json")
            try:
                connection.request(method, resource, body=body, headers=headers)
            except BrokenPipeError:
                pass  # answered before all of the body was sent
            answer = connection.getresponse()
            content = answer.read()
            if content and "json" in (answer.getheader("Content-Type") or ""):
                content = json.loads(content)
            return answer.status, dict(answer.getheaders()), content
        finally:
            connection.close()

    def get(self, resource, **options):
        status, _, body = self.call("GET", resource, **options)
        if status != 200:
            raise RealmError(f"GET {resource}: {status} {body}")
        return body

    def post(self, resource, body=None, **options):
        status, _, answer = self.call("POST", resource, body if body is not None else {}, **options)
        if status >= 300:
            raise RealmError(f"POST {resource}: {status} {answer}")
        return answer

    def upload(self, content, name, piece=8 << 20):
        """Uploads by tus; the upload's id."""
        meta = "filename " + base64.b64encode(name.encode()).decode()
        status, headers, body = self.call("POST", "/v1/uploads", b"", {
            "Tus-Resumable": "1.0.0", "Upload-Length": str(len(content)), "Upload-Metadata": meta})
        if status != 201:
            raise RealmError(f"upload: {status} {body}")
        location = headers["Location"]
        offset = asked = 0
        while offset < len(content):
            status, _, body = self.call("PATCH", location, content[offset:offset + piece], {
                "Tus-Resumable": "1.0.0", "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"})
            if status == 409 and asked < 10:  # as tus has it: ask how far it came, and go on from there
                asked += 1
                status, headers, body = self.call("HEAD", location, headers={"Tus-Resumable": "1.0.0"})
                if status >= 300:
                    raise RealmError(f"upload: {status} {body}")
                offset = int(headers["Upload-Offset"])
                continue
            if status != 204:
                raise RealmError(f"upload: {status} {body}")
            offset += len(content[offset:offset + piece])
        return location.rsplit("/", 1)[1]

    def send(self, to, metadata, files=()):
        """files: (name, bytes); small ones travel inside the request. The answer of POST /v1/documents."""
        listed = []
        for name, content in files:
            if len(content) <= 256 << 10:
                listed.append({"name": name, "content": base64.b64encode(content).decode()})
            else:
                listed.append({"upload": self.upload(content, name), "name": name})
        return self.post("/v1/documents", {"metadata": metadata, "to": to, "files": listed})


class Daemon:
    """One home folder and, when it runs, one process."""

    def __init__(self, realm, program, name, code=None):
        self.realm, self.program, self.name, self.code = realm, program, name, code
        self.home = os.path.join(realm.folder, name)
        self.log_path = os.path.join(realm.folder, name + ".log")
        self.pid_path = os.path.join(realm.folder, name + ".pid")
        self.process = None

    @property
    def key(self):
        path = os.path.join(self.realm.folder, "practice-keys", self.name)
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        with open(path) as file:
            return file.read()

    @property
    def request(self):
        return os.path.join(self.home, "enrol.request")

    def init(self, *arguments):
        return with_secret(self.key, lambda fd: command(
            [self.program, "init", "--dir", self.home, "--raw-key", "--argon-memory", ARGON_MEMORY, "--passphrase-fd", str(fd),
             *arguments], pass_fds=(fd,)))

    def accept(self, approval):
        return with_secret(self.key, lambda fd: command(
            [self.program, "accept", "--dir", self.home, "--approval", approval, "--passphrase-fd", str(fd)], pass_fds=(fd,)))

    def act(self, name, *arguments, home=None):
        """A command of the daemon's program that needs its key (backup, restore, recover); the finished process."""
        return with_secret(self.key, lambda fd: subprocess.run(
            [self.program, name, "--dir", home or self.home, "--passphrase-fd", str(fd), *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=(fd,)))

    def start(self, prefix=(), environment=None):
        self.settle()
        log = open(self.log_path, "ab")
        self.process = with_secret(self.key, lambda fd: subprocess.Popen(
            [*prefix, self.program, "run", "--dir", self.home, "--passphrase-fd", str(fd)], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, pass_fds=(fd,), start_new_session=True, env=environment))
        log.close()
        with open(self.pid_path, "w") as file:
            file.write(str(self.process.pid))
        return self

    def settle(self):
        if self.process and self.process.poll() is None:
            raise RealmError(f"{self.name} runs already")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def check_alive(self):
        if not self.alive():
            with open(self.log_path, errors="replace") as file:
                tail = file.read()[-2000:]
            raise RealmError(f"{self.name} ended with {self.process.returncode if self.process else None}\n{tail}")

    def kill(self):
        """SIGKILL, at whatever instruction it is."""
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self, seconds=20):
        if not self.alive():
            return
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RealmError(f"{self.name} did not stop in {seconds} s")

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()


class Broker(Daemon):
    pass


class Witness(Daemon):
    def status(self):
        """What it last wrote about itself; {} before that."""
        try:
            with open(os.path.join(self.home, "status.json")) as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}


class Node(Daemon):
    @property
    def api(self):
        return Api(os.path.join(self.home, "api.sock"))

    def connected(self):
        """How many brokers it is connected to; -1 when it does not answer."""
        try:
            return sum(1 for broker in self.api.get("/v1/health", timeout=5)["brokers"] if broker["connected"])
        except (OSError, RealmError, http.client.HTTPException, ValueError):
            return -1

    def wait_ready(self, brokers=1, seconds=60):
        wait_until(lambda: self.connected() >= brokers, seconds, f"{self.name} connected to {brokers} brokers", self.check_alive)
        return self


class Realm:
    """officers M of N = 2 of 3. Make it once with `make`, or open a folder made before."""

    def __init__(self, folder, binaries):
        self.folder, self.binaries = os.path.abspath(folder), os.path.abspath(binaries)
        self.brokers, self.nodes, self.witnesses = {}, {}, {}
        self.say = lambda text: None

    def binary(self, name):
        return os.path.join(self.binaries, name)

    # ---- the authority ------------------------------------------------------------------------------------------

    @property
    def passphrase(self):
        path = os.path.join(self.folder, "practice-keys", "officers")
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(16))
        with open(path) as file:
            return file.read()

    def authority(self, *arguments, secret=False):
        """tram-authority on this realm; with `secret` it signs at once with two officers' keys."""
        base = [self.binary("tram-authority"), "--realm", os.path.join(self.folder, "authority"), *arguments]
        if not secret:
            return command(base)
        keys = ",".join(self.officer_key(i) for i in range(3))
        return with_secret(self.passphrase, lambda fd: command([*base, "--sign-with", keys, "--passphrase-fd", str(fd)], pass_fds=(fd,)))

    def officer_key(self, i):
        return os.path.join(self.folder, "officers", f"officer{i}.key")

    def make(self, name, body_floor=None, quorum=2):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(os.path.join(self.folder, "officers"), mode=0o700)

        def keygen(kind, who, path):
            with_secret(self.passphrase, lambda fd: command(
                [self.binary("tram-authority"), "keygen", kind, who, "--out", path, "--passphrase-fd", str(fd),
                 "--argon-memory", ARGON_MEMORY], pass_fds=(fd,)))
        for i in range(3):
            keygen("--officer", f"Officer {i + 1}", self.officer_key(i))
        keygen("--publisher", "publisher", self.publisher_key)
        self.authority("create", "--name", name, "--practice", "--threshold", "2", "--root-threshold", "2", "--officers",
                       ",".join(self.officer_key(i) + ".pub" for i in range(3)), "--publisher-key", self.publisher_key + ".pub",
                       secret=True)
        policy = ["--custody-quorum", str(quorum)] + (["--body-floor", str(body_floor)] if body_floor else [])
        self.authority("propose", "policy", *policy, secret=True)
        return self

    @property
    def publisher_key(self):
        return os.path.join(self.folder, "officers", "publisher.key")

    def short_code(self, text):
        """The code that init printed, as its operator would read it out."""
        for word in text.split():
            if len(word) == 14 and word[4] == word[9] == "-":
                return word
        raise RealmError("no short code in: " + text)

    def add_broker(self, name, domain):
        broker = Broker(self, self.binary("tram-broker"), name)
        control, bulk = free_ports(2)
        said = broker.init("--name", name, "--failure-domain", domain, "--control", f"tcp://127.0.0.1:{control}",
                           "--bulk", f"tcp://127.0.0.1:{bulk}")
        self.authority("approve", broker.request, "--code", self.short_code(said), secret=True)
        self.brokers[name] = broker
        return broker

    def add_witness(self, name, organisation):
        witness = Witness(self, self.binary("tram-witness"), name)
        said = witness.init("--name", name, "--organisation", organisation)
        self.authority("approve", witness.request, "--code", self.short_code(said), secret=True)
        self.witnesses[name] = witness
        return witness

    def add_node(self, name, agency, code, branch="government", level="central", parent=None, province=None):
        """Initialises a node and approves it as a new agency."""
        node = Node(self, self.binary("tram-node"), name, code)
        said = node.init("--name", agency, "--code", code)
        more = (["--parent", parent] if parent else []) + (["--province", province] if province else [])
        self.authority("approve", node.request, "--code", self.short_code(said), "--new", "--as", code, "--name", agency,
                       "--branch", branch, "--level", level, *more, secret=True)
        self.nodes[name] = node
        return node

    def add_agency(self, agency, code, branch="government", level="central", parent=None, province=None):
        """An agency that has no node: a known address."""
        more = (["--parent", parent] if parent else []) + (["--province", province] if province else [])
        self.authority("propose", "agency", "--code", code, "--name", agency, "--branch", branch, "--level", level, *more, secret=True)

    def accept(self, daemon):
        out = os.path.join(self.folder, daemon.name + ".approval")
        self.authority("approval", "--request", daemon.request, "--out", out)
        return daemon.accept(out)

    def accept_all(self):
        for daemon in self.daemons():
            self.accept(daemon)

    def publish(self):
        """Brings the running brokers up to date."""
        return with_secret(self.passphrase, lambda fd: command(
            [self.binary("tram-authority"), "--realm", os.path.join(self.folder, "authority"), "publish", "--key", self.publisher_key,
             "--passphrase-fd", str(fd)], pass_fds=(fd,)))

    def daemons(self):
        return [*self.brokers.values(), *self.witnesses.values(), *self.nodes.values()]

    # ---- running ------------------------------------------------------------------------------------------------

    def start(self):
        for daemon in self.daemons():
            daemon.start()
        for node in self.nodes.values():
            node.wait_ready(len(self.brokers))
        return self

    def stop(self):
        failures = []
        for daemon in reversed(self.daemons()):
            try:
                daemon.stop()
            except RealmError as error:
                failures.append(str(error))
        if failures:
            raise RealmError("\n".join(failures))

    def tram(self, node, *arguments, check=True):
        """The command line of a clerk on this node."""
        base = [self.binary("tram"), "--socket", node.api.socket_path, *arguments]
        if check:
            return command(base)
        return subprocess.run(base, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


LETTER = {"number": "15", "symbol": "VPCP-TH", "type_name": "Công văn", "subject": "Về việc kiểm tra kết nối", "issued": "2026-11-20",
          "place": "Hà Nội", "signer": {"position": "Chánh Văn phòng", "name": "Nguyễn Văn An"}, "pages": 1}


def letter(serial, **fields):
    """Metadata of a valid official letter."""
    return {**LETTER, "number": f"{serial:02d}", **fields}
