"""SLURM on this very machine, with one node, for as long as a test needs it.

Where no SLURM is installed, Debian's packages are fetched and unpacked into a folder: nothing is
installed, root's rights are not needed, and all files (configuration, keys, state, logs) are below
that folder. The daemons listen on 127.0.0.1 alone; they are children of this process, and end
with it.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
COMMANDS = (
    "sacct",
    "sacctmgr",
    "sbatch",
    "scancel",
    "scontrol",
    "sinfo",
    "squeue",
    "srun",
    "sshare",
)
_START_S = 120.0
_FETCH_S = 300.0
_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
{plugins}
# Neither cgroups nor systemd are needed.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
# The node may promise more than the machine has.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,sched_interval=2,bf_interval=2
ReturnToService=2
# squeue tells of jobs that have ended, so that no accounting database is needed.
MinJobAge=3600
KillWait=5
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE DefMemPerCPU=100 State=UP
"""


class NoSlurmError(Exception):
    """This machine has no SLURM and cannot get it."""


@dataclass
class OneNodeSlurm:
    """A running SLURM.

    Parameters
    ----------
    folder
        All of its files; its path must be short, since it holds a socket.
    cpus, memory_mb
        What the node promises.
    """

    folder: Path
    cpus: int = 4
    memory_mb: int = 16000
    _daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _root: Path = Path("/")

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._root = Path("/") if _installed() else fetch(self.folder / "packages")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which `sbatch` and its like are found, and find this SLURM."""
        return {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}

    def stop(self) -> None:
        """Cancel what is queued, and end the daemons."""
        if len(self._daemons) > 1:
            with suppress(subprocess.SubprocessError):
                self.call("scancel", "--user", getpass.getuser())
                self._wait(lambda: not self.call("squeue", "--noheader", "--states=R,CG,PD"))
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def call(self, command: str, *words: str) -> str:
        """Run one of SLURM's commands and return what it says."""
        done = subprocess.run(
            [str(self.folder / "bin" / command), *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.strip()

    def lose_node(self) -> None:
        """Kill the daemon of the node, without a word; jobs are the caller's."""
        daemon = self._daemons.pop()
        daemon.kill()
        daemon.wait()
        words = ("State=DOWN", "Reason=vanished")
        self.call("scontrol", "update", f"NodeName={self._host}", *words)

    def bring_back_node(self) -> None:
        """Start the daemon of the node again, and wait until it takes jobs."""
        self._start_node()
        self._wait(self._is_resumed)

    def _is_resumed(self) -> bool:
        """Ask for jobs on the node, which SLURM refuses as long as its daemon has not called."""
        with suppress(subprocess.CalledProcessError):
            self.call("scontrol", "update", f"NodeName={self._host}", "State=RESUME")
        state = self.call("sinfo", "--noheader", "--format=%T")
        return "down" not in state and "*" not in state

    def _start_node(self) -> None:
        self._daemon("slurmd", "-D", "-d", str(self._program("slurmstepd")))

    @property
    def _host(self) -> str:
        return socket.gethostname().partition(".")[0]

    def _start(self) -> None:
        for name in ("state", "spool", "cgroup", "bin"):
            (self.folder / name).mkdir(exist_ok=True)
        self._write_config()
        self._write_commands()
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={self._key()}",
            f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed",
        )  # fmt: skip
        self._wait((self.folder / "munge.socket").exists)
        self._daemon("slurmctld", "-D", "-i")
        self._wait(lambda: "UP" in self.call("scontrol", "ping"))
        self._start_node()
        self._wait(lambda: self.call("sinfo", "--noheader", "--format=%T") == "idle")
        self._wait(lambda: self.call("srun", "--ntasks=1", "echo", "up") == "up")

    def _key(self) -> Path:
        path = self.folder / "munge.key"
        path.touch(mode=0o600)
        path.write_bytes(os.urandom(1024))
        return path

    def _write_config(self) -> None:
        libraries = sorted(self._root.glob("usr/lib/*/slurm*/auth_munge.so"))
        ports = _free_ports(2)
        text = CONFIG.format(
            host=self._host,
            user=getpass.getuser(),
            folder=self.folder,
            controller_port=ports[0],
            node_port=ports[1],
            cpus=self.cpus,
            memory_mb=self.memory_mb,
            plugins=f"PluginDir={libraries[0].parent}" if libraries else "",
        )
        (self.folder / "slurm.conf").write_text(text)
        version = subprocess.run(
            [self._program("slurmd"), "-V"],
            capture_output=True,
            text=True,
            env=self._daemon_environment,
            check=True,
        ).stdout
        major = int(re.search(r"\d+", version)[0])  # type: ignore[index]
        # Where no cgroups are mounted, slurmd gives up unless it is told not to look. Before
        # version 23, a mount point of our own passes its check, and is never used.
        old = f"CgroupPlugin=cgroup/v1\nCgroupMountpoint={self.folder}/cgroup\nCgroupAutomount=no\n"
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n" if major >= 23 else old)

    def _write_commands(self) -> None:
        """Write scripts that name this SLURM's configuration.

        The variable SLURM_CONF alone would not do: Snakemake's job steps drop it.
        """
        names = {"SLURM_CONF", "LD_LIBRARY_PATH"}
        values = {k: v for k, v in self._daemon_environment.items() if k in names}
        exports = " ".join(f"{name}='{value}'" for name, value in values.items())
        for command in COMMANDS:
            path = self.folder / "bin" / command
            path.write_text(f'#!/bin/sh\nexport {exports}\nexec {self._program(command)} "$@"\n')
            path.chmod(0o755)

    @property
    def _daemon_environment(self) -> dict[str, str]:
        found = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}
        if self._root != Path("/"):
            files = self._root.glob("usr/lib/**/*.so*")
            found["LD_LIBRARY_PATH"] = ":".join(sorted({str(path.parent) for path in files}))
        return found

    def _program(self, name: str) -> Path:
        path = _program(self._root, name)
        if path is None:
            raise NoSlurmError(f"there is no {name} below {self._root}")
        return path

    def _daemon(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as output:
            self._daemons.append(
                subprocess.Popen(
                    [self._program(name), *words],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._daemon_environment,
                    cwd=self.folder,
                )
            )

    def _wait(self, condition: object) -> None:
        """Wait until `condition()` holds."""
        assert callable(condition)
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            with suppress(subprocess.SubprocessError):
                if condition():
                    return
            if any(daemon.poll() is not None for daemon in self._daemons):
                break
            time.sleep(0.2)
        logs = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        text = "\n".join(f"{p.name}: {p.read_text(errors='replace')[-800:]}" for p in logs)
        raise RuntimeError(f"SLURM does not come up\n{text}")


def fetch(folder: Path) -> Path:
    """Fetch Debian's packages of SLURM and unpack them; return the folder that is their root.

    Raises
    ------
    NoSlurmError
        If this machine is no Debian, or does not reach Debian's packages.
    """
    if not all(map(shutil.which, ("apt-get", "dpkg"))):
        raise NoSlurmError("SLURM is not installed, and there is no apt-get to fetch it with")
    folder.mkdir(parents=True, exist_ok=True)
    options: list[str] = []
    names = _needed(options)
    if not names:  # a machine whose package lists were removed
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        options = ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
        _apt([*options, "update"], folder)
        names = _needed(options)
    if not names:
        raise NoSlurmError(f"SLURM is not installed, and apt-get finds no {', '.join(PACKAGES)}")
    fetched = _apt([*options, "download", *names], folder)
    archives = sorted(folder.glob("*.deb"))
    if fetched.returncode or not archives:
        said = fetched.stderr.strip().splitlines()[-1:]
        raise NoSlurmError(f"SLURM is not installed, and apt-get cannot fetch it: {said}")
    for archive in archives:
        subprocess.run(["dpkg", "-x", archive, folder / "root"], check=True)
    return folder / "root"


def _needed(options: list[str]) -> list[str]:
    """Return the packages that an installation of SLURM would add to this machine."""
    words = [*options, "--simulate", "--no-install-recommends", "install", *PACKAGES]
    said = _apt(words, Path.cwd())
    found = re.findall(r"(?m)^Inst (\S+)", said.stdout)
    return found if set(found) >= set(PACKAGES) - _present() else []


def _present() -> set[str]:
    """Return those of the packages that are installed; their programs are missing all the same."""
    return {name for name in PACKAGES if Path(f"/var/lib/dpkg/info/{name}.list").exists()}


def _apt(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "-q", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=_FETCH_S,
        env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
    )


def _installed() -> bool:
    wanted = ("slurmctld", "slurmd", "slurmstepd", "munged", *COMMANDS)
    return all(_program(Path("/"), name) for name in wanted)


def _program(root: Path, name: str) -> Path | None:
    """Return the path of a program; Debian adds a suffix where two packages have one name."""
    for folder in _FOLDERS:
        for candidate in (name, f"{name}-wlm"):
            path = root / folder / candidate
            if path.is_file():
                return path
    return None


def _free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports
