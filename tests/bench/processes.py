"""Processes that the bench starts: each in a session of its own, ended by its own id, asked about its memory and time."""
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy"))  # behind: it has a realm too
from ports import free_ports  # noqa: E402,F401


class BenchError(Exception):
    pass


def wait_until(condition, seconds, what):
    """Polls until `condition` returns something true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def port_open(port):
    with socket.socket() as s:
        s.settimeout(0.2)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Process:
    def __init__(self, command, log, env=None, cwd=None, pass_fds=()):
        self.log = log
        self.command = command
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd,
                                          start_new_session=True, pass_fds=pass_fds)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def check_alive(self):
        if not self.alive():
            raise BenchError(f"{self.command[0]} ended with {self.popen.returncode}; its log ends:\n{self.log_tail()}")
        return True

    def log_tail(self, lines=15):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def status(self, key):
        """A KiB line of /proc/PID/status, in bytes: VmRSS, VmHWM, RssAnon."""
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
        raise BenchError(f"no {key} in /proc/{self.pid}/status")

    def reset_peak(self):
        """VmHWM starts again from what is resident now."""
        with open(f"/proc/{self.pid}/clear_refs", "w") as f:
            f.write("5")

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, seconds=10):
        """SIGTERM, then SIGKILL, to the session that this process leads."""
        for sig in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, sig)
            except ProcessLookupError:
                pass
            try:
                self.popen.wait(seconds)
                if sig == signal.SIGKILL:
                    return
            except subprocess.TimeoutExpired:
                continue
            # Children of a shell script may outlive it by a moment.
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                try:
                    os.killpg(self.pid, 0)
                except (ProcessLookupError, PermissionError):
                    return
                time.sleep(0.05)


class Group:
    """Ends what it started, last first."""

    def __init__(self):
        self.processes = []

    def start(self, *args, **kwargs):
        process = Process(*args, **kwargs)
        self.processes.append(process)
        return process

    def end_all(self):
        for process in reversed(self.processes):
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        for process in reversed(self.processes):
            process.end()
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end_all()


def run(command, **kwargs):
    """Runs to the end; its standard output. A failure tells the command and what it said."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout
