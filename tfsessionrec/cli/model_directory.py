"""A trained model on disk, whole after every epoch."""

import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import tensorflow as tf

from tfsessionrec import models
from tfsessionrec.backend import keras
from tfsessionrec.cli import baselines
from tfsessionrec.cli.output import write_json
from tfsessionrec.cli.settings import Settings
from tfsessionrec.data import Vocabulary, item_features, read_events


class ModelDirectory:
    """Reads and writes what `tfsessionrec train` leaves behind.

        DIR/config.json        the settings: model, options, columns, recipe, seed
        DIR/vocabulary.json    the items
        DIR/items.parquet      their features, if any were given
        DIR/history.json       the losses and metrics of each finished epoch
        DIR/checkpoint/        weights, state of the optimizer, number of finished epochs
        DIR/baseline.npz       of a baseline, instead of these two: what it has counted

    The checkpoint is replaced as a whole, so that whatever interrupts training leaves the model of
    the last finished epoch.

    Args:
        path: The directory.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def check_free(self, overwrite: bool = False) -> bool:
        """Whether nothing stands in the way of a new model directory.

        Args:
            overwrite: Whether an earlier model directory may.

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
        catalogue: pl.DataFrame | None = None,
    ) -> None:
        """Begins a new model directory.

        Args:
            settings: Its settings.
            vocabulary: Its items.
            overwrite: Whether an earlier model directory of that name goes.
            catalogue: The features of the items, if there are any.

        Raises:
            FileExistsError: If there is something of that name, or with `overwrite` something
                other than a model directory.
        """
        if not self.check_free(overwrite):
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        vocabulary.save(self.path / "vocabulary.json")
        if catalogue is not None:
            catalogue.write_parquet(self.path / "items.parquet")
        self.write_settings(settings)

    def write_settings(self, settings: Settings) -> None:
        """Replaces the settings."""
        write_json(self.path / "config.json", settings.to_json())

    def settings(self) -> Settings:
        """Reads the settings."""
        return Settings.from_json(self._read_json("config.json"))

    def vocabulary(self) -> Vocabulary:
        """Reads the vocabulary."""
        return Vocabulary.load(self._piece("vocabulary.json"))

    def catalogue(self) -> pl.DataFrame | None:
        """Reads the features of the items; None if the model has none."""
        if "item_features" not in self.settings().training:
            return None
        return read_events(self._piece("items.parquet"))

    def history(self) -> list[dict[str, float]]:
        """Reads what each finished epoch ended with."""
        return self._read_json("history.json")["epochs"]

    def load_model(self) -> Any:
        """Builds the model and gives it the weights of the checkpoint; or reads the baseline.

        Raises:
            FileNotFoundError: If a piece of the directory is missing.
            ValueError: If a piece cannot be read or does not fit the others.
        """
        settings = self.settings()
        if settings.model in baselines.BASELINES:
            return baselines.load(settings.model, self._piece(baselines.FILE))
        model = build_model(settings, self.vocabulary(), self.catalogue())
        self._restore(tf.train.Checkpoint(model=model), self._latest_checkpoint())
        return model

    def save(self, model: models.SessionRec, epochs: Sequence[Mapping[str, float]]) -> None:
        """Writes the state of training after an epoch.

        Args:
            model: The compiled model.
            epochs: What each finished epoch ended with.
        """
        self._manager(self._checkpoint(model, len(epochs))).save(checkpoint_number=len(epochs))
        write_json(self.path / "history.json", {"epochs": list(epochs)})

    def restore(self, model: models.SessionRec) -> list[dict[str, float]]:
        """Sets a compiled model back to where `save` left it.

        Args:
            model: The compiled model, with variables.

        Returns:
            What each finished epoch ended with.
        """
        checkpoint = self._checkpoint(model, 0)
        self._restore(checkpoint, self._latest_checkpoint())
        return self.history()[: int(checkpoint.finished_epochs)]

    def _checkpoint(self, model: models.SessionRec, finished_epochs: int) -> tf.train.Checkpoint:
        model.optimizer.build(model.trainable_variables)
        return tf.train.Checkpoint(
            model=model,
            optimizer=model.optimizer,
            finished_epochs=tf.Variable(finished_epochs, dtype=tf.int64),
        )

    def _manager(self, checkpoint: tf.train.Checkpoint) -> tf.train.CheckpointManager:
        return tf.train.CheckpointManager(checkpoint, str(self.path / "checkpoint"), max_to_keep=1)

    def _latest_checkpoint(self) -> str:
        latest = tf.train.latest_checkpoint(str(self._piece("checkpoint")))
        if latest is None:
            raise FileNotFoundError(f"{self.path} has no whole checkpoint/: was training begun?")
        return latest

    def _restore(self, checkpoint: tf.train.Checkpoint, latest: str) -> None:
        try:
            status = checkpoint.restore(latest)
            status.assert_existing_objects_matched().expect_partial()
        except (tf.errors.OpError, AssertionError, IndexError) as error:
            raise ValueError(
                f"{latest} is truncated or of another model: {str(error).splitlines()[0]}"
            ) from error

    def _piece(self, name: str) -> pathlib.Path:
        if not self.path.is_dir():
            raise FileNotFoundError(f"There is no model directory {self.path}")
        piece = self.path / name
        if not piece.exists():
            raise FileNotFoundError(f"{self.path} is no whole model directory: {name} is missing")
        return piece

    def _read_json(self, name: str) -> dict[str, Any]:
        piece = self._piece(name)
        try:
            return json.loads(piece.read_text())
        except ValueError as error:
            raise ValueError(f"{piece} is truncated or no JSON: {error}") from error


def build_model(
    settings: Settings, vocabulary: Vocabulary, catalogue: pl.DataFrame | None = None
) -> models.SessionRec:
    """Builds the model of some settings, with fresh weights that follow from their seed.

    Args:
        settings: The settings.
        vocabulary: The items.
        catalogue: The features of the items, if the settings name any.

    Raises:
        ValueError: If the model or an option of it is not known.
    """
    keras.utils.set_random_seed(settings.seed)
    options = dict(settings.options)
    if options.get("negatives") in ("in_batch", "mixed", "popularity"):
        counts = vocabulary.counts[: len(vocabulary) - vocabulary.num_new_items]
        options["candidate_sampling_probability"] = counts / counts.sum()
    if settings.training.get("interaction_types"):
        options["num_interaction_types"] = len(settings.training["interaction_types"])
    context = settings.training.get("session_context", {})
    if context:
        options["session_context"] = {name: len(values) for name, values in context.items()}
    if catalogue is not None:
        columns = settings.training["item_features"]
        options["features"] = item_features(catalogue, vocabulary, **columns)
        options["num_new_items"] = vocabulary.num_new_items
    if settings.training.get("relation") is not None:
        options["relation"] = {
            "numeric": settings.training["relation"],
            "num_interaction_types": options.get("num_interaction_types", 0),
            **options.get("relation", {}),
        }
    model = models.build(
        settings.model,
        vocabulary_size=len(vocabulary),
        first_item_index=vocabulary.first_item_index,
        **options,
    )
    nothing = {name: tf.zeros([1, 2], tf.int32) for name in context}
    model({"item_ids": tf.zeros([1, 2, 1], tf.int32), **nothing})
    return model
