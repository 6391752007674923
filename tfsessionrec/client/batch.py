"""Lays out histories of any length as the rectangular inputs of one request."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.client.transport import TensorSpec
from tfsessionrec.client.types import History

# Defaults of optional inputs: every item is positive, none came from a shown list, no rule is on.
NEUTRAL: dict[str, float | int | bool] = {
    "labels": 1.0,
    "position": 0,
    "exclude_seen": False,
    "diversity": 0.0,
    "tag_mask": 0,
    "freshness": 0.0,
    "max_per_category": 0,
}


def make_inputs(
    specs: Mapping[str, TensorSpec],
    histories: Sequence[History],
    values: Mapping[str, Sequence[object]],
    *,
    history_length: int | None = None,
    list_length: int | None = None,
) -> dict[str, NDArray]:
    """The inputs of a signature, one row for each history.

    Args:
        specs: The signature's inputs.
        histories: One for each row.
        values: Further inputs by name, one value for each row: a number, or a list where the
            signature takes [B, any].
        history_length: Histories are cut to their newest `history_length` items and padded to as
            many. Defaults to None: padded to the longest, and to at least 1.
        list_length: Lists are padded to this length. Defaults to None: to the longest, and to at
            least 1.

    Returns:
        Arrays by name, strings as objects.

    Raises:
        ValueError: If an input is unknown or missing, or a list is longer than `list_length`.
    """
    of_items = _item_values(specs, histories)
    unknown = sorted({*values, *of_items} - set(specs) - {"session_index"})
    if unknown:
        raise ValueError(
            f"A request should hold the inputs of the signature: {sorted(specs)}. "
            f"Received: {', '.join(unknown)}"
        )
    longest = max((len(history.item_ids) for history in histories), default=0)
    length = max(longest, 1) if history_length is None else history_length
    inputs: dict[str, NDArray] = {}
    missing = []
    for name, spec in specs.items():
        if name in of_items and spec.rank == 1:  # `similar_items` takes one item a row.
            items = [spec.convert(row[0], name) for row in of_items[name]]
            inputs[name] = np.array(items, spec.array_dtype)
        elif name in of_items:
            newest = [row[max(len(row) - length, 0) :] for row in of_items[name]]
            inputs[name] = _pad(name, spec, newest, length)
        elif name in values:
            if spec.rank == 1:
                rows = [spec.convert(value, name) for value in values[name]]
                inputs[name] = np.array(rows, spec.array_dtype)
            else:
                inputs[name] = _pad(name, spec, values[name], list_length)
        else:
            value = spec.default if spec.default is not None else _default(name, spec)
            if value is None:
                missing.append(name)
                continue
            width = length if name in ("labels", "position") else list_length or 1
            shape = (len(histories), width)
            inputs[name] = np.full(shape[: spec.rank], value, spec.array_dtype)
    if missing:
        raise ValueError(
            "A request should hold each input of the signature that has no default. Missing: "
            + ", ".join(f"`{name}`" for name in missing)
        )
    return inputs


def _item_values(
    specs: Mapping[str, TensorSpec], histories: Sequence[History]
) -> dict[str, list[Sequence[object]]]:
    """Values of the items of each history, by name."""
    columns: dict[str, list[Sequence[object]]] = {
        "item_ids": [history.item_ids for history in histories],
        "session_index": [
            [0] * len(history.item_ids) if history.session_index is None else history.session_index
            for history in histories
        ],
    }
    for name in sorted({name for history in histories for name in history.inputs}):
        for history in histories:
            if name not in history.inputs and history.item_ids:
                raise ValueError(
                    f"Each history of a request should have the same inputs. Received: {name!r} "
                    "with some of them only"
                )
        columns[name] = [history.inputs.get(name, ()) for history in histories]
    return columns if "session_index" in specs else {"item_ids": columns["item_ids"]}


def _default(name: str, spec: TensorSpec) -> str | int | float | None:
    """The value of a row that gives none; None where a value has to be given."""
    if name == "request_times":
        return int(time.time())
    if name in ("exclude_ids", "allow_ids"):
        return spec.padding
    return NEUTRAL.get(name)


def _pad(name: str, spec: TensorSpec, values: Sequence[object], length: int | None) -> NDArray:
    """The lists of all rows as one array [B, length]."""
    rows = []
    for row in values:
        if isinstance(row, str | bytes) or not isinstance(row, Collection):
            raise ValueError(f"`{name}` should hold a list for each row. Received: {row!r}")
        rows.append(row)
    longest = max((len(row) for row in rows), default=0)
    length = max(longest, 1) if length is None else length
    if longest > length:
        raise ValueError(f"`{name}` should hold at most {length} values a row. Received: {longest}")
    padded = np.full((len(rows), length), spec.padding, spec.array_dtype)
    for place, row in enumerate(rows):
        for column, value in enumerate(row):
            padded[place, column] = spec.convert(value, name)
    return padded


def one_a_row(name: str, value: object, spec: TensorSpec | None, rows: int) -> Sequence[object]:
    """One value for each row, from one value for each or one for all."""
    if spec is None:
        return [value] * rows  # `make_inputs` raises the error.
    if spec.rank > 1:
        return lists(value, rows, name)
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        return [value] * rows
    if len(value) != rows:
        raise ValueError(f"`{name}` should have one value a history ({rows}). Received: {value!r}")
    return list(value)


def lists(value: object, rows: int, name: str) -> list[Collection[Any]]:
    """One list for each row, from one list for each or one for all."""
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        raise ValueError(f"`{name}` should be a list. Received: {value!r}")
    if not any(isinstance(one, list | tuple | np.ndarray) for one in value):
        return [value] * rows
    if len(value) != rows:
        raise ValueError(f"`{name}` should have one list a history ({rows}). Received: {value!r}")
    return list(value)
