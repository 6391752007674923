"""Asking an export for recommendations from Python."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfsessionrec.export.atomic_directory import MARKER
from tfsessionrec.export.saved_model import DESCRIPTION


class Recommender:
    """A loaded export that answers one history at a time.

    Args:
        path: What `export_saved_model` wrote, or the directory above it that holds numbered
            versions, the newest of which is taken.

    Raises:
        FileNotFoundError: If there is no export at `path`.
        ValueError: If the export is incomplete or damaged.

    Example:

    ```python
    recommender = Recommender("exported/sessionrec/1")
    recommender.recommend(["shoes", "socks", "hat"], [0, 0, 1], k=10)
    ```
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = _version_directory(pathlib.Path(path))
        try:
            description = json.loads((self.path / DESCRIPTION).read_text())
            self.k = int(description["k"])
            self.include_labels = bool(description["include_labels"])
            self.id_dtype = str(description["vocabulary"]["dtype"])
            self._saved_model = tf.saved_model.load(os.fspath(self.path))
            self._signature = self._saved_model.signatures["recommend"]
            given = {"item_ids", "session_index", "k", "labels"}
            inputs = description["signatures"]["recommend"]["inputs"]
            self.item_inputs = {n: str(i["dtype"]) for n, i in inputs.items() if n not in given}
        except Exception as error:  # TensorFlow raises many kinds for a truncated file.
            raise ValueError(
                "`path` should be a complete export of `export_saved_model`. Received: "
                f"`path`={str(self.path)!r}, which does not load: {type(error).__name__}: {error}"
            ) from error

    def recommend(
        self,
        item_ids: Sequence[Any],
        session_index: Sequence[int] | None = None,
        *,
        k: int | None = None,
        labels: Sequence[float] | None = None,
        **item_inputs: Sequence[Any],
    ) -> list[tuple[Any, float]]:
        """Recommends items to follow a history.

        Args:
            item_ids: Raw ids, oldest first. Where ids are integers, their decimal strings do too.
            session_index: Which session each item belongs to. Defaults to None: all to one.
            k: How many items to recommend. Defaults to None: the k of the export.
            labels: 1 taken, 0 shown but not taken, for an export made with `include_labels`.
                Defaults to None: all taken.
            **item_inputs: What else the export takes of each item (`recommender.item_inputs`):
                `timestamps`, `interaction_types` or a context feature, one value an item.

        Returns:
            Pairs (raw id, score), highest score first; fewer than k if the catalogue is smaller.

        Raises:
            ValueError: If an argument is not what it should be.
        """
        k = self.k if k is None else k
        if not isinstance(k, int) or k <= 0:
            raise ValueError(f"`k` should be a positive integer. Received: `k`={k!r}")
        if session_index is None:
            session_index = [0] * len(item_ids)
        if labels is not None and not self.include_labels:
            raise ValueError(
                "`labels` should be None: the export was made without `include_labels`. "
                f"Received: `labels`={labels!r}"
            )
        if labels is None:
            labels = [1.0] * len(item_ids)
        if set(item_inputs) != set(self.item_inputs):
            raise ValueError(
                "A history should come with what the export takes of its items: "
                f"{sorted(self.item_inputs) or 'nothing more'}. Received: {sorted(item_inputs)}"
            )
        per_item = {"session_index": session_index, "labels": labels, **item_inputs}
        for name, value in per_item.items():
            if len(value) != len(item_ids):
                raise ValueError(
                    f"`{name}` should have one number an item of `item_ids` ({len(item_ids)}). "
                    f"Received: `{name}`={value!r}"
                )
        inputs = {
            "item_ids": tf.constant([self._ids(item_ids)], self.id_dtype),
            "session_index": tf.constant([list(session_index)], tf.int32),
            "k": tf.constant([min(k, tf.int32.max)], tf.int32),
        }
        if self.include_labels:
            inputs["labels"] = tf.constant([list(labels)], tf.float32)
        for name, value in item_inputs.items():
            try:
                inputs[name] = tf.constant([list(value)], self.item_inputs[name])
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"`{name}` should hold values of type {self.item_inputs[name]}. "
                    f"Received: `{name}`={value!r}"
                ) from error
        answer = {name: value[0].numpy() for name, value in self._signature(**inputs).items()}
        ids = answer["item_ids"].tolist()
        if self.id_dtype == "string":
            ids = [item.decode() for item in ids]
        return list(zip(ids, answer["scores"].tolist(), strict=True))

    def _ids(self, item_ids: Sequence[Any]) -> list[Any]:
        kind = str if self.id_dtype == "string" else int
        try:
            return [kind(item) for item in item_ids]
        except (TypeError, ValueError):
            raise ValueError(
                "`item_ids` should be integers, as in the vocabulary of this export. Received: "
                f"`item_ids`={item_ids!r}"
            ) from None


def load_saved_model(path: str | os.PathLike[str]) -> Recommender:
    """Loads what `export_saved_model` wrote.

    Args:
        path: The export, or the directory above it that holds numbered versions.

    Returns:
        A `Recommender`.

    Raises:
        FileNotFoundError: If there is no export at `path`.
        ValueError: If the export is incomplete or damaged.
    """
    return Recommender(path)


def _version_directory(path: pathlib.Path) -> pathlib.Path:
    """`path` itself, or the newest numbered version in it, as TensorFlow Serving takes it."""
    if path.is_dir() and not (path / MARKER).exists():
        versions = [p for p in path.iterdir() if p.name.isdecimal() and (p / MARKER).exists()]
        path = max(versions, key=lambda version: int(version.name), default=path)
    if not (path / MARKER).is_file():
        raise FileNotFoundError(
            f"`path` should be an export (a directory with {MARKER}) or hold numbered versions "
            f"of one. Received: `path`={str(path)!r}"
        )
    return path
