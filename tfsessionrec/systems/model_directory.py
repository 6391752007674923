"""The files of a trained system, whole after every epoch."""

import contextlib
import hashlib
import json
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.data import Vocabulary, read_events
from tfsessionrec.files import write_json
from tfsessionrec.systems import staging
from tfsessionrec.systems.checkpoints import Checkpoints
from tfsessionrec.systems.epochs import Epoch, best_epoch, chosen_epoch, is_epoch
from tfsessionrec.systems.settings import Settings

BASELINE = "baseline.npz"
_CHECKED = ("vocabulary.json", "items.parquet", BASELINE)
_FINGERPRINTS = "fingerprints"


class ModelDirectory:
    """Reads and writes the files that `tfsessionrec train` writes.

        DIR/config.json        the settings: model, options, columns, recipe, seed; fingerprints
        DIR/vocabulary.json    the items
        DIR/items.parquet      their features, if there are any
        DIR/history.json       the losses and metrics of each finished epoch
        DIR/checkpoint/        weights, state of the optimizer, number of finished epochs
        DIR/baseline.npz       the counts of a baseline, instead of these two

    A new directory is written as a hidden sibling, and takes its place by a rename. A checkpoint is
    whole before an earlier one is removed, so that an interrupted training leaves the model of the
    last finished epoch. With validation the best epoch is kept too, and is the model that is read.

    Args:
        path: The directory.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._files = path  # the hidden sibling, until `publish`

    @property
    def is_trained(self) -> bool:
        """Whether the path is the directory of a trained system, a piece of which may be gone."""
        return any((self.path / name).is_file() for name in ("config.json", "vocabulary.json"))

    @property
    def is_free(self) -> bool:
        """Whether there is nothing at the path, or an empty folder."""
        path = self.path
        return not path.exists() or (path.is_dir() and not any(path.iterdir()))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing; a new directory that is not published is removed.

        Raises:
            DirectoryInUseError: If another process writes the directory.
        """
        with staging.locked(self.path):
            staging.recover(self.path)
            try:
                yield
            finally:
                if self._files != self.path:
                    staging.remove(self._files)
                    self._files = self.path

    def check_free(self, overwrite: bool = False) -> bool:
        """Whether the path is free for a new model directory.

        Args:
            overwrite: Whether an earlier model directory may be replaced.

        Returns:
            True if there is nothing; False if there is a model directory that may be replaced.

        Raises:
            FileExistsError: In any other case.
        """
        if self.is_free:
            return True
        if not overwrite:
            raise FileExistsError(
                f"{self.path} exists already: go on training it with --resume, replace it with "
                "--overwrite, or name another directory"
            )
        refusal = f"{self.path} is no model directory: not overwriting it"
        try:
            if (self.path / "config.json").is_file():
                self.settings()
            else:  # a training of an earlier release that was killed at its start
                self.vocabulary()
        except (OSError, ValueError) as error:
            raise FileExistsError(f"{refusal} ({error})") from error
        foreign = staging.foreign_files(self.path)
        if foreign:
            raise FileExistsError(
                f"{self.path} holds files that tfsessionrec did not write: {', '.join(foreign)}. "
                "Move them, or name another directory"
            )
        return False

    def create(
        self,
        settings: Settings,
        vocabulary: Vocabulary,
        overwrite: bool = False,
        item_table: pl.DataFrame | None = None,
        save_baseline: Callable[[pathlib.Path], object] | None = None,
    ) -> None:
        """Starts a new model directory as a hidden sibling of the path, until `publish`.

        Args:
            settings: The settings.
            vocabulary: The items.
            overwrite: Whether an earlier model directory may be replaced.
            item_table: The features of the items.
            save_baseline: Writes the counts of a baseline to a file.

        Raises:
            FileExistsError: If the path exists, or with `overwrite` is not a model directory.
        """
        self.check_free(overwrite)
        new = staging.sibling(self.path, "new")
        staging.remove(new)
        new.mkdir(parents=True)
        self._files = new
        vocabulary.save(new / "vocabulary.json")
        if item_table is not None:
            item_table.write_parquet(new / "items.parquet")
        if save_baseline is not None:
            save_baseline(new / BASELINE)
        self.write_settings(settings.with_item_type(vocabulary.dtype))

    def publish(self) -> None:
        """Moves a new model directory to its place; does nothing if it is there."""
        if self._files != self.path:
            staging.take_place(self._files, self.path)
            self._files = self.path

    def withdraw(self) -> None:
        """Removes a new model directory that has no finished epoch."""
        if self._files == self.path:
            staging.remove(self.path)

    def write_settings(self, settings: Settings) -> None:
        """Replaces the settings."""
        content = settings.to_json()
        prints = {
            name: _fingerprint((self._files / name).read_bytes())
            for name in _CHECKED
            if (self._files / name).exists()
        }
        prints["settings"] = _fingerprint(_canonical(content))
        write_json(self._files / "config.json", {**content, _FINGERPRINTS: prints})

    def settings(self) -> Settings:
        """Reads the settings; warns if they were edited after training."""
        content = self._read_json("config.json")
        if not isinstance(content, dict):
            raise ValueError(f"{self.path}/config.json should hold an object")
        prints = content.pop(_FINGERPRINTS, None)
        settings = Settings.from_json(content)
        if prints is None:
            warnings.warn(
                f"{self.path} was written by an earlier release: it has no fingerprints, so that "
                "an edited vocabulary is not noticed",
                stacklevel=2,
            )
        elif not isinstance(prints, dict) or prints.get("settings") != _fingerprint(
            _canonical(content)
        ):
            warnings.warn(
                f"{self.path}/config.json was edited after training: the model may read histories "
                "that it was not trained on",
                stacklevel=2,
            )
        if settings.log.item_type is None:  # written by an earlier version
            settings = settings.with_item_type(self.vocabulary().dtype)
        return settings

    def vocabulary(self) -> Vocabulary:
        """Reads the vocabulary."""
        return Vocabulary.load(self.piece("vocabulary.json"))

    def item_table(self) -> pl.DataFrame | None:
        """Reads the features of the items; None if the model has none."""
        if self._config().get("item_features") is None:
            return None
        piece = self.piece("items.parquet")
        try:
            return read_events(piece)
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"{piece} is truncated or damaged: {error}") from error

    def history(self) -> list[dict[str, float]]:
        """Reads the losses and metrics of each finished epoch."""
        return self._history(self._checkpoints.kept()[-1])

    def load_weights(self, model: keras.Model) -> None:
        """Gives a model the weights of the best epoch by validation or, without one, the last."""
        self.piece(staging.CHECKPOINTS)
        self._checkpoints.restore(tf.train.Checkpoint(model=model), self.chosen_epoch())

    def save(self, model: keras.Model, epochs: Sequence[Epoch]) -> None:
        """Writes the state of training after an epoch; keeps the best earlier one, too.

        Args:
            model: The compiled model.
            epochs: Losses and metrics of each finished epoch.

        Raises:
            OSError: If a file cannot be written; the message says what the directory holds.
        """
        checkpoint = self._checkpoint(model, len(epochs))
        keep = [number for number in [best_epoch(epochs)] if number]
        try:
            # A history with an epoch more than the checkpoint is cut when it is read.
            write_json(self._files / "history.json", {"epochs": list(epochs)})
            self._checkpoints.write(checkpoint, len(epochs), keep)
        except OSError as error:
            raise OSError(f"{_one_line(error)}; {self.held()}") from error

    def restore(self, model: keras.Model, epoch: int | None = None) -> list[dict[str, float]]:
        """Sets a compiled model back to where `save` left it.

        Args:
            model: The compiled model.
            epoch: Number of a kept epoch. Defaults to None: the last.

        Returns:
            Losses and metrics of each epoch finished then.
        """
        checkpoint = self._checkpoint(model, 0)
        self.piece(staging.CHECKPOINTS)
        number = self._checkpoints.kept()[-1] if epoch is None else epoch
        self._checkpoints.restore(checkpoint, number)
        return self._history(int(checkpoint.finished_epochs))

    def chosen_epoch(self) -> int:
        """The number of the epoch that is the model: the best one by validation, or the last."""
        kept = self._checkpoints.kept()
        chosen = chosen_epoch(self._history(kept[-1]))
        return chosen if chosen in kept else kept[-1]

    @property
    def holds_earlier_model(self) -> bool:
        """Whether the path still has the model that the new one will replace."""
        return self._files != self.path and not self.is_free

    def held(self) -> str:
        """One clause that says which model is at the path."""
        if self.holds_earlier_model:
            return f"{self.path} holds the earlier model"
        try:
            number = Checkpoints(self.path / staging.CHECKPOINTS).kept()[-1]
        except (OSError, ValueError):
            return f"there is no model at {self.path}"
        if not number:
            return f"{self.path} holds the model before its first epoch"
        try:
            chosen = self.chosen_epoch()
        except (OSError, ValueError):
            chosen = number
        best = "" if chosen == number else f", and epoch {chosen}, which is the best"
        return f"{self.path} holds the model after epoch {number}{best}"

    def piece(self, name: str) -> pathlib.Path:
        """The path of a file of the directory.

        Raises:
            FileNotFoundError: If it is missing.
            ValueError: If it is not the file that training wrote.
        """
        if not self.path.is_dir() and staging.sibling(self.path, "old").is_dir():
            with self.locked():  # completes a replacement that was cut
                pass
        if not self.path.is_dir():
            raise FileNotFoundError(f"There is no model directory {self.path}")
        piece = self.path / name
        if not piece.exists():
            raise FileNotFoundError(f"{self.path} is no whole model directory: {name} is missing")
        if name in _CHECKED:
            prints = self._config().get(_FINGERPRINTS)
            known = prints.get(name) if isinstance(prints, dict) else None
            if known is not None and known != _fingerprint(piece.read_bytes()):
                raise ValueError(
                    f"{piece} is not the file that training wrote: it was edited or damaged. "
                    "Restore it, or train the model again"
                )
        return piece

    @property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self._files / staging.CHECKPOINTS)

    def _checkpoint(self, model: keras.Model, finished_epochs: int) -> tf.train.Checkpoint:
        model.optimizer.build(model.trainable_variables)
        return tf.train.Checkpoint(
            model=model,
            optimizer=model.optimizer,
            finished_epochs=tf.Variable(finished_epochs, dtype=tf.int64),
        )

    def _history(self, finished: int) -> list[dict[str, float]]:
        """The first `finished` epochs; an epoch that was not noted before a kill is empty."""
        if not (self._files / "history.json").exists():
            return [{} for _ in range(finished)]
        content = self._read_json("history.json")
        epochs = content.get("epochs") if isinstance(content, dict) else None
        if not isinstance(epochs, list) or not all(map(is_epoch, epochs)):
            raise ValueError(
                f"{self.path}/history.json should hold a list of epochs, each of numbers by name"
            )
        return [*epochs, *({} for _ in range(finished - len(epochs)))][:finished]

    def _config(self) -> dict[str, object]:
        if not (self.path / "config.json").exists():
            return {}
        content = self._read_json("config.json")
        return content if isinstance(content, dict) else {}

    def _read_json(self, name: str) -> object:
        piece = self.piece(name) if self._files == self.path else self._files / name
        try:
            return json.loads(piece.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{piece} is truncated or no JSON: {error}") from error


def _fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _canonical(content: Mapping[str, object]) -> bytes:
    return json.dumps(json.loads(json.dumps(content)), sort_keys=True).encode()


def _one_line(error: OSError) -> str:
    if error.filename is None:
        return str(error)
    return f"{os.fspath(error.filename)} cannot be written: {error.strerror}"
