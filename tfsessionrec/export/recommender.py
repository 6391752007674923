"""Asking an export for recommendations from Python."""

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from tfsessionrec.checks import boolean, is_number, positive_integer, sequence, share, unix_seconds
from tfsessionrec.data.ids import exact_ids
from tfsessionrec.export.checksum import CHECKSUMS, damaged_files
from tfsessionrec.export.contract import DESCRIPTION, NO_SCORE
from tfsessionrec.export.version_directory import version_directory

RawId = str | int

# The option of `export_saved_model` that a rule of a request needs.
OPTIONS = {
    "tag_mask": "item_tags",
    "max_per_category": "item_categories",
    "freshness": "item_times",
}

# An export is not asked for gradients.
GRADIENT_WARNING = "with ops with unsaved custom gradients"


class Recommender:
    """A loaded export that answers one history at a time.

    Args:
        path: What `export_saved_model` wrote, or the directory above it that holds numbered
            versions, of which it loads the newest.
        verify: Whether to read all files first and compare their SHA-256. Defaults to False: only
            their sizes are compared, which takes no time.

    Raises:
        FileNotFoundError: If there is no export at `path`.
        ValueError: If the export is incomplete or damaged; it names the file.

    Example:

    ```python
    recommender = Recommender("exported/sessionrec/1")
    recommender.recommend(["shoes", "socks", "hat"], [0, 0, 1], k=10)
    ```
    """

    def __init__(self, path: str | os.PathLike[str], *, verify: bool = False) -> None:
        boolean("verify", verify)
        self.path = version_directory(path)
        try:
            # Exports of earlier versions of this package have no checksums.
            if verify or (self.path / CHECKSUMS).exists():
                damage = damaged_files(self.path, hashes=verify)
                if damage:
                    raise ValueError("; ".join(damage))
            description = json.loads((self.path / DESCRIPTION).read_text())
            self.k = int(description["k"])
            self.id_dtype = str(description["vocabulary"]["dtype"])
            with _silence(GRADIENT_WARNING):
                self._saved_model = tf.saved_model.load(os.fspath(self.path))
            self._signatures = self._saved_model.signatures
            described = description["signatures"]
            self._rules = set(described.get("recommend_filtered", {}).get("inputs", {}))
            given = {"item_ids", "session_index", "k", "labels"}
            inputs = described["recommend"]["inputs"]
            self.include_labels = "labels" in inputs
            self.item_inputs = {n: str(i["dtype"]) for n, i in inputs.items() if n not in given}
        except Exception as error:  # TensorFlow raises many kinds for a truncated file.
            raise ValueError(
                "`path` should be a complete export of `export_saved_model`. Received: "
                f"`path`={str(self.path)!r}, which does not load: {type(error).__name__}: {error}"
            ) from error

    def recommend(
        self,
        item_ids: Sequence[RawId],
        session_index: Sequence[int] | None = None,
        *,
        k: int | None = None,
        labels: Sequence[float] | None = None,
        exclude_ids: Sequence[RawId] = (),
        allow_ids: Sequence[RawId] = (),
        exclude_seen: bool = False,
        diversity: float = 0.0,
        tag_mask: int = 0,
        max_per_category: int = 0,
        freshness: float = 0.0,
        request_time: int | None = None,
        **item_inputs: Sequence[float | str],
    ) -> list[tuple[RawId, float]]:
        """Recommends items to follow a history.

        Args:
            item_ids: Raw ids, oldest first. Where ids are integers, their decimal strings do too.
            session_index: Which session each item belongs to. Defaults to None: all to one.
            k: How many items to recommend. Defaults to None: the k of the export.
            labels: 1 positive, 0 shown but not clicked, for an export whose model reads labels.
                Defaults to None: all positive.
            exclude_ids: Items that must not be recommended. Defaults to none.
            allow_ids: The only items that may be recommended. Defaults to none: all may.
            exclude_seen: Whether no item of the history may be. Defaults to False.
            diversity: 0 (order of the scores) to 1, see `rules.maximal_marginal_relevance`.
                Defaults to 0.
            tag_mask: Tags of which an item must have one, as a sum of their bits, for an export
                made with `item_tags`. Defaults to 0: any item.
            max_per_category: The most items of a category, for an export made with
                `item_categories`. Defaults to 0: no limit.
            freshness: What is added to the score of a new item, see `rules.freshness_bonus`, for an
                export made with `item_times`. Defaults to 0.
            request_time: Unix seconds at which `freshness` takes the age of items. Defaults to
                None: now.
            **item_inputs: Further inputs for each item (`recommender.item_inputs`): `timestamps`,
                `interaction_types` or a context feature, one value an item.

        Returns:
            Pairs (raw id, score), highest score first, or in the order of `diversity`; fewer than k
            if the catalogue is smaller or the rules leave fewer.

        Raises:
            ValueError: If an argument is out of its range or of another type.
        """
        k = self._checked_k(k)
        rules: dict[str, object] = {
            "exclude_ids": self._ids(exclude_ids, "exclude_ids"),
            "allow_ids": self._ids(allow_ids, "allow_ids"),
            "exclude_seen": boolean("exclude_seen", exclude_seen),
            "diversity": share("diversity", diversity),
            "tag_mask": tag_mask,
            "max_per_category": max_per_category,
            "freshness": freshness,
        }
        inputs = self._history_inputs(item_ids, session_index, labels, item_inputs)
        inputs["k"] = tf.constant([k], tf.int32)
        if not any(rules.values()):
            return self._pairs(self._signatures["recommend"](**inputs))
        inputs |= self._rule_inputs(rules, request_time)
        return self._pairs(self._signatures["recommend_filtered"](**inputs))

    def similar_items(self, item_id: RawId, *, k: int | None = None) -> list[tuple[RawId, float]]:
        """The items most similar to one item.

        Args:
            item_id: Raw id.
            k: How many items to give. Defaults to None: the k of the export.

        Returns:
            Pairs (raw id, similarity), most similar first; fewer than k if the catalogue is
            smaller.

        Raises:
            ValueError: If `k` is not a positive integer, or the export does not know the item.
        """
        inputs = {
            "item_ids": tf.constant(self._ids([item_id], "item_id"), self.id_dtype),
            "k": tf.constant([self._checked_k(k)], tf.int32),
        }
        answer = self._signatures["similar_items"](**inputs)
        if not answer["known"][0]:
            raise ValueError(
                f"`item_id` should be an item of the export. Received: `item_id`={item_id!r}"
            )
        return self._pairs(answer)

    def _checked_k(self, k: int | None) -> int:
        return min(positive_integer("k", self.k if k is None else k), tf.int32.max)

    def _history_inputs(
        self,
        item_ids: Sequence[RawId],
        session_index: Sequence[int] | None,
        labels: Sequence[float] | None,
        item_inputs: Mapping[str, Sequence[float | str]],
    ) -> dict[str, tf.Tensor]:
        """A batch of one history."""
        sequence("item_ids", item_ids, "raw ids")
        if session_index is None:
            session_index = [0] * len(item_ids)
        if labels is not None and not self.include_labels:
            raise ValueError(
                "`labels` should be None: the model of this export reads no labels. "
                f"Received: `labels`={labels!r}"
            )
        if labels is None:
            labels = [1.0] * len(item_ids)
        if set(item_inputs) != set(self.item_inputs):
            raise ValueError(
                "A history should come with the inputs that the export takes for its items: "
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
        }
        if self.include_labels:
            inputs["labels"] = tf.constant([list(labels)], tf.float32)
        for name, value in item_inputs.items():
            if name == "timestamps":
                unix_seconds(name, max(filter(is_number, value), default=0))
            try:
                inputs[name] = tf.constant([list(value)], self.item_inputs[name])
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"`{name}` should hold values of type {self.item_inputs[name]}. "
                    f"Received: `{name}`={value!r}"
                ) from error
        return inputs

    def _rule_inputs(
        self, rules: Mapping[str, object], request_time: int | None
    ) -> dict[str, tf.Tensor]:
        """The inputs of `recommend_filtered` in addition to the history and k."""
        given = dict(rules)
        for name, option in OPTIONS.items():
            if name not in self._rules and given.pop(name):
                raise ValueError(
                    f"`{name}` should be 0: the export was made without `{option}`. Received: "
                    f"`{name}`={rules[name]!r}"
                )
        if "freshness" in given:
            now = (
                time.time() if request_time is None else unix_seconds("request_time", request_time)
            )
            given["request_times"] = int(now)
        specs = self._signatures["recommend_filtered"].structured_input_signature[1]
        inputs = {}
        for name, value in given.items():
            try:
                inputs[name] = tf.constant([value], specs[name].dtype)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"`{name}` should be of type {specs[name].dtype.name}. Received: "
                    f"`{name}`={value!r}"
                ) from error
        return inputs

    def _pairs(self, answer: Mapping[str, tf.Tensor]) -> list[tuple[RawId, float]]:
        """Raw ids and scores of the one row of an answer."""
        ids, scores = (answer[name][0].numpy().tolist() for name in ("item_ids", "scores"))
        if self.id_dtype == "string":
            ids = [item.decode() for item in ids]
        pairs = zip(ids, scores, strict=True)
        return [(item, score) for item, score in pairs if score > NO_SCORE]

    def _ids(self, item_ids: Sequence[RawId], name: str = "item_ids") -> Sequence[RawId]:
        sequence(name, item_ids, "raw ids")
        return exact_ids(item_ids, name, "string" if self.id_dtype == "string" else "int64")


def load_saved_model(path: str | os.PathLike[str], *, verify: bool = False) -> Recommender:
    """Loads what `export_saved_model` wrote.

    Args:
        path: The export, or the directory above it that holds numbered versions.
        verify: Whether to compare the SHA-256 of all files first. Defaults to False.

    Returns:
        A `Recommender`.

    Raises:
        FileNotFoundError: If there is no export at `path`.
        ValueError: If the export is incomplete or damaged.
    """
    return Recommender(path, verify=verify)


@contextlib.contextmanager
def _silence(message: str) -> Iterator[None]:
    """Removes lines with a message from TensorFlow's log."""

    def other(record: logging.LogRecord) -> bool:
        return message not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)
