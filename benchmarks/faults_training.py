"""Faults of `tfsessionrec train`: kills, damaged bytes, two writers, full and read-only disks."""

import contextlib
import functools
import hashlib
import json
import pathlib
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator

from faults_process import (
    Ended,
    Fault,
    Line,
    Running,
    call,
    counted,
    moments,
    mount_disk,
    mount_read_only,
    private_mounts,
    run,
)

EPOCHS = 3
SOURCE_BYTES = 2**14  # of a function that TensorFlow transforms, at most
COLUMNS = "--user user_id --session session_id --label label"
MODEL = "--model sessionrec-sasrec --embedding-dim 8 --set num_layers=1 --set num_heads=1"
MODEL += " --batch-positions 100"
BASELINE = "--model vsknn"
HISTORY = "i00001,i00002"
Kill = Callable[[Fault], str]
Close = Callable[[], None]


def state_of(path: pathlib.Path) -> str:
    """A digest of what a model directory holds: all tensors of its last checkpoint, or the counts.

    Loading it also completes a replacement that a kill cut.
    """
    import numpy as np
    import tensorflow as tf

    from tfsessionrec.systems import load
    from tfsessionrec.systems.checkpoints import Checkpoints

    load(path)
    digest = hashlib.sha256()
    if (path / "baseline.npz").exists():
        with np.load(path / "baseline.npz", allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
    else:
        folder = path / "checkpoint"
        reader = tf.train.load_checkpoint(str(folder / f"ckpt-{Checkpoints(folder).kept()[-1]}"))
        names = reader.get_variable_to_shape_map()
        content = {name: reader.get_tensor(name) for name in names if "OBJECT_GRAPH" not in name}
    for name in sorted(content):
        digest.update(name.encode() + np.asarray(content[name]).tobytes())
    return digest.hexdigest()


def damages(
    path: pathlib.Path, rng: random.Random, count: int
) -> Iterator[tuple[str, pathlib.PurePath, bytes | None]]:
    """Ways to damage a file of a directory: a name, the file, and its new content (None: gone)."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for number in range(count):
        file = files[number % len(files)]
        content = bytearray(file.read_bytes())
        kind = rng.choice(["flipped", "flipped", "cut", "empty", "gone"])
        if kind == "flipped":
            for _ in range(rng.randint(1, 3)):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del content[rng.randrange(len(content)) :]
        elif kind == "empty":
            content.clear()
        name = file.relative_to(path)
        yield f"{name} {kind}", name, None if kind == "gone" else bytes(content)


def damage(path: pathlib.Path, name: pathlib.PurePath, content: bytes | None) -> None:
    """Damages a file."""
    if content is None:
        (path / name).unlink()
    else:
        (path / name).write_bytes(content)


class TrainingFaults:
    """Trainings of a small model that end early, and whether their folder still has a model.

    Args:
        folder: An empty folder for all files.
        seed: Of the faults.
        epochs: Of each training. Defaults to 3.
    """

    def __init__(self, folder: pathlib.Path, seed: int, epochs: int = EPOCHS) -> None:
        self.folder = folder
        self.epochs = epochs
        self._rng = random.Random(seed)
        self._log = folder / "log.csv"
        simulate = ["simulate", "--users", 40, "--items", 20, "--output", self._log]
        self._expect(run(simulate, folder))

    def model(self, seed: int = 0, epochs: int | None = None) -> pathlib.Path:
        """The directory of a training that nothing interrupted."""
        epochs = self.epochs if epochs is None else epochs
        path = self.folder / f"whole-{seed}-{epochs}" / "m"
        if not path.exists():
            self._expect(run(self.command(path, seed, epochs), path.parent))
        return path

    @functools.cache  # noqa: B019
    def state(self, seed: int = 0, epochs: int | None = None) -> str:
        """The state after so many epochs that nothing interrupted."""
        return call(state_of, self.model(seed, epochs))

    def command(
        self, path: pathlib.Path, seed: int = 0, epochs: int | None = None, *more: str
    ) -> list[object]:
        """The command that trains."""
        words = [*COLUMNS.split(), *MODEL.split(), "--seed", str(seed)]
        words += ["--epochs", str(self.epochs if epochs is None else epochs)]
        return ["train", "--events", self._log, *words, "--output", path, *more]

    def baseline(self, path: pathlib.Path, k: int, *more: str) -> list[object]:
        """The command that trains a baseline."""
        words = [*COLUMNS.split(), *BASELINE.split(), "--set", f"k={k}"]
        return ["train", "--events", self._log, *words, "--output", path, *more]

    def lines(self, count: int) -> Iterator[Line]:
        """All faults, each tried so often."""
        yield self.killed_train(count)
        yield self.killed_resume(count)
        yield self.killed_overwrite(count)
        yield self.killed_baseline(count)
        yield self.damaged(2 * count)
        yield self.two_writers(max(1, count // 8))
        yield self.file_limits(max(2, count // 2))
        yield self.full_disks(max(2, count // 2))
        yield self.read_only(max(3, count // 4))

    # Kills.

    def killed_train(self, count: int) -> Line:
        """A first training is killed; the same command with `--resume` completes it."""
        whole = run(self.command(self._place()), self.folder)

        def case(fault: Fault) -> str:
            path = self._place()
            run(self.command(path), path.parent, fault)
            if path.exists():
                found = call(state_of, path)
                if found not in [self.state(epochs=n) for n in range(1, self.epochs + 1)]:
                    known = call(_finished, path)
                    if known:  # Before its first epoch it is the model as it was made.
                        return f"the model has another state than that after epoch {known}"
            return self._completed(self.command(path, 0, None, "--resume"), path, self.state())

        return self._killed("train killed, --resume", whole, case, count)

    def killed_resume(self, count: int) -> Line:
        """A training that goes on is killed; `--resume` completes it."""
        first = self.model(epochs=1)
        states = [self.state(epochs=n) for n in range(1, self.epochs + 1)]

        def start() -> tuple[pathlib.Path, list[object]]:
            path = self._place()
            shutil.copytree(first, path)
            return path, self.command(path, 0, None, "--resume")

        path, command = start()
        whole = run(command, path.parent)

        def case(fault: Fault) -> str:
            path, command = start()
            run(command, path.parent, fault)
            if call(state_of, path) not in states:
                return "the model is not that of a finished epoch"
            return self._completed(command, path, states[-1])

        return self._killed("train --resume killed, --resume", whole, case, count)

    def killed_overwrite(self, count: int) -> Line:
        """A training that replaces a model is killed: the old model, or the new one, is there."""
        old, new = self.model(), 9
        states = [self.state(), *(self.state(new, n) for n in range(1, self.epochs + 1))]

        def start() -> tuple[pathlib.Path, list[object]]:
            path = self._place()
            shutil.copytree(old, path)
            return path, self.command(path, new, None, "--overwrite")

        path, command = start()
        whole = run(command, path.parent)

        def case(fault: Fault) -> str:
            path, command = start()
            run(command, path.parent, fault)
            if call(state_of, path) not in states:
                return "neither the old model nor the new one is there"
            return self._completed(command, path, states[-1])

        return self._killed("train --overwrite killed", whole, case, count)

    def killed_baseline(self, count: int) -> Line:
        """As `killed_overwrite`, with a baseline, which has no epochs."""
        old, new = self._place(), self._place()
        self._expect(run(self.baseline(old, 3), old.parent))
        self._expect(run(self.baseline(new, 4), new.parent))
        whole = run(self.baseline(new, 4, "--overwrite"), new.parent)
        content = {kind: _content(path) for kind, path in (("old", old), ("new", new))}

        def case(fault: Fault) -> str:
            path = self._place()
            shutil.copytree(old, path)
            command = self.baseline(path, 4, "--overwrite")
            run(command, path.parent, fault)
            call(state_of, path)
            if _content(path) not in content.values():
                return "neither the old baseline nor the new one is there"
            problem = run(command, path.parent).problem()
            return problem or _left(path) or ("" if _content(path) == content["new"] else "mixed")

        return self._killed("train --overwrite of a baseline killed", whole, case, count)

    def _killed(self, fault: str, whole: Ended, case: Kill, count: int) -> Line:
        self._expect(whole)
        kills = moments(self._rng, whole, count)
        return counted(fault, ((str(kill), functools.partial(case, kill)) for kill in kills))

    def _completed(self, command: list[object], path: pathlib.Path, state: str) -> str:
        problem = run(command, path.parent).problem() or _left(path)
        if problem:
            return problem
        same = call(state_of, path) == state
        return "" if same else "the weights are not those of a training without interruption"

    # Damaged bytes.

    def damaged(self, count: int) -> Line:
        """A file is damaged: the model is refused by name of the file, or recommends the same."""
        whole = self.model()
        expected = self._recommended(whole)[1]

        def case(name: pathlib.PurePath, content: bytes | None) -> str:
            path = self._place()
            shutil.copytree(whole, path)
            damage(path, name, content)
            ended, found = self._recommended(path)
            # All files of a checkpoint have one name; `checkpoint/` names the list of them.
            names = [name.name.partition(".")[0] if "ckpt" in name.name else name.name]
            if ended.status or "Traceback" in ended.output:
                return ended.refusal(*names)
            if found == expected or names[0] in ended.output:
                return ""
            return f"other recommendations: {found}"

        cases = damages(whole, self._rng, count)
        return counted(
            "model directory damaged",
            ((name, functools.partial(case, file, content)) for name, file, content in cases),
        )

    def _recommended(self, path: pathlib.Path) -> tuple[Ended, str]:
        file = path.parent / "recommended.json"
        words = ["recommend", "--saved-model", path, "--items", HISTORY, "--json", file]
        ended = run(words, path.parent)
        with contextlib.suppress(FileNotFoundError):
            return ended, str(json.loads(file.read_text())["recommended"])
        return ended, ""

    # Two writers.

    def two_writers(self, count: int) -> Line:
        """Three trainings into one directory at once: one trains, the others name it."""

        def case() -> str:
            path = self._place()
            running = {seed: Running(self.command(path, seed, 1), path.parent) for seed in range(3)}
            ends = {seed: one.end() for seed, one in running.items()}
            done = [seed for seed, ended in ends.items() if not ended.status]
            if len(done) != 1:
                return f"{len(done)} of 3 trainings wrote the directory"
            owner = f"is being written by process {running[done[0]].pid} on"
            for seed, ended in ends.items():
                # One that comes after the first has ended is refused as well.
                problem = "" if seed in done else ended.refusal(owner, f"{path} exists already")
                if problem:
                    return problem
            if call(state_of, path) != self.state(done[0], 1):
                return "the model is not that of the training which succeeded"
            return _left(path)

        return counted("train, three writers", ((str(n), case) for n in range(count)))

    # Disks.

    def file_limits(self, count: int) -> Line:
        """No file may be larger than a limit, below that of a checkpoint.

        TensorFlow also writes the source of functions to files, and goes on where it cannot.
        """
        largest = max(file.stat().st_size for file in self.model().rglob("ckpt*"))

        def case(number: int) -> str:
            limit = self._rng.randrange(SOURCE_BYTES, largest)
            return self._refused(self._place(), number, Fault(file_bytes=limit))

        return counted(
            "train, limit of the size of a file",
            ((str(number), functools.partial(case, number)) for number in range(count)),
        )

    def full_disks(self, count: int) -> Line:
        """The disk is full, or becomes so in the course of the training."""
        size = sum(file.stat().st_size for file in self.model().rglob("*") if file.is_file())

        def case(number: int) -> str:
            free = self._rng.randrange(size)
            return call(self._on_full_disk, number, free)

        cases = ((str(number), functools.partial(case, number)) for number in range(count))
        return counted("train, full disk", cases if call(private_mounts) else ())

    def read_only(self, count: int) -> Line:
        """The folder may not be written."""
        cases = (
            (str(number), functools.partial(call, self._in_read_only, number))
            for number in range(count)
        )
        return counted("train, read-only folder", cases if call(private_mounts) else ())

    def _on_full_disk(self, number: int, free: int) -> str:
        private_mounts()
        disk = self._place().parent
        size = sum(f.stat().st_size + 4096 for f in self.model().rglob("*") if f.is_file())
        mount_disk(disk, size + free + 2**15)
        if number % 3 == 0:
            (disk / "filled").write_bytes(bytes(size))
        return self._refused(disk / "m", number, Fault())

    def _in_read_only(self, number: int) -> str:
        private_mounts()
        path = self._place()

        def close() -> None:
            mount_read_only(path.parent)

        return self._refused(path, number, Fault(), close)

    def _refused(
        self, path: pathlib.Path, number: int, fault: Fault, close: Close | None = None
    ) -> str:
        """A training that cannot be written: the error is one line, an earlier model is left."""
        more: list[str] = []
        before = ""
        if number % 3:
            shutil.copytree(self.model(epochs=1), path)
            before = self.state(epochs=1)
            more = ["--resume"] if number % 3 == 1 else ["--overwrite"]
        if close is not None:
            close()
        command = self.command(path, 0 if number % 3 < 2 else 9, None, *more)
        ended = run(command, path.parent, fault)
        if not ended.status:
            return "the training wrote more than there was room for" if close else ""
        problem = ended.refusal(str(path), path.name)
        if problem:
            return problem
        if not before:
            return ""
        held = "holds the" in ended.output or close is not None
        later = [self.state(epochs=n) for n in range(1, self.epochs + 1)]
        states = later if number % 3 == 1 else [before, *(self.state(9, n) for n in (1, 2, 3))]
        if not held:
            return f"the message does not say what is left: {ended.output[-200:]}"
        return "" if call(state_of, path) in states else "the earlier model is gone"

    # Places.

    def _place(self) -> pathlib.Path:
        # Copies of this process make places, too.
        return pathlib.Path(tempfile.mkdtemp(prefix="case-", dir=self.folder)) / "m"

    def _expect(self, ended: Ended) -> None:
        if ended.problem():
            raise RuntimeError(ended.problem())


def _finished(path: pathlib.Path) -> int:
    from tfsessionrec.systems.model_directory import ModelDirectory

    return len(ModelDirectory(path).history())


def _content(path: pathlib.Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def _left(path: pathlib.Path) -> str:
    """Names what is there and is not the model."""
    left = sorted(e.name for e in path.parent.iterdir() if e != path)
    left += [e.name for e in path.rglob(".*")] + [e.name for e in path.rglob("*_temp*")]
    return f"left over: {left}" if left else ""
