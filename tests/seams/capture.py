"""What goes through the seams of the package: the only file here that knows how it is built.

Everything else in this folder uses the commands and public classes alone.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfsessionrec import evaluation, models, systems

Batch = dict[str, np.ndarray]


def arrays(batch: Mapping[str, Any]) -> Batch:
    """A batch as NumPy arrays."""
    return {name: np.asarray(value) for name, value in batch.items()}


@contextlib.contextmanager
def fits() -> Iterator[list[dict[str, Any]]]:
    """Notes what each `SessionRec.fit` gets: the batches of its first epoch, a random draw.

    The order of batches follows from a generator of the dataset, so that reading them here does
    not change what `fit` reads.
    """
    seen: list[dict[str, Any]] = []
    fit = models.SessionRec.fit

    def noted(self: Any, dataset: tf.data.Dataset, *more: Any, **options: Any) -> Any:
        batches = [arrays(batch) for batch in dataset]
        seen.append({"batches": batches, "draw": tf.random.uniform([8]).numpy()})
        return fit(self, dataset, *more, **options)

    models.SessionRec.fit = noted
    try:
        yield seen
    finally:
        models.SessionRec.fit = fit


@contextlib.contextmanager
def evaluations() -> Iterator[list[dict[str, Any]]]:
    """Notes the batches that each evaluation of a command reads."""
    seen: list[dict[str, Any]] = []
    originals = {
        name: getattr(evaluation, name)
        for name in ("evaluate", "evaluate_ranking", "evaluate_streaming")
    }

    def noting(original: Any) -> Any:
        def noted(model: Any, dataset: Any, *more: Any, **options: Any) -> Any:
            batches = [arrays(batch) for batch in dataset]
            seen.append({"batches": batches})
            return original(model, batches, *more, **options)

        return noted

    for name, original in originals.items():
        setattr(evaluation, name, noting(original))
    try:
        yield seen
    finally:
        for name, original in originals.items():
            setattr(evaluation, name, original)


def load_model(directory: pathlib.Path) -> Any:
    """The trained model of a model directory."""
    return systems.load(directory).model


def load_vocabulary(directory: pathlib.Path) -> Any:
    """Its vocabulary."""
    return systems.load(directory).vocabulary


class _Noting:
    """A model that notes the features it gets."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.seen: list[Batch] = []

    def queries(self, batch: Mapping[str, tf.Tensor], every: bool = False) -> Any:
        self.seen.append(arrays(batch))
        return self._model.queries(batch, every)

    def candidate_embeddings(self) -> tf.Tensor:
        return self._model.candidate_embeddings()

    def score_shown(self, features: Mapping[str, tf.Tensor], **more: Any) -> tf.Tensor:
        self.seen.append(arrays(features))
        return self._model.score_shown(features, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def served_batch(
    directory: pathlib.Path, export: pathlib.Path, signature: str, request: Mapping[str, Any]
) -> tuple[Batch, Batch]:
    """What the server's own code makes of a raw request, run eagerly on the live model.

    Args:
        directory: The model directory.
        export: What was exported of it; it says which inputs the signatures take.
        signature: Which one is asked.
        request: Its inputs by name.

    Returns:
        The batch that the model gets, and the answer.
    """
    from tfsessionrec.export.check import _live_signatures

    description = json.loads((export / "signature.json").read_text())
    model = _Noting(load_model(directory))
    signatures = _live_signatures(export, description, model, load_vocabulary(directory))
    specs = signatures.input_specs(signature)
    inputs = {name: tf.constant(value, specs[name].dtype) for name, value in request.items()}
    model.seen.clear()
    answer = getattr(signatures, signature)(**inputs)
    return model.seen[-1], arrays(answer)
