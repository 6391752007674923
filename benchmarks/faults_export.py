"""Faults of `tfsessionrec export`: kills, damaged bytes, exporters at once, disks."""

import functools
import json
import pathlib
import random
import shutil
import tempfile
from collections.abc import Iterator

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
from faults_training import HISTORY, damage, damages

OLD, NEW = 5, 7  # `--k` of the export that is replaced, and of the one that replaces it


def contents(path: pathlib.Path) -> int:
    """The `--k` of an export whose files are all whole; raises otherwise."""
    from tfsessionrec.export.checksum import damaged_files, misplaced_files

    problems = damaged_files(path) + misplaced_files(path)
    if problems:
        raise ValueError(f"{path}: {problems}")
    return json.loads((path / "signature.json").read_text())["k"]


class ExportFaults:
    """Exports of a small model that end early, and whether their folder still has a version.

    Args:
        folder: An empty folder for all files.
        model: The model directory.
        seed: Of the faults.
    """

    def __init__(self, folder: pathlib.Path, model: pathlib.Path, seed: int) -> None:
        self.folder = folder
        self.model = model
        self._rng = random.Random(seed)
        self._versions: dict[int, pathlib.Path] = {}
        self._whole: dict[int, Ended] = {}
        for k in (OLD, NEW):
            self._versions[k] = self._place()
            self._whole[k] = run(self.command(self._versions[k], k), folder)
            if self._whole[k].problem():
                raise RuntimeError(self._whole[k].problem())

    def command(self, path: pathlib.Path, k: int, *more: str) -> list[object]:
        """The command that exports."""
        words = ["--warm-up-batch-sizes", "1", "--availability", "--k", k]
        return ["export", "--model", self.model, "--output", path, *words, *more]

    def lines(self, count: int) -> Iterator[Line]:
        """All faults, each tried so often."""
        yield self.killed("export killed", count, False)
        yield self.killed("export --overwrite killed", count, True)
        yield self.killed_next_version(count)
        yield self.damaged(4 * count)
        yield self.at_once(max(1, count // 8))
        yield self.full_disks(max(2, count // 2))
        yield self.read_only(max(2, count // 4))

    def killed(self, fault: str, count: int, overwrite: bool) -> Line:
        """An export is killed: the earlier version, or the new one, is whole, or none is there."""

        def case(kill: Fault) -> str:
            path = self._place()
            if overwrite:
                shutil.copytree(self._versions[OLD], path)
            command = self.command(path, NEW, "--overwrite")
            run(command, path.parent, kill)
            if overwrite or path.exists():
                contents(path)
                found = run(["recommend", "--saved-model", path, "--items", HISTORY], path)
                if found.problem():
                    return found.problem()
            return run(command, path.parent).problem() or _only(path.parent, {"1": NEW})

        kills = moments(self._rng, self._whole[NEW], count)
        return counted(fault, ((str(kill), functools.partial(case, kill)) for kill in kills))

    def killed_next_version(self, count: int) -> Line:
        """An export to the next number is killed: version 1 is served, the next run has 2."""

        def case(kill: Fault) -> str:
            path = self._place()
            shutil.copytree(self._versions[OLD], path)
            command = self.command(path.parent, NEW, "--next-version")
            run(command, path.parent, kill)
            if contents(path) != OLD:
                return "version 1 is another one"
            problem = run(command, path.parent).problem()
            versions = {e.name: NEW for e in path.parent.iterdir() if e.name in ("2", "3")}
            return problem or _only(path.parent, {"1": OLD, "2": NEW, **versions})

        kills = moments(self._rng, self._whole[NEW], count)
        return counted(
            "export --next-version killed",
            ((str(kill), functools.partial(case, kill)) for kill in kills),
        )

    def damaged(self, count: int) -> Line:
        """A file is damaged: `--check` names it."""
        whole = self._versions[OLD]

        def case(name: pathlib.PurePath, content: bytes | None) -> str:
            path = self._place()
            shutil.copytree(whole, path)
            damage(path, name, content)
            if content == (whole / name).read_bytes():
                return ""
            ended = run(["export", "--check", path], path.parent)
            if name.name == "availability.pb" and not ended.status and name.name in ended.output:
                return ""  # It may be replaced: the check says that it was.
            return ended.refusal(name.name)

        cases = damages(whole, self._rng, count)
        return counted(
            "export damaged, --check",
            ((name, functools.partial(case, file, content)) for name, file, content in cases),
        )

    def at_once(self, count: int) -> Line:
        """Three processes export to the next version at once; each takes a number of its own."""

        def case() -> str:
            base = self._place().parent
            ks = {3: NEW, 4: OLD, 6: NEW}
            running = [Running(self.command(base, k, "--next-version"), base) for k in ks.values()]
            problems = [problem for one in running if (problem := one.end().problem())]
            if problems:
                return problems[0]
            found = sorted(contents(base / name) for name in ("1", "2", "3"))
            return "" if found == sorted(ks.values()) else f"exports of {found}"

        return counted(
            "export --next-version, three at once", ((str(n), case) for n in range(count))
        )

    def full_disks(self, count: int) -> Line:
        """The disk becomes full in the course of an export that replaces version 1."""
        size = sum(file.stat().st_size for file in self._versions[NEW].rglob("*"))

        def case(free: int) -> str:
            return call(self._on_full_disk, free)

        frees = [self._rng.randrange(size) for _ in range(count)]
        cases = ((f"{free} bytes", functools.partial(case, free)) for free in frees)
        return counted("export, full disk", cases if call(private_mounts) else ())

    def read_only(self, count: int) -> Line:
        """The folder may not be written."""
        cases = ((str(n), functools.partial(call, self._in_read_only)) for n in range(count))
        return counted("export, read-only folder", cases if call(private_mounts) else ())

    def _on_full_disk(self, free: int) -> str:
        private_mounts()
        disk = self._place().parent
        old = self._versions[OLD]
        # Pages of 4096 bytes; a folder needs one as well.
        size = sum(-(-f.stat().st_size // 4096) * 4096 for f in old.rglob("*") if f.is_file())
        mount_disk(disk, size + free)
        return self._refused(disk / "1")

    def _in_read_only(self) -> str:
        private_mounts()
        path = self._place()
        return self._refused(path, read_only=True)

    def _refused(self, path: pathlib.Path, read_only: bool = False) -> str:
        shutil.copytree(self._versions[OLD], path)
        if read_only:
            mount_read_only(path.parent)
        ended = run(self.command(path, NEW, "--overwrite"), path.parent)
        if not ended.status:
            return "" if contents(path) == NEW else "the export is another one"
        if contents(path) != OLD:
            return "the earlier version is gone"
        return ended.refusal(str(path), f".{path.name}.new-") or _only(path.parent, {"1": OLD})

    def _place(self) -> pathlib.Path:
        # Copies of this process make places, too.
        return pathlib.Path(tempfile.mkdtemp(prefix="shop-", dir=self.folder)) / "1"


def _only(base: pathlib.Path, expected: dict[str, int]) -> str:
    """What is wrong with the versions in a folder; there should be no others, and nothing else."""
    found = {e.name: contents(e) if e.name.isdigit() else -1 for e in base.iterdir()}
    return "" if found == expected else f"there are {found} instead of {expected}"
