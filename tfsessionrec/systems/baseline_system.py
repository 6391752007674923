"""A fitted baseline as a trained system."""

import os
import pathlib
from collections.abc import Sequence
from typing import ClassVar

from tfsessionrec.baselines import SessionBaseline
from tfsessionrec.checks import boolean, positive_integer
from tfsessionrec.data import Sessions
from tfsessionrec.systems.model_directory import BASELINE, ModelDirectory
from tfsessionrec.systems.registry import baseline_class
from tfsessionrec.systems.settings import Settings
from tfsessionrec.systems.trained_system import Ranked, RawId, TrainedSystem


class BaselineSystem(TrainedSystem):
    """A fitted baseline.

    Args:
        settings: Its settings.
        model: The baseline.
    """

    can_export: ClassVar[bool] = False

    def __init__(self, settings: Settings, model: SessionBaseline) -> None:
        if model.vocabulary is None:
            raise ValueError("`model` should be fitted. Received: a baseline that is not")
        super().__init__(settings, model.vocabulary)
        self.model = model

    @property
    def scorer(self) -> SessionBaseline:
        return self.model

    @property
    def has_trend(self) -> bool:
        return False

    def sessions_since(self, sessions: Sessions) -> Sessions:
        """What the baseline learns: without history, which it would learn as it learns targets."""
        return self.settings.trained_on(sessions, history=False)

    def events_learned(self, events: Sessions) -> Sessions:
        return self.sessions_since(events)

    def prepare(self, sessions: Sessions) -> None:
        """Does nothing: a baseline knows the events that it was fitted to."""

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
        seen = {item for session in sessions for item in session} if filter_seen else set()
        ranked = self.model.recommend(sessions or [[]], k + len(seen), time=time)
        return [(item, score) for item, score in ranked if item not in seen][:k]

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        directory = ModelDirectory(pathlib.Path(path))
        with directory.locked():
            directory.create(
                self.settings, self.vocabulary, overwrite, save_baseline=self.model.save
            )
            directory.publish()

    @classmethod
    def load(cls, directory: ModelDirectory, settings: Settings) -> "BaselineSystem":
        """Reads the baseline of a model directory."""
        return cls(settings, baseline_class(settings.model).load(directory.piece(BASELINE)))
