"""What all baselines that read sessions share."""

import abc
import json
import os
import pathlib
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from tfsessionrec.baselines.running_sessions import RunningSessions
from tfsessionrec.checks import positive_integer
from tfsessionrec.data.sessions import Sessions
from tfsessionrec.data.vocabulary import Vocabulary

_FORMAT = 1


class SessionBaseline(abc.ABC):
    """A method without gradients: it learns sessions by counting and scores items.

    A query is asked in a *running session*, the last session of its history: of what came before it
    these methods know what they have learned, not what the query brings. Only positive interactions
    (label 1) of known items count, in learning and in asking.

    A subclass fills `_learn_all` and `_score`, `_arrays` and `_restore`, and `update` where it can
    learn more without starting anew. Its constructor keeps each argument under its own name.
    """

    vocabulary: Vocabulary | None = None

    def fit(self, sessions: Sessions, vocabulary: Vocabulary) -> Self:
        """Learns sessions; what was learned before is forgotten.

        Args:
            sessions: The sessions to learn.
            vocabulary: Gives each item its index; other items are left out.

        Returns:
            The baseline itself.
        """
        self.vocabulary = vocabulary
        self._learn_all(self.positives(sessions.events))
        return self

    def update(self, events: pl.DataFrame) -> None:
        """Learns further interactions, so that all is as if fitted to everything at once.

        Args:
            events: Interactions later than those learned, in order of time, with the columns
                `user_id`, `session_id`, `session_index`, `item_id`, `timestamp` and `label` of
                `Sessions.events`. A session goes on where it has the `user_id` and `session_index`
                of one that is known. The vocabulary stays: unknown items are left out.

        Raises:
            NotImplementedError: If the method cannot learn more.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot learn more than it was fitted to: call `fit` again"
        )

    def sparse_scores(
        self,
        features: Mapping[str, Any],
        rows: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> scipy.sparse.csr_array:
        """Scores of the items that have one.

        Args:
            features: A session batch: `item_ids` [B, S, I]; `labels` [B, S, I], without which every
                item is taken; and what says when a query is asked, for methods that look at time:
                `request_times` [B] or [B, S], else `item_times` [B, S, I], else `session_times`
                [B, S]. Padding is 0 and comes last.
            rows: [Q], the row of the batch that each query is of. None by default: one query a row,
                after its whole history.
            positions: [Q], the last session that each query knows, -1 for none; given with `rows`.

        Returns:
            [Q, vocabulary_size] float32 with sorted indices. An item that is not stored stands
            below all that are, and ties with all others of its kind.

        Raises:
            ValueError: If the baseline is not fitted, or the features' shapes do not match.
        """
        scores = self._score(self.running_sessions(features, rows, positions))
        scores.sort_indices()
        return scores

    def score(self, features: Mapping[str, Any]) -> NDArray[np.float32]:
        """[B, vocabulary_size] float32 scores after the whole history; 0 where there is none."""
        return self.sparse_scores(features).toarray()

    def recommend(
        self,
        history: Sequence[Any],
        k: int = 20,
        *,
        time: float | None = None,
        filter_seen: bool = False,
    ) -> list[tuple[Any, float]]:
        """The best items for one visitor.

        Args:
            history: Raw ids of the running session, oldest first; or a list of such lists, one a
                session, of which the last is running.
            k: How many, 20 by default.
            time: Unix seconds of the request. Defaults to the latest time learned.
            filter_seen: Whether the history's items are left out. False by default.

        Returns:
            At most k pairs (raw id, score), the best first, of equal ones the more popular first.
            Items without a score are not among them.
        """
        vocabulary = self._fitted()
        k = positive_integer("k", k)
        features = self._features(history, time)
        scores = self.sparse_scores(features)
        items, values = scores.indices, scores.data
        if filter_seen:
            keep = ~np.isin(items, features["item_ids"])
            items, values = items[keep], values[keep]
        best = np.lexsort((items, -values))[:k]
        return list(zip(vocabulary.raw(items[best]).tolist(), values[best].tolist()))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything learned to one `.npz` file, which is there whole or not at all.

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
        ids = vocabulary.ids
        arrays: dict[str, Any] = {
            "vocabulary_ids": ids if ids.dtype != object else np.array(ids.tolist(), np.str_),
            "vocabulary_counts": vocabulary.counts[vocabulary.first_item_index :],
            **self._arrays(),
        }
        path = pathlib.Path(path)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with part.open("wb") as file:
                np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not a file of this class.
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
        """The taken known items, their indices in the column `item_ids`."""
        vocabulary = self._fitted()
        taken = events.filter(pl.col("label") == 1)
        indices = vocabulary.lookup(taken["item_id"])
        return taken.with_columns(item_ids=pl.Series(indices, dtype=pl.Int32)).filter(
            pl.col("item_ids") >= vocabulary.first_item_index
        )

    def running_sessions(
        self,
        features: Mapping[str, Any],
        rows: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> RunningSessions:
        """What each query of `sparse_scores` knows; see there for the arguments."""
        vocabulary = self._fitted()
        items = np.asarray(features["item_ids"])
        if items.ndim != 3:
            raise ValueError(
                "`item_ids` should have the shape [B, S, I]. Received: "
                f"`item_ids` of shape {items.shape}"
            )
        labels = np.asarray(features["labels"]) if "labels" in features else items > 0
        if labels.shape != items.shape:
            raise ValueError(
                f"`labels` should have the shape {items.shape}, as `item_ids` has it. "
                f"Received: `labels` of shape {labels.shape}"
            )
        if (rows is None) != (positions is None):
            raise ValueError("`rows` and `positions` should be given together. Received: one")
        if positions is None:
            real = np.any(items > 0, axis=2)
            row = np.arange(len(items))
            last = np.where(real.any(axis=1), real.shape[1] - 1 - real[:, ::-1].argmax(axis=1), -1)
        else:
            row, last = np.asarray(rows, np.int64), np.asarray(positions, np.int64)
        known = items[row, last]
        taken = (labels[row, last] > 0) & (known >= vocabulary.first_item_index)
        taken &= (last >= 0)[:, None]
        if known.size and known.max() >= len(vocabulary):
            raise ValueError(
                f"`item_ids` should be vocabulary indices below {len(vocabulary)}. "
                f"Received: {known.max()}"
            )
        return RunningSessions(
            known[taken].astype(np.int32),
            np.concatenate([[0], np.cumsum(taken.sum(axis=1))]).astype(np.int64),
            self._times(features, items, row, last, whole=positions is None),
        )

    def _times(
        self,
        features: Mapping[str, Any],
        items: NDArray[Any],
        row: NDArray[np.int64],
        last: NDArray[np.int64],
        whole: bool,
    ) -> NDArray[np.float64]:
        """When each query is asked; NaN where nothing says so."""
        if "request_times" in features:
            asked = np.asarray(features["request_times"], np.float64)
            if asked.ndim == 1:
                return asked[row]
            # A row without a history is asked at its first position.
            return np.where((last < 0) & (not whole), np.nan, asked[row, np.maximum(last, 0)])
        if "item_times" in features:
            times = np.asarray(features["item_times"], np.float64)[row, last]
            times = np.where(items[row, last] > 0, times, -np.inf).max(axis=1, initial=-np.inf)
        elif "session_times" in features:
            times = np.asarray(features["session_times"], np.float64)[row, last]
        else:
            times = np.full(len(row), np.nan)
        return np.where(last < 0, np.nan, times)

    def _features(self, history: Sequence[Any], time: float | None) -> dict[str, Any]:
        """A batch of one row."""
        vocabulary = self._fitted()
        running = list(history)
        if running and isinstance(running[-1], list | tuple | np.ndarray):
            running = list(running[-1])
        items = vocabulary.lookup(running).reshape(1, 1, -1)
        features: dict[str, Any] = {"item_ids": items}
        if time is not None:
            features["request_times"] = np.array([time], np.float64)
        return features

    def _fitted(self) -> Vocabulary:
        if self.vocabulary is None:
            raise ValueError(f"{type(self).__name__} should be fitted first. Received: not fitted")
        return self.vocabulary

    @abc.abstractmethod
    def _learn_all(self, events: pl.DataFrame) -> None:
        """Learns what `positives` gave, from nothing."""

    @abc.abstractmethod
    def _score(self, queries: RunningSessions) -> scipy.sparse.csr_array:
        """[Q, vocabulary_size] float32; no padding, no out-of-vocabulary column."""

    @abc.abstractmethod
    def _arrays(self) -> dict[str, NDArray[Any]]:
        """What was learned, for `save`: no objects among it."""

    @abc.abstractmethod
    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Learns what `_arrays` gave; the vocabulary is set."""
