"""The checkpoints of a training: each is whole before an earlier one is removed."""

import contextlib
import os
import pathlib
import re
import tempfile
from collections.abc import Collection, Iterator

import tensorflow as tf

from tfsessionrec.files import write_file

STATE = "checkpoint"
_FILES = re.compile(r"ckpt-(\d+)(\.index|\.data-\d{5}-of-\d{5}|_temp)")
_STATE_LINE = re.compile(r'(\w+): (?:"([^"]*)"|[-+.e\d]+)')
_PATTERNS = set("*?[]\\")
# What TensorFlow raises where it cannot write, or reads bytes that are not a checkpoint.
_FAILURES = (
    tf.errors.OpError,
    AssertionError,
    IndexError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
)


def is_checkpoint_file(name: str) -> bool:
    """Whether a file of this name in `checkpoint/` is one that a training writes."""
    temporary = name.startswith((f"{STATE}.tmp", f".{STATE}."))
    return name == STATE or temporary or _FILES.fullmatch(name) is not None


class Checkpoints:
    """The folder `checkpoint/` of a model directory, one checkpoint an epoch that is kept.

    Args:
        path: The folder.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def kept(self) -> list[int]:
        """Finished epochs of each checkpoint, ascending; the last one is where training resumes.

        Raises:
            FileNotFoundError: If there is no whole checkpoint.
            ValueError: If the list of checkpoints is damaged.
        """
        state = self.path / STATE
        try:
            text = state.read_text()
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self.path.parent} has no whole checkpoint/: was the training started?"
            ) from None
        except UnicodeDecodeError as error:
            raise ValueError(f"{state} is damaged: {error}") from error
        lines = [_STATE_LINE.fullmatch(line) for line in text.splitlines()]
        names = [
            os.path.basename(line[2])
            for line in lines
            if line is not None
            and line[1] in ("model_checkpoint_path", "all_model_checkpoint_paths")
        ]
        numbers = [re.fullmatch(r"ckpt-(\d+)", name) for name in names]
        if not names or None in lines or None in numbers:
            raise ValueError(f"{state} is truncated or damaged")
        return sorted({int(number[1]) for number in numbers if number is not None})

    def write(self, checkpoint: tf.train.Checkpoint, number: int, keep: Collection[int]) -> None:
        """Writes a checkpoint, then removes those that are not kept.

        Args:
            checkpoint: What to write.
            number: Finished epochs.
            keep: Finished epochs of earlier checkpoints to keep.

        Raises:
            OSError: If it cannot be written; the earlier checkpoints are left then.
        """
        target = self.path / f"ckpt-{number}"
        kept = sorted({*keep} - {number})
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with plain_path(self.path) as folder:
                checkpoint.write(os.path.join(folder, target.name))
            names = [*kept, number]
            lines = [f'model_checkpoint_path: "ckpt-{number}"']
            lines += [f'all_model_checkpoint_paths: "ckpt-{name}"' for name in names]
            self._to_disk(number)
            write_file(self.path / STATE, "\n".join(lines) + "\n")
        except _FAILURES as error:
            with contextlib.suppress(OSError, ValueError):
                self._remove_but(self.kept())
            raise OSError(f"{target} cannot be written: {_reason(error)}") from error
        self._remove_but([*kept, number])

    def restore(self, checkpoint: tf.train.Checkpoint, number: int) -> None:
        """Reads a checkpoint.

        Raises:
            ValueError: If it is damaged, or of another model.
        """
        source = self.path / f"ckpt-{number}"
        try:
            with plain_path(self.path) as folder:
                status = checkpoint.read(os.path.join(folder, source.name))
                status.assert_existing_objects_matched().expect_partial()
        except _FAILURES as error:
            raise ValueError(
                f"{source} is truncated or of another model: {_reason(error)}"
            ) from error

    def _to_disk(self, number: int) -> None:
        for file in self._files():
            if file.is_file() and _number(file) == number:
                descriptor = os.open(file, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _remove_but(self, kept: Collection[int]) -> None:
        for file in self._files():
            if _number(file) in kept and not file.name.endswith("_temp"):
                continue
            if file.is_dir():
                for part in file.iterdir():
                    part.unlink(missing_ok=True)
                file.rmdir()
            else:
                file.unlink(missing_ok=True)

    def _files(self) -> list[pathlib.Path]:
        return [file for file in self.path.iterdir() if _FILES.fullmatch(file.name)]


@contextlib.contextmanager
def plain_path(folder: pathlib.Path) -> Iterator[str]:
    """A name of a folder without the characters that TensorFlow reads as a pattern of names."""
    text = os.path.abspath(folder)
    if not _PATTERNS & set(text):
        yield text
        return
    with tempfile.TemporaryDirectory() as temporary:
        link = os.path.join(temporary, "folder")
        os.symlink(text, link, target_is_directory=True)
        yield link


def _number(file: pathlib.Path) -> int:
    match = _FILES.fullmatch(file.name)
    return -1 if match is None else int(match[1])


def _reason(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
