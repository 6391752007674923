"""Two model directories as one system."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.cli.baselines import BASELINES

if TYPE_CHECKING:
    from tfsessionrec.cli.model_directory import ModelDirectory
    from tfsessionrec.evaluation import Ensemble
    from tfsessionrec.scoring import Queries


class NextItemView:
    """A model that reads one item a session, as batches of sessions ask it.

    Args:
        model: The model; gives everything but `queries`.
        max_items: How many of the newest taken items it reads.
    """

    def __init__(self, model: Any, max_items: int) -> None:
        self._model = model
        self._max_items = max_items

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def queries(self, batch: Mapping[str, Any], every: bool = False) -> "Queries":
        """The queries after the whole histories."""
        if every:
            raise ValueError("`every` should be False for a batch of sessions. Received: True")
        return self._model.queries(self._flat(batch))

    def _flat(self, features: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """[B, L, 1] in place of [B, S, I], [B, L] of what is told of a session."""
        arrays = {key: np.asarray(value) for key, value in features.items()}
        items = arrays["item_ids"]
        taken: NDArray[np.bool_] = items > 0
        if "labels" in arrays:
            taken &= arrays["labels"] > 0
        rows, width = len(items), items.shape[2]
        order = np.argsort(~taken.reshape(rows, -1), axis=1, kind="stable")
        number = taken.sum(axis=(1, 2))
        length = max(int(min(number.max(initial=1), self._max_items)), 1)
        newest = np.maximum(number - length, 0)[:, None] + np.arange(length)
        real = newest < number[:, None]
        place = np.take_along_axis(order, np.minimum(newest, order.shape[1] - 1), axis=1)
        flat = {}
        for key, array in arrays.items():
            if array.shape == items.shape:
                found = np.take_along_axis(array.reshape(rows, -1), place, axis=1)
                flat[key] = np.where(real, found, 0).astype(array.dtype)[..., None]
            elif array.shape == items.shape[:2]:
                found = np.take_along_axis(array, place // width, axis=1)
                flat[key] = np.where(real, found, 0).astype(array.dtype)
            else:
                flat[key] = array
        if "item_times" in flat:
            flat["session_times"] = flat.pop("item_times")[..., 0]
        if "request_times" in arrays and arrays["request_times"].ndim == 2:
            # All are asked after the whole history, of which some may not be taken.
            known: NDArray[np.bool_] = np.any(items > 0, axis=2)
            last = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
            asked = arrays["request_times"][
                np.arange(rows), np.where(np.any(known, axis=1), last, 0)
            ]
            flat["request_times"] = np.broadcast_to(asked[:, None], real.shape)
        return flat


def ensemble(
    first: "ModelDirectory", second: "ModelDirectory", fusion: str, weight: float
) -> "tuple[Ensemble, dict[str, Any]]":
    """The models of two directories as one, and the recipe of the batches that ask it.

    Args:
        first: The directory whose log and items are asked for.
        second: Another, of the same items.
        fusion: See `tfsessionrec.evaluation.Ensemble`.
        weight: Of the second; the first has 1.

    Raises:
        ValueError: If they do not know the same items, or one reads histories as one session.
    """
    from tfsessionrec.evaluation import Ensemble

    vocabulary, other = first.vocabulary(), second.vocabulary()
    if (vocabulary.ids.tolist(), len(vocabulary)) != (other.ids.tolist(), len(other)):
        raise ValueError(
            "`--ensemble` should name a model of the same items, trained on the same log. "
            f"Received: {first.path} of {len(vocabulary)} items, {second.path} of {len(other)}"
        )
    recipe: dict[str, Any] = {}
    systems: list[Any] = []
    for directory in (second, first):
        settings = directory.settings()
        training = dict(settings.training)
        if training.get("whole_history"):
            raise ValueError(
                f"`--ensemble` knows models of sessions and of single items. Received: "
                f"{settings.model}, which reads a history as one session"
            )
        model = directory.load_model()
        if training["next_item"]:
            model = NextItemView(model, training["max_sessions"])
            training["item_times"] = True
        systems.insert(0, model)
        if training["next_item"] or settings.model in BASELINES:
            # They read whatever is there: limits are those of the other, if it has any.
            training = {key: value for key, value in training.items() if not key.startswith("max_")}
        recipe |= training
    limits = {"max_sessions": 50, "max_items": 200}
    recipe = {**limits, **recipe, "next_item": False, "request_times": True}
    return (
        Ensemble(
            systems,
            [1.0, weight],
            fusion,
            vocabulary_size=len(vocabulary),
            first_item_index=vocabulary.first_item_index,
        ),
        recipe,
    )
