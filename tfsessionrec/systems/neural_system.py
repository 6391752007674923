"""A trained neural model as a trained system."""

import os
import pathlib
import time as clock
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import tensorflow as tf

from tfsessionrec.checks import boolean, positive_integer, unix_seconds
from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.export import export_saved_model
from tfsessionrec.export.live import LiveSignatures
from tfsessionrec.models import SessionRec
from tfsessionrec.systems.epochs import chosen_epoch
from tfsessionrec.systems.model_directory import ModelDirectory
from tfsessionrec.systems.neural_model import build_model, set_trend
from tfsessionrec.systems.settings import Settings
from tfsessionrec.systems.trained_system import Ranked, RawId, TrainedSystem
from tfsessionrec.systems.training import compile_model


class NeuralSystem(TrainedSystem):
    """A trained neural model.

    Args:
        settings: Its settings.
        vocabulary: The items.
        model: The model.
        item_table: The features of the items. Defaults to None: there are none.
        epochs: Losses and metrics of each epoch; with validation the model is that of the best.
            Defaults to none.
    """

    def __init__(
        self,
        settings: Settings,
        vocabulary: Vocabulary,
        model: SessionRec,
        item_table: pl.DataFrame | None = None,
        epochs: Sequence[Mapping[str, float]] = (),
    ) -> None:
        super().__init__(settings, vocabulary)
        self.model = model
        self.item_table = item_table
        self.epochs = list(epochs)
        self._live: LiveSignatures | None = None
        self._source: ModelDirectory | None = None

    @property
    def scorer(self) -> SessionRec:
        return self.model

    @property
    def has_trend(self) -> bool:
        return self.model.trend is not None

    def prepare(self, sessions: Sessions) -> None:
        set_trend(self.model, sessions, self.vocabulary)

    def recommend(
        self,
        history: Sequence[Sequence[RawId]] | Sequence[RawId],
        k: int = 10,
        *,
        filter_seen: bool = False,
        time: float | None = None,
    ) -> Ranked:
        sessions = self.sessions_of(history)
        positive_integer("k", k)
        boolean("filter_seen", filter_seen)
        if self._live is None:
            self._live = LiveSignatures(self.model, self.vocabulary, self.history)
        now = int(clock.time() if time is None else unix_seconds("time", time))
        return self._live.recommend(sessions, k, now, filter_seen)

    def export(self, path: str | os.PathLike[str], **options: object) -> pathlib.Path:
        metadata: dict[str, object] = {
            "settings": self.settings.to_json(),
            "epochs": {"epochs": self.epochs},  # as history.json has them
        }
        metadata |= options.pop("metadata", {})  # type: ignore[call-overload]
        return export_saved_model(
            self.model,
            path,
            self.vocabulary,
            spec=self.history,
            metadata=metadata,
            **options,  # type: ignore[arg-type]
        )

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        if self._source is not None and self.model.optimizer is None:
            self._restore_optimizer(self._source)
        directory = ModelDirectory(pathlib.Path(path))
        with directory.locked():
            directory.create(self.settings, self.vocabulary, overwrite, self.item_table)
            directory.save(self.model, self.epochs[: chosen_epoch(self.epochs)])
            directory.publish()

    @classmethod
    def load(cls, directory: ModelDirectory, settings: Settings) -> "NeuralSystem":
        """Reads the model of a model directory."""
        vocabulary, item_table = directory.vocabulary(), directory.item_table()
        model = build_model(settings, vocabulary, item_table)
        directory.load_weights(model)
        system = cls(settings, vocabulary, model, item_table, directory.history())
        system._source = directory
        return system

    def _restore_optimizer(self, source: ModelDirectory) -> None:
        """Reads what only a training needs, which loading leaves out: it is twice the weights.

        Raises:
            ValueError: If the directory has other weights by now.
        """
        before = self.model.get_weights()
        try:
            # TensorFlow reads a part of the checkpoint as soon as the model has an optimizer.
            compile_model(self.model, self.settings, steps=1)
            source.restore(self.model, source.chosen_epoch())
            if not all(map(np.array_equal, before, self.model.get_weights())):
                raise ValueError("the model there has other weights")
        except (OSError, ValueError, tf.errors.OpError) as error:
            self.model.set_weights(before)
            self.model.optimizer = None
            raise ValueError(
                "The system should be saved while the directory from which it was loaded is there, "
                f"with the state of its optimizer. Received: {source.path}: {error}"
            ) from error

    def last_tick(self, sessions: Sessions) -> int:
        """The first moment at which a trend table holds all events of some sessions."""
        assert self.model.trend is not None
        last = int(sessions.events["timestamp"].max())  # type: ignore[arg-type]
        refresh = self.model.trend.refresh
        return (last // refresh + 1) * refresh
