"""Commands of the package in processes of their own, and the faults that they meet."""

import ctypes
import fcntl
import mmap
import os
import pathlib
import pickle
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import section

Result = TypeVar("Result")
Case = Callable[[], str]
"""Does something under a fault; returns what was lost, or an empty text."""

UNSHARE_FILES, UNSHARE_USERS = 0x20000, 0x10000000  # flags of unshare(2)
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18  # flags of mount(2)
PIPE_BYTES = 2**20
FILE_EVENTS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink"}


class Line(NamedTuple):
    """A row of the table.

    Attributes:
        fault: What was done.
        tried: How often.
        lost: How often something was lost.
    """

    fault: str
    tried: int
    lost: int


def table(lines: Sequence[Line]) -> str:
    """The table of what was tried, survived and lost."""
    rows = [[one.fault, str(one.tried), str(one.tried - one.lost), str(one.lost)] for one in lines]
    return section.table(["fault", "tried", "survived", "lost"], rows)


class Fault(NamedTuple):
    """What happens to a process.

    Attributes:
        event: It is killed before this one of its file operations in a folder, from 1.
        delay: Seconds from that operation to the kill, within which TensorFlow may be writing.
        seconds: It is killed after this time.
        file_bytes: The largest file that it can write.
    """

    event: int | None = None
    delay: float = 0.0
    seconds: float | None = None
    file_bytes: int | None = None


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        status: Its exit status; negative for a signal.
        output: What it printed, errors included.
        events: Number of its file operations in the folder.
        seconds: How long it ran.
    """

    status: int
    output: str
    events: int
    seconds: float

    def problem(self, status: int = 0) -> str:
        """What is wrong with the end; empty if the status is the expected one."""
        if self.status == status and "Traceback" not in self.output:
            return ""
        return f"status {self.status} instead of {status}: {self.output[-300:]}"

    def refusal(self, *names: str) -> str:
        """What is wrong with an error that should be one line with one of some names."""
        if self.status == 1 and any(name in self.output for name in names):
            return ""  # `--check` found it
        lines = [line for line in self.output.splitlines() if "tfsessionrec: error:" in line]
        if self.status != 2 or len(lines) != 1 or "Traceback" in self.output:
            return f"status {self.status}: {self.output[-300:]}"
        return "" if any(name in lines[0] for name in names) else f"{names} not in {lines[0]!r}"


def imported() -> None:
    """Imports what the commands need; forked processes then start at once."""
    from tfsessionrec.cli.tensorflow_import import import_tensorflow

    import_tensorflow()
    import tfsessionrec.export
    import tfsessionrec.systems.train
    import tfsessionrec.systems.training  # noqa: F401


class Running:
    """A command in a forked process.

    Args:
        argv: The command of `tfsessionrec`, or a function without arguments.
        folder: The folder whose file operations are counted.
        fault: What happens to it.
    """

    def __init__(
        self,
        argv: Sequence[object] | Callable[[], object],
        folder: pathlib.Path,
        fault: Fault | None = None,
    ) -> None:
        self._fault = fault or Fault()
        self._began = time.monotonic()
        self._events = mmap.mmap(-1, 8)
        # A pipe has no size that a limit of files could bound.
        self._output, self._written = os.pipe()
        fcntl.fcntl(self._written, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            status = 99
            try:  # Nothing of this process may go on in its copy.
                status = self._run(argv, folder)
            finally:
                os._exit(status)
        os.close(self._written)

    def end(self) -> Ended:
        """Waits for the end, or causes it."""
        if self._fault.seconds is not None:
            time.sleep(max(0.0, self._began + self._fault.seconds - time.monotonic()))
            os.kill(self.pid, signal.SIGKILL)
        with open(self._output, "rb") as pipe:
            output = pipe.read().decode(errors="replace")
        _, status = os.waitpid(self.pid, 0)
        seconds = time.monotonic() - self._began
        events = struct.unpack("q", self._events[:8])[0]
        return Ended(os.waitstatus_to_exitcode(status), output, events, seconds)

    def _run(self, argv: Sequence[object] | Callable[[], object], folder: pathlib.Path) -> int:
        status = 99
        try:
            os.dup2(self._written, 1)
            os.dup2(self._written, 2)
            os.close(self._output)
            os.close(self._written)
            tempfile.tempdir = None
            if self._fault.file_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self._fault.file_bytes,) * 2)
            sys.addaudithook(self._watch(os.path.realpath(folder)))
            if callable(argv):
                argv()
                status = 0
            else:
                from tfsessionrec.cli.main import main

                status = main([str(word) for word in argv])
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 99
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def _watch(self, folder: str) -> Callable[[str, tuple], None]:
        """Counts the file operations in a folder, and kills the process at one of them."""
        seen = 0

        def hook(event: str, arguments: tuple) -> None:
            nonlocal seen
            if event == "ctypes.dlsym":
                if arguments[1] != "renameat2":
                    return
            elif event not in FILE_EVENTS or not _inside(folder, event, arguments):
                return
            seen += 1
            self._events[:8] = struct.pack("q", seen)
            if seen == self._fault.event:
                if self._fault.delay:
                    # SIGALRM ends a process as SIGKILL does, also within TensorFlow.
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.setitimer(signal.ITIMER_REAL, self._fault.delay)
                else:
                    os.kill(os.getpid(), signal.SIGKILL)

        return hook


def _inside(folder: str, event: str, arguments: tuple) -> bool:
    """Whether a file operation is in a folder."""
    if not isinstance(arguments[0], str | bytes | os.PathLike):
        return False
    path = os.fsdecode(arguments[0])
    descriptor = arguments[-1] if event in ("os.remove", "os.rmdir") else -1
    if descriptor is not None and descriptor >= 0:
        path = os.path.join(os.readlink(f"/proc/self/fd/{descriptor}"), path)
    return os.path.abspath(path).startswith(folder)


def run(argv: Sequence[object], folder: pathlib.Path, fault: Fault | None = None) -> Ended:
    """Runs a command to its end; see `Running`."""
    return Running(argv, folder, fault).end()


def call(function: Callable[..., Result], *arguments: object) -> Result:
    """The result of a function, computed in another process.

    Raises:
        RuntimeError: If it raises; with its traceback.
    """
    with tempfile.NamedTemporaryFile() as file:

        def work() -> None:
            content = pickle.dumps(function(*arguments))
            pathlib.Path(file.name).write_bytes(content)

        ended = Running(work, pathlib.Path(file.name)).end()
        if ended.status:
            raise RuntimeError(ended.output)
        return pickle.loads(pathlib.Path(file.name).read_bytes())


def moments(rng: random.Random, whole: Ended, count: int) -> Iterator[Fault]:
    """Kills of a command that took so many file operations and seconds when nothing happened.

    Half of them are before a file operation, each at another one; a quarter shortly after one; a
    quarter at any time.
    """
    events = rng.sample(range(1, whole.events + 1), whole.events)
    for number in range(count):
        if number % 4 == 3:
            yield Fault(seconds=rng.uniform(0, whole.seconds))
        else:
            delay = rng.uniform(0.0001, 0.02) if number % 4 == 1 else 0.0
            yield Fault(event=events[number % len(events)], delay=delay)


def counted(fault: str, cases: Iterable[tuple[str, Case]]) -> Line:
    """Runs cases, and says what each of them lost."""
    tried = lost = 0
    for name, case in cases:
        try:
            problem = case()
        except Exception:
            problem = traceback.format_exc()
        tried += 1
        if problem:
            lost += 1
            section.say(f"lost: {fault}, {name}: {problem}")
    section.say(f"{fault}: {tried} tried, {lost} lost")
    return Line(fault, tried, lost)


def private_mounts() -> bool:
    """Lets this process mount what no other process sees: False if the system does not permit it.

    The process must have one thread.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(UNSHARE_FILES):
        if libc.unshare(UNSHARE_FILES | UNSHARE_USERS):
            return False
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return not libc.mount(b"none", b"/", None, RECURSIVE | PRIVATE, None)


def mount_disk(folder: pathlib.Path, size: int) -> None:
    """Mounts an empty disk of a size in bytes."""
    _mount(b"tmpfs", folder, b"tmpfs", 0, f"size={size}".encode())


def mount_read_only(folder: pathlib.Path) -> None:
    """Makes a folder read-only, also for the superuser."""
    name = os.fsencode(folder)
    _mount(name, folder, None, BIND, None)
    _mount(name, folder, None, BIND | REMOUNT | READ_ONLY, None)


def _mount(
    source: bytes, folder: pathlib.Path, kind: bytes | None, flags: int, data: bytes | None
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source, os.fsencode(folder), kind, flags, data):
        raise OSError(ctypes.get_errno(), "cannot mount", os.fspath(folder))
