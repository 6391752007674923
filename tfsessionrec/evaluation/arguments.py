"""Checks of the arguments that several evaluations have."""

from collections.abc import Iterable, Iterator, Mapping

from numpy.typing import ArrayLike

from tfsessionrec import checks
from tfsessionrec.data import Vocabulary
from tfsessionrec.query_model import SparseScorer, as_query_model
from tfsessionrec.types import Features


def check_systems(name: str, models: Iterable[object]) -> None:
    """Checks that each is what `evaluate` takes as its model.

    Args:
        name: Name of the argument that holds them.
        models: The systems.

    Raises:
        TypeError: If one is not.
    """
    for model in models:
        if isinstance(model, SparseScorer):
            continue
        try:
            as_query_model(model)
        except TypeError as error:
            raise TypeError(f"`{name}` should hold models of `evaluate`: {error}") from error


def check_shared(
    dataset: object,
    vocabulary: Vocabulary | None,
    popularity: ArrayLike | None,
    **switches: bool,
) -> None:
    """Checks arguments by their kinds.

    Args:
        dataset: Session batches.
        vocabulary: A `Vocabulary`, or None.
        popularity: Counts of items, or None.
        **switches: Truth values, by name.

    Raises:
        TypeError: If `vocabulary` is of another class.
        ValueError: If another argument is of another kind.
    """
    check_dataset(dataset)
    if vocabulary is not None:
        checks.instance("vocabulary", vocabulary, Vocabulary)
    if popularity is not None:
        checks.tensors(("popularity", popularity, "number", "vocabulary_size"))
    for name, value in switches.items():
        checks.boolean(name, value)


def check_dataset(dataset: object) -> None:
    """Checks that a dataset has batches, without reading any.

    Raises:
        ValueError: If it has none, or is itself one batch.
    """
    if not isinstance(dataset, Iterable) or isinstance(dataset, str | bytes | Mapping):
        raise ValueError(
            "`dataset` should be session batches, such as `data.session_dataset` makes. "
            f"Received: {str(dataset)[:200]}"
        )


def each_batch(batches: Iterable[Features]) -> Iterator[Features]:
    """The batches of a dataset, each checked when it is read.

    Raises:
        ValueError: If a batch is no map, or has no `item_ids` [B, S, I].
    """
    for batch in batches:
        if not isinstance(batch, Mapping) or "item_ids" not in batch:
            received = sorted(batch) if isinstance(batch, Mapping) else type(batch).__name__
            raise ValueError(
                "`dataset` should give session batches: dicts with `item_ids`. "
                f"Received: {received}"
            )
        checks.tensors(("dataset['item_ids']", batch["item_ids"], "integer", "B S I"))
        yield batch


def names(argument: str, value: Iterable[str]) -> list[str]:
    """Several names as a list.

    Args:
        argument: Name of the argument, for the message.
        value: The value given.

    Raises:
        ValueError: If it is one text, or holds anything but texts.
    """
    is_several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    found = list(value) if is_several else []
    if not is_several or not all(isinstance(one, str) for one in found):
        raise ValueError(
            f"`{argument}` should be a list of names. Received: `{argument}`={value!r}"
        )
    return found
