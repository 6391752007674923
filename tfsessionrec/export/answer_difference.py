"""Whether two answers of a signature are the same."""

from collections.abc import Mapping

import numpy as np

from tfsessionrec.export.contract import NO_SCORE

Answer = Mapping[str, np.ndarray]


def answer_difference(expected: Answer, got: Answer, tolerance: float) -> str | None:
    """The first difference, or None.

    Numbers may differ by `tolerance` times the largest number of the expected output, without the
    scores of padding. In a list of items and their scores, places are compared by score, and items
    that close may change places; nothing else may differ.

    Args:
        expected: Arrays by name, texts as bytes.
        got: Arrays of the same names, shapes and kinds.
        tolerance: The part by which numbers may differ.

    Example:

    >>> one = {"scores": np.array([[2.0, 1.0]]), "item_ids": np.array([[7, 8]])}
    >>> other = {"scores": np.array([[2.0, 1.0]]), "item_ids": np.array([[9, 8]])}
    >>> answer_difference(one, one, 0.001)
    >>> answer_difference(one, other, 0.001)
    '`item_ids`, row 0: 9 is not among the expected items'
    """
    for name, wanted in expected.items():
        given = got[name]
        if given.shape != wanted.shape:
            return f"`{name}` has the shape {list(given.shape)} instead of {list(wanted.shape)}"
        if name == "item_ids" and "scores" in expected:
            continue  # below, with their scores
        if wanted.dtype.kind != "f":
            if not np.array_equal(given, wanted):
                return f"`{name}` differs in {np.sum(given != wanted)} of {wanted.size} values"
            continue
        close = np.abs(given - wanted) <= _slack(wanted, tolerance)
        if not close.all():
            place = tuple(int(at) for at in np.argwhere(~close)[0])
            return (
                f"`{name}` differs in {np.sum(~close)} of {wanted.size} values, first at "
                f"{list(place)}: {given[place]:.6g} instead of {wanted[place]:.6g}"
            )
    if "item_ids" in expected and "scores" in expected:
        return _list_difference(expected, got, _slack(expected["scores"], tolerance))
    return None


def _slack(values: np.ndarray, tolerance: float) -> float:
    real = np.abs(values[values > NO_SCORE])
    return tolerance * float(real.max(initial=1e-6))


def _list_difference(expected: Answer, got: Answer, slack: float) -> str | None:
    for row, (items, scores) in enumerate(zip(expected["item_ids"], expected["scores"])):
        given, given_scores = got["item_ids"][row].tolist(), got["scores"][row]
        real = scores > NO_SCORE
        by_item = dict(zip(items[real].tolist(), scores[real]))
        found = [item for item, is_item in zip(given, real) if is_item]
        if len(set(found)) != len(found):
            return f"`item_ids`, row {row}: an item occurs twice"
        last = scores[real].min(initial=np.inf)
        for item, score, is_item in zip(given, given_scores, real):
            # An item that was cut off may replace another, if it is as good as the last.
            if is_item and abs(by_item.get(item, last) - score) > slack:
                if item not in by_item:
                    return f"`item_ids`, row {row}: {_shown(item)} is not among the expected items"
                return (
                    f"`item_ids`, row {row}: {_shown(item)} has the score {score:.6g} instead of "
                    f"{by_item[item]:.6g}"
                )
        if not np.array_equal(expected["item_ids"][row][~real], got["item_ids"][row][~real]):
            return f"`item_ids`, row {row}: the padding differs"
    return None


def _shown(item: bytes | int) -> str:
    return repr(item.decode(errors="replace")) if isinstance(item, bytes) else str(item)
