"""The files of a trained system, whole after every epoch."""

import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence

import polars as pl
import tensorflow as tf

from tfsessionrec.backend import keras
from tfsessionrec.data import Vocabulary, read_events
from tfsessionrec.files import write_json
from tfsessionrec.systems.settings import Settings

BASELINE = "baseline.npz"
Epoch = Mapping[str, float]


class ModelDirectory:
    """Reads and writes the files that `tfsessionrec train` writes.

        DIR/config.json        the settings: model, options, columns, recipe, seed
        DIR/vocabulary.json    the items
        DIR/items.parquet      their features, if there are any
        DIR/history.json       the losses and metrics of each finished epoch
        DIR/checkpoint/        weights, state of the optimizer, number of finished epochs
        DIR/baseline.npz       the counts of a baseline, instead of these two

    The checkpoint is replaced as a whole, so that an interrupted training leaves the model of the
    last finished epoch.

    Args:
        path: The directory.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    @property
    def is_trained(self) -> bool:
        """Whether the path is the directory of a trained system."""
        return all((self.path / name).is_file() for name in ("config.json", "vocabulary.json"))

    def check_free(self, overwrite: bool = False) -> bool:
        """Whether the path is free for a new model directory.

        Args:
            overwrite: Whether an earlier model directory may be replaced.

        Returns:
            True if there is nothing; False if there is a model directory that may be replaced.

        Raises:
            FileExistsError: In any other case.
        """
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return True
        if not overwrite:
            raise FileExistsError(
                f"{self.path} exists already: go on training it with --resume, replace it with "
                "--overwrite, or name another directory"
            )
        if not (self.path / "config.json").is_file():
            raise FileExistsError(f"{self.path} is no model directory: not overwriting it")
        return False

    def create(
        self,
        settings: Settings,
        vocabulary: Vocabulary,
        overwrite: bool = False,
        item_table: pl.DataFrame | None = None,
    ) -> None:
        """Starts a new model directory.

        Raises:
            FileExistsError: If the path exists, or with `overwrite` is not a model directory.
        """
        if not self.check_free(overwrite):
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        vocabulary.save(self.path / "vocabulary.json")
        if item_table is not None:
            item_table.write_parquet(self.path / "items.parquet")
        self.write_settings(settings.with_item_type(vocabulary.dtype))

    def write_settings(self, settings: Settings) -> None:
        """Replaces the settings."""
        write_json(self.path / "config.json", settings.to_json())

    def settings(self) -> Settings:
        """Reads the settings."""
        settings = Settings.from_json(self._read_json("config.json"))
        if settings.log.item_type is None:  # written by an earlier version
            settings = settings.with_item_type(self.vocabulary().dtype)
        return settings

    def vocabulary(self) -> Vocabulary:
        """Reads the vocabulary."""
        return Vocabulary.load(self.piece("vocabulary.json"))

    def item_table(self) -> pl.DataFrame | None:
        """Reads the features of the items; None if the model has none."""
        if self.settings().item_features is None:
            return None
        return read_events(self.piece("items.parquet"))

    def history(self) -> list[dict[str, float]]:
        """Reads the losses and metrics of each finished epoch."""
        return self._read_json("history.json")["epochs"]  # type: ignore[return-value]

    def load_weights(self, model: keras.Model) -> None:
        """Gives a model the weights of the checkpoint."""
        self._restore(tf.train.Checkpoint(model=model), self._latest_checkpoint())

    def save(self, model: keras.Model, epochs: Sequence[Epoch]) -> None:
        """Writes the state of training after an epoch.

        Args:
            model: The compiled model.
            epochs: Losses and metrics of each finished epoch.
        """
        self._manager(self._checkpoint(model, len(epochs))).save(checkpoint_number=len(epochs))
        write_json(self.path / "history.json", {"epochs": list(epochs)})

    def restore(self, model: keras.Model) -> list[dict[str, float]]:
        """Sets a compiled model back to where `save` left it.

        Returns:
            Losses and metrics of each finished epoch.
        """
        checkpoint = self._checkpoint(model, 0)
        self._restore(checkpoint, self._latest_checkpoint())
        return self.history()[: int(checkpoint.finished_epochs)]

    def piece(self, name: str) -> pathlib.Path:
        """The path of a file of the directory.

        Raises:
            FileNotFoundError: If it is missing.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"There is no model directory {self.path}")
        piece = self.path / name
        if not piece.exists():
            raise FileNotFoundError(f"{self.path} is no whole model directory: {name} is missing")
        return piece

    def _checkpoint(self, model: keras.Model, finished_epochs: int) -> tf.train.Checkpoint:
        model.optimizer.build(model.trainable_variables)
        return tf.train.Checkpoint(
            model=model,
            optimizer=model.optimizer,
            finished_epochs=tf.Variable(finished_epochs, dtype=tf.int64),
        )

    def _manager(self, checkpoint: tf.train.Checkpoint) -> tf.train.CheckpointManager:
        return tf.train.CheckpointManager(checkpoint, str(self.path / "checkpoint"), max_to_keep=1)

    def _latest_checkpoint(self) -> str:
        latest = tf.train.latest_checkpoint(str(self.piece("checkpoint")))
        if latest is None:
            raise FileNotFoundError(
                f"{self.path} has no whole checkpoint/: was the training started?"
            )
        return latest

    def _restore(self, checkpoint: tf.train.Checkpoint, latest: str) -> None:
        try:
            status = checkpoint.restore(latest)
            status.assert_existing_objects_matched().expect_partial()
        except (tf.errors.OpError, AssertionError, IndexError) as error:
            raise ValueError(
                f"{latest} is truncated or of another model: {str(error).splitlines()[0]}"
            ) from error

    def _read_json(self, name: str) -> dict[str, object]:
        piece = self.piece(name)
        try:
            return json.loads(piece.read_text())
        except ValueError as error:
            raise ValueError(f"{piece} is truncated or no JSON: {error}") from error
