"""The base class of the baselines that learn sessions."""

import abc
import json
import os
import pathlib
import uuid
import zipfile
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.baselines.running_sessions import Features, RunningSessions, read_queries
from tfsessionrec.baselines.session_log import Arrays, Id, plain
from tfsessionrec.checks import boolean, instance, positive_integer, sequence, unix_seconds
from tfsessionrec.data.sessions import Sessions
from tfsessionrec.data.vocabulary import Vocabulary
from tfsessionrec.types import Config

_FORMAT = 1

# Raw ids of the running session, oldest first, or one such list a session.
History = Sequence[Id] | Sequence[Sequence[Id]]


class SessionBaseline(abc.ABC):
    """A method without gradients: it learns sessions by counting and scores items.

    A query belongs to a *running session*, the last session of its history: earlier sessions of
    the query are ignored, only learned sessions count. Only positive interactions (label 1) of
    known items count, in learning and in queries.

    A subclass implements `_learn_all` and `_score`, `_arrays` and `_restore`; one that learns
    incrementally also implements `update` and sets `learns`. Its constructor keeps each argument
    under its own name.
    """

    learns: ClassVar[Literal["nothing", "by_time", "in_steps"]] = "nothing"
    """The effect of `update`. `"nothing"`, the default: it raises. `"by_time"`: a request's scores
    count only events before its time, even if later ones are learned. `"in_steps"`: scores count
    everything learned so far."""

    vocabulary: Vocabulary | None = None

    def fit(self, sessions: Sessions, vocabulary: Vocabulary) -> Self:
        """Learns sessions and forgets everything learned before.

        Args:
            sessions: The sessions to learn.
            vocabulary: Gives each item its index; other items are left out.

        Returns:
            The baseline itself.
        """
        instance("sessions", sessions, Sessions)
        instance("vocabulary", vocabulary, Vocabulary)
        self.vocabulary = vocabulary
        self._learn_all(self.positives(sessions.events))
        return self

    def update(self, events: pl.DataFrame) -> None:
        """Learns further interactions; the result equals a fit to all interactions at once.

        Args:
            events: Interactions later than those learned, in order of time, with the columns
                `user_id`, `session_id`, `session_index`, `item_id`, `timestamp` and `label` of
                `Sessions.events`. Rows with the `user_id` and `session_index` of a known session
                continue it. The vocabulary stays: unknown items are left out.

        Raises:
            NotImplementedError: If the method cannot learn more.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot learn more after `fit`: call `fit` again"
        )

    def sparse_scores(
        self,
        features: Features,
        rows: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> scipy.sparse.csr_array:
        """Scores of the items that have one.

        Args:
            features: A session batch: `item_ids` [B, S, I]; `labels` [B, S, I], without which every
                item is positive; and the time of a request, for methods that use it:
                `request_times` [B] or [B, S], else `item_times` [B, S, I], else `session_times`
                [B, S]. Padding is 0 and comes last.
            rows: [Q], the batch row of each query. None by default: one query a row, after its
                whole history.
            positions: [Q], the last session that each query knows, -1 for none; given with `rows`.

        Returns:
            [Q, vocabulary_size] float32 with sorted indices. Items that are not stored rank below
            all stored ones and tie with each other.

        Raises:
            ValueError: If the baseline is not fitted, or the features' shapes do not match.
        """
        scores = self._score(self.running_sessions(features, rows, positions))
        scores.sort_indices()
        return scores

    def score(self, features: Features) -> NDArray[np.float32]:
        """[B, vocabulary_size] float32 scores after the whole history; 0 for items without one."""
        return self.sparse_scores(features).toarray()

    def recommend(
        self,
        history: History,
        k: int = 20,
        *,
        time: float | None = None,
        filter_seen: bool = False,
    ) -> list[tuple[Id, float]]:
        """The best items for one visitor.

        Args:
            history: Raw ids of the running session, oldest first; or a list of such lists, one a
                session, the last of which is running.
            k: Number of items, 20 by default.
            time: Unix seconds of the request. Defaults to the latest time learned.
            filter_seen: Whether the history's items are left out. False by default.

        Returns:
            At most k pairs (raw id, score), best first, ties by popularity. Items without a score
            are left out.
        """
        vocabulary = self._fitted()
        k = positive_integer("k", k)
        sequence("history", history, "raw ids, or of lists of them")
        boolean("filter_seen", filter_seen)
        features = self._features(history, time)
        scores = self.sparse_scores(features)
        items, values = scores.indices, scores.data
        if filter_seen:
            keep = ~np.isin(items, features["item_ids"])
            items, values = items[keep], values[keep]
        best = np.lexsort((items, -values))[:k]
        return list(zip(vocabulary.raw(items[best]).tolist(), values[best].tolist()))

    def get_config(self) -> Config:
        """The constructor's arguments."""
        return {}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything learned to one `.npz` file, in one atomic step.

        The file holds plain arrays and a JSON text, no pickled objects.
        """
        vocabulary = self._fitted()
        about = {
            "format": f"tfsessionrec.{type(self).__name__}",
            "version": _FORMAT,
            "config": self.get_config(),
            "num_oov_indices": vocabulary.num_oov_indices,
            "num_new_items": vocabulary.num_new_items,
        }
        arrays: Arrays = {
            "vocabulary_ids": plain(vocabulary.ids),
            "vocabulary_counts": vocabulary.counts[vocabulary.first_item_index :],
            **self._arrays(),
        }
        path = pathlib.Path(path)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with part.open("wb") as file:
                arrays["about"] = np.array(json.dumps(about))
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a file that `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file was not written by this class.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about = json.loads(str(arrays.pop("about")))
            written = (about["format"], about["version"])
            if written != (f"tfsessionrec.{cls.__name__}", _FORMAT):
                raise ValueError(f"{written[0]} version {written[1]}")
            model = cls(**about["config"])
            model.vocabulary = Vocabulary(
                arrays.pop("vocabulary_ids").tolist(),
                arrays.pop("vocabulary_counts"),
                about["num_oov_indices"],
                about["num_new_items"],
            )
            model._restore(arrays)
        except FileNotFoundError:
            raise
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"`path` should be a file that `{cls.__name__}.save` wrote. "
                f"Received: {path}: {error!r}"
            ) from error
        return model

    def positives(self, events: pl.DataFrame) -> pl.DataFrame:
        """The positive interactions with known items; column `item_ids` holds their indices."""
        vocabulary = self._fitted()
        clicked = events.filter(pl.col("label") == 1)
        indices = vocabulary.lookup(clicked["item_id"])
        return clicked.with_columns(item_ids=pl.Series(indices, dtype=pl.Int32)).filter(
            pl.col("item_ids") >= vocabulary.first_item_index
        )

    def running_sessions(
        self,
        features: Features,
        rows: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> RunningSessions:
        """The items that each query of `sparse_scores` knows; same arguments."""
        vocabulary = self._fitted()
        return read_queries(features, vocabulary.first_item_index, len(vocabulary), rows, positions)

    def _features(self, history: History, time: float | None) -> dict[str, NDArray]:
        """A batch of one row."""
        running: Sequence[Id] | Sequence[Sequence[Id]] = history
        if len(history) and isinstance(history[-1], list | tuple | np.ndarray):
            running = history[-1]
        items = self._fitted().lookup(list(running)).reshape(1, 1, -1)
        features = {"item_ids": items}
        if time is not None:
            features["request_times"] = np.array([unix_seconds("time", time)], np.float64)
        return features

    def _fitted(self) -> Vocabulary:
        if self.vocabulary is None:
            raise ValueError(f"{type(self).__name__} should be fitted first. Received: not fitted")
        return self.vocabulary

    @abc.abstractmethod
    def _learn_all(self, events: pl.DataFrame) -> None:
        """Learns the rows of `positives` and forgets everything else."""

    @abc.abstractmethod
    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        """[Q, vocabulary_size] float32, without scores of padding and out-of-vocabulary indices."""

    @abc.abstractmethod
    def _arrays(self) -> Arrays:
        """Everything learned, for `save`; no array holds objects."""

    @abc.abstractmethod
    def _restore(self, arrays: Arrays) -> None:
        """Restores the state from `_arrays`; the vocabulary is set already."""
