"""Child processes that never outlive us: each in its own session, with its own log, stopped by the pid we started.

Everything the local stack runs (servers from wheels, our own API and workers) is one of these.
"""

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

import httpx

LOOPBACK: Final = "127.0.0.1"
SYSTEM_USER: Final = "tradelog"
MAX_LOG_BYTES: Final = 10 * 1024 * 1024
TAIL_LINES: Final = 20

_PR_SET_PDEATHSIG: Final = 1
# Looked up before any fork: between fork and exec a child must not import or allocate more than it has to.
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ServiceFailedError(RuntimeError):
    """A service of the local stack did not start, or went away; says which, why, and what its log said last."""

    def __init__(self, service: str, reason: str, log: str = "") -> None:
        super().__init__(f"{service} {reason}")
        self.service = service
        self.reason = reason
        self.log = log


class Process:
    """One child process."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        user: pwd.struct_passwd | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_within: float = 15.0,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._command = [os.fspath(part) for part in command]
        self._environment = dict(os.environ if environment is None else environment)
        self._directory = directory
        self._user = user
        self._stop_signal = stop_signal
        self._stop_within = stop_within
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        """Start it. Call this from the main thread: the kernel ends the child when the *thread* that forked it ends."""
        assert not self.running, f"{self.name} is running already"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > MAX_LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    cwd=self._directory,
                    start_new_session=True,
                    preexec_fn=self._prepare_child(),  # noqa: PLW1509 - it only makes system calls
                )
            except (OSError, subprocess.SubprocessError) as failure:
                raise ServiceFailedError(self.name, f"could not be started: {failure}") from failure

    def _prepare_child(self) -> Callable[[], None]:
        parent = os.getpid()
        user, stop_signal = self._user, self._stop_signal

        def prepare() -> None:
            if user is not None:
                os.setgroups([])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
            # After setuid, which would clear it: a supervisor that is killed takes its children with it.
            if _LIBC is not None:
                _LIBC.prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        return prepare

    async def until_ready(self, ready: Callable[[], Awaitable[bool]], *, within: float) -> None:
        """Wait until the probe says yes; raise with the tail of the log if the process ends or time runs out."""
        deadline = time.monotonic() + within
        while not await ready():
            if not self.running:
                raise ServiceFailedError(
                    self.name, f"ended with {describe_exit(self.exit_code)}", self.log_tail()
                )
            if time.monotonic() > deadline:
                raise ServiceFailedError(self.name, f"did not answer within {within:.0f} s", self.log_tail())
            await asyncio.sleep(0.02)

    async def until_ended(self, within: float | None = None) -> bool:
        """Whether it ended within the time given (for ever by default)."""
        deadline = None if within is None else time.monotonic() + within
        while self.running:
            if deadline is not None and time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def stop(self) -> None:
        """Ask it to stop, wait, and end the whole process group if it does not."""
        if self._child is None:
            return
        if self.running:
            self.signal(self._stop_signal)
            await self.until_ended(self._stop_within)
        self.kill()

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and everything in its process group at once, as a crash would."""
        if self._child is None:
            return
        # The group is named after its leader's pid, so that this also reaches members that outlived their leader.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines it wrote since its last start."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - 64 * 1024))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


class Service:
    """Something with an address that can be started and stopped: `async with Postgres(folder) as postgres`."""

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


class Server(Service):
    """A service that is one process listening on one loopback port, with its data in one folder.

    Port 0 means any free one; from the first start on it keeps the port, so that clients find it again.
    """

    name: ClassVar[str]
    start_within: ClassVar[float] = 30.0

    def __init__(self, folder: Path, *, port: int = 0, log_path: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.log_path = log_path or self.folder / f"{self.name}.log"
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def process(self) -> Process:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        await self.prepare()
        retries = 2 if self.port == 0 else 0
        while True:
            self.port = self.port or free_port()
            try:
                await self._launch()
                return
            except ServiceFailedError:
                if not retries or is_free(self.port):
                    raise
                # Somebody took the port between our look and the server's bind.
                self.port, retries = 0, retries - 1

    async def _launch(self) -> None:
        self._process = self.make_process()
        self._process.start()
        try:
            await self._process.until_ready(self.answers, within=self.start_within)
            await self.finish_start()
        except BaseException:
            await self._process.stop()
            raise

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.stop()

    def kill(self) -> None:
        """End it as a crash would; `start` brings it back on the same port with what it had saved."""
        self.process.kill()

    async def prepare(self) -> None:
        """What must be there before the process starts."""

    def make_process(self) -> Process:
        raise NotImplementedError

    async def answers(self) -> bool:
        """Whether it serves already."""
        raise NotImplementedError

    async def finish_start(self) -> None:
        """What only a running server can be asked for."""


async def answers_http(url: str, *, any_status: bool = False) -> bool:
    """Whether a GET of this address succeeds, or is answered at all."""
    try:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
            return (await client.get(url)).is_success or any_status
    except httpx.HTTPError:
        return False


def describe_exit(code: int | None) -> str:
    """An exit code in words: negative ones are signals."""
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(preferred: int = 0) -> int:
    """The preferred port, or the next free one above it; 0 asks the kernel for any."""
    for port in range(preferred, preferred + 100) if preferred else ():
        if is_free(port):
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def unprivileged_user() -> pwd.struct_passwd | None:
    """The account for servers that refuse to run as root, made when missing; None when we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    if shutil.which("useradd"):
        command = [
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--shell",
            "/bin/sh",
            SYSTEM_USER,
        ]
    elif shutil.which("adduser"):  # Alpine and other BusyBox systems
        command = ["adduser", "-S", "-D", "-H", "-s", "/bin/sh", SYSTEM_USER]
    else:
        raise ServiceFailedError(
            "local stack", f"runs as root and cannot make the system user {SYSTEM_USER!r}"
        )
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return pwd.getpwnam(SYSTEM_USER)  # also when another process made it meanwhile
    except KeyError:
        reason = f"runs as root and could not make the system user {SYSTEM_USER!r}: {made.stderr.strip()}"
        raise ServiceFailedError("local stack", reason) from None


def hand_over(path: Path, user: pwd.struct_passwd | None) -> None:
    """Make a folder the unprivileged user's own, and let that user reach it."""
    path.mkdir(parents=True, exist_ok=True)
    if user is None:
        return
    if path.stat().st_uid != user.pw_uid:
        os.chown(path, user.pw_uid, user.pw_gid)
    make_reachable(path, user)


def make_reachable(path: Path, user: pwd.struct_passwd | None) -> None:
    """Let the unprivileged user pass through (not list) the folders above a path; only root ever needs this."""
    if user is None:
        return
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH and folder.stat().st_uid != user.pw_uid:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def package_folder(name: str) -> Path | None:
    """Where an installed package lies, found without running its import; None when it is not installed."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def cache_folder() -> Path:
    """What is fetched once and shared by all data folders. As root: where other users may enter, unlike root's home."""
    chosen = os.environ.get("TRADELOG_CACHE")
    if chosen:
        return Path(chosen).resolve()
    if os.geteuid() == 0:
        return Path("/var/cache/tradelog")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "tradelog"
