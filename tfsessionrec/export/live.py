"""The signatures of an export, answered by a live model."""

import pathlib
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from tfsessionrec.export.contract import NO_SCORE
from tfsessionrec.export.live_files import write_trend_file
from tfsessionrec.export.request import vocabulary_lines
from tfsessionrec.export.served_model import trend_of
from tfsessionrec.export.signatures import ServingSignatures
from tfsessionrec.history_spec import HistorySpec

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

RawId = str | int


class LiveSignatures:
    """Answers as an export of a model would, without writing one.

    Args:
        model: The model, as `export_saved_model` takes it.
        vocabulary: Its vocabulary.
        spec: What it reads of a history.
    """

    def __init__(self, model: object, vocabulary: "Vocabulary", spec: HistorySpec) -> None:
        self._spec = spec
        self._trend = trend_of(model)
        self._folder = tempfile.TemporaryDirectory()  # as long as this object
        folder = pathlib.Path(self._folder.name)
        (folder / "vocabulary.txt").write_bytes(vocabulary_lines(vocabulary))
        self._trend_file = folder / "trend.pb"
        self._count_clicks(0)
        self._signatures = ServingSignatures(
            model,
            vocabulary,
            folder / "vocabulary.txt",
            spec,
            trend_file=None if self._trend is None else self._trend_file,
        )

    def recommend(
        self,
        sessions: Sequence[Sequence[RawId]],
        k: int,
        time: int,
        filter_seen: bool = False,
    ) -> list[tuple[RawId, float]]:
        """The best items for one visitor.

        Args:
            sessions: The visitor's sessions, oldest first; all items count as positive.
            k: How many.
            time: Unix seconds of the request, and of the items where the model reads their time.
            filter_seen: Whether to leave out the items of the history.

        Returns:
            Pairs (raw id, score), highest score first.
        """
        self._count_clicks(time)
        ids = [item for session in sessions for item in session]
        index = [number for number, session in enumerate(sessions) for _ in session]
        values: dict[str, object] = {
            "item_ids": [ids],
            "session_index": [index],
            "labels": [[1.0] * len(ids)],
            "timestamps": [[time] * len(ids)],
            "k": [k],
            "exclude_ids": [[self._spec.padding_id]],
            "allow_ids": [[self._spec.padding_id]],
            "exclude_seen": [True],
            "diversity": [0.0],
        }
        name = "recommend_filtered" if filter_seen else "recommend"
        inputs = {}
        for key, spec in self._signatures.input_specs(name).items():
            # A category that is not given is unknown, a number is 0.
            absent = [[b"" if spec.dtype == tf.string else 0] * len(ids)]
            inputs[key] = tf.constant(values.get(key, absent), spec.dtype)
        signatures = self._signatures
        answer = (signatures.recommend_filtered if filter_seen else signatures.recommend)(**inputs)
        items, scores = answer["item_ids"][0].numpy(), answer["scores"][0].numpy()
        raw = [item.decode() if isinstance(item, bytes) else int(item) for item in items]
        pairs = zip(raw, scores.tolist(), strict=True)
        return [(item, score) for item, score in pairs if score > NO_SCORE]

    def _count_clicks(self, time: int) -> None:
        if self._trend is not None:
            table = self._trend.table(time)
            write_trend_file(self._trend_file, table, self._spec.first_item_index)
