"""The units in deploy/systemd: what they start, with what they give it, gets ready; and systemd understands them."""
import configparser
import glob
import os
import shlex
import shutil
import signal
import socket
import subprocess

from support import TOP, RealmTest, wait_until

UNITS = os.path.join(TOP, "deploy", "systemd")


def section(program):
    """[Service] of the program's unit; of a key that stands twice, the last."""
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str
    unit.read(os.path.join(UNITS, f"tram-{program}@.service"), encoding="utf-8")
    return unit["Service"]


class Service(RealmTest):
    agencies = {"gov": ("Văn phòng Chính phủ", "G22", {})}

    @classmethod
    def prepare(cls, realm):
        realm.add_witness("w0", "Thanh tra")

    def under_systemd(self, program, daemon):
        """Starts what the unit says, as systemd does: a credential folder, a notify socket; stops it with SIGTERM."""
        unit = section(program)
        daemon.stop()
        credentials = os.path.join(self.folder, "credentials-" + daemon.name)
        os.mkdir(credentials, 0o700)
        name = unit["LoadCredentialEncrypted"].split(":")[0]
        with open(os.open(os.path.join(credentials, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
            file.write(daemon.key)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(os.path.join(credentials, "notify"))
        notify.settimeout(60)
        command = unit["ExecStart"].replace("/usr/local/bin", self.realm.binaries).replace("/var/lib/tram/%i", daemon.home)
        with open(daemon.log_path, "ab") as log:
            daemon.process = subprocess.Popen(
                shlex.split(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={"CREDENTIALS_DIRECTORY": credentials, "NOTIFY_SOCKET": notify.getsockname(),
                     "WATCHDOG_USEC": str(int(unit["WatchdogSec"]) * 1000000)})
        said = []

        def hears(word):
            while word not in said:
                said.extend(notify.recv(4096).decode().splitlines())
            return True
        try:
            self.assertEqual(unit["Type"], "notify")
            wait_until(lambda: hears("READY=1") and hears("WATCHDOG=1"), 60, "ready", daemon.check_alive)
            if "ExecReload" in unit:
                self.assertEqual(unit["ExecReload"], "/bin/kill -HUP $MAINPID")
                os.kill(daemon.process.pid, signal.SIGHUP)
            daemon.process.terminate()
            self.assertEqual(daemon.process.wait(20), 0)
            self.assertTrue(hears("STOPPING=1"))
        finally:
            daemon.kill()
            notify.close()
            shutil.rmtree(credentials)
        daemon.start()

    def test_what_the_units_start_gets_ready_and_ends_when_told(self):
        self.under_systemd("node", self.node("gov"))
        self.under_systemd("broker", self.realm.brokers["b0"])
        self.under_systemd("witness", self.realm.witnesses["w0"])

    def test_a_broken_disk_is_not_started_again(self):
        for program in ("node", "broker", "witness"):
            self.assertIn("74", section(program)["RestartPreventExitStatus"].split())

    def test_systemd_understands_them(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd is not installed")
        copies = []
        for path in sorted(glob.glob(os.path.join(UNITS, "*.service"))):
            with open(path, encoding="utf-8") as file:
                text = file.read().replace("/usr/local/bin", self.realm.binaries)
            copies.append(os.path.join(self.folder, os.path.basename(path).replace("@", "@x")))
            with open(copies[-1], "w", encoding="utf-8") as file:
                file.write(text)
        self.assertEqual(len(copies), 3)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *copies], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        for copy in copies:  # exposure of 10 at most; 2 and less is "OK"
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", copy],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual(done.returncode, 0, done.stdout)
