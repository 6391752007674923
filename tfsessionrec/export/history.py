"""The history specification of an export: by default, from earlier keywords, and checked."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tfsessionrec.checks import positive_integer
from tfsessionrec.export.served_model import relation_of, trend_of
from tfsessionrec.history_spec import HistorySpec

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

_DEPRECATED = {
    "next_item": "session",
    "whole_history": "session",
    "include_labels": "labels",
    "include_times": "session_times=, item_times",
    "interaction_types": "interaction_types",
    "session_context": "session_context",
}


@runtime_checkable
class KeyReader(Protocol):
    """A model that names the batch keys that it reads."""

    @property
    def reads(self) -> frozenset[str]:
        """Batch keys in addition to `item_ids`."""


@runtime_checkable
class MadeForHistories(Protocol):
    """A model that knows which histories it reads."""

    @property
    def history_spec(self) -> HistorySpec | None:
        """Its specification; None: any."""


def resolved_spec(
    spec: HistorySpec | None,
    model: object,
    vocabulary: "Vocabulary",
    limits: Mapping[str, int | None],
    deprecated: Mapping[str, object],
) -> HistorySpec:
    """A given specification, or one from the arguments that may come without it.

    Args:
        spec: The specification, or None.
        model: The model.
        vocabulary: Its vocabulary.
        limits: `max_sessions` and `max_items`, or None for their defaults.
        deprecated: Keywords of `export_saved_model` that `HistorySpec` replaces.

    Raises:
        ValueError: If there is a specification and another argument.
    """
    given = {name: positive_integer(name, v) for name, v in limits.items() if v is not None}
    if spec is None:
        return _with_deprecated(_default_spec(model, vocabulary, given), deprecated)
    if given or deprecated:
        raise ValueError(
            "`spec` should come without the arguments that it replaces. Received: "
            f"{', '.join((*given, *deprecated))}"
        )
    return spec


def _default_spec(
    model: object, vocabulary: "Vocabulary", limits: Mapping[str, int]
) -> HistorySpec:
    """The specification of a model trained without labels, types and context.

    What a session is follows from the model's `history_spec`; without one, sessions are real.
    """
    reads = model.reads if isinstance(model, KeyReader) else frozenset()
    relation = relation_of(model)
    made_for = model.history_spec if isinstance(model, MadeForHistories) else None
    spec = made_for or HistorySpec()
    return dataclasses.replace(
        spec,
        max_sessions=limits.get("max_sessions", spec.max_sessions),
        max_items=limits.get("max_items", spec.max_items),
        session_times="session_times" in reads,
        item_times="item_times" in reads,
        request_times=trend_of(model) is not None,
        relation=None if relation is None else tuple(relation.numeric),
        first_item_index=vocabulary.first_item_index,
        padding_id="" if vocabulary.dtype == "string" else -1,
    )


def _with_deprecated(spec: HistorySpec, options: Mapping[str, object]) -> HistorySpec:
    """A specification with the keywords of before there was one."""
    unknown = sorted(set(options) - set(_DEPRECATED))
    if unknown:
        raise TypeError(f"export_saved_model() got an unexpected keyword argument {unknown[0]!r}")
    if options:
        arguments = (f"{_DEPRECATED[name]}=" for name in options)
        warnings.warn(
            f"`{', '.join(options)}` of `export_saved_model` will be removed. Use "
            f"`spec=HistorySpec({', '.join(arguments)})`.",
            FutureWarning,
            stacklevel=4,
        )
    fields: dict[str, object] = {
        name: options[name] or empty
        for name, empty in (("interaction_types", ()), ("session_context", {}))
        if name in options
    }
    if not all(options.get(name, True) for name in ("next_item", "whole_history")):
        fields["session"] = "real"
    if options.get("next_item"):
        fields["session"] = "item"
    elif options.get("whole_history"):
        fields["session"] = "whole"
    if options.get("include_labels"):
        fields["labels"] = True
    if options.get("include_times") is not None:
        fields |= dict.fromkeys(("session_times", "item_times"), bool(options["include_times"]))
    return dataclasses.replace(spec, **fields)  # type: ignore[arg-type]


def check_spec(spec: HistorySpec, model: object, vocabulary: "Vocabulary") -> None:
    """Checks that a specification is of a model and its vocabulary.

    Raises:
        ValueError: If it is not.
    """
    expected: dict[str, object] = {
        "first_item_index": vocabulary.first_item_index,
        "request_times": trend_of(model) is not None,
    }
    for name, value in expected.items():
        if getattr(spec, name) != value:
            raise ValueError(
                f"`spec.{name}` should be {value!r} for this model and vocabulary. Received: "
                f"{getattr(spec, name)!r}"
            )
    if isinstance(spec.padding_id, str) != (vocabulary.dtype == "string"):
        kind = '""' if vocabulary.dtype == "string" else "an integer, such as -1"
        raise ValueError(
            f"`spec.padding_id` should be {kind}, for raw ids of type {vocabulary.dtype}. "
            f"Received: {spec.padding_id!r}"
        )
    if spec.padding_id in set(vocabulary.ids.tolist()):
        raise ValueError(
            "`vocabulary` should not hold the raw id that marks padding in a request: no request "
            "could exclude that item. Rename the item in the log. Received: `spec.padding_id`="
            f"{spec.padding_id!r}, an item of the vocabulary"
        )
    relation = relation_of(model)
    columns = None if relation is None else set(relation.numeric)
    if columns != (None if spec.relation is None else set(spec.relation)):
        raise ValueError(
            f"`spec.relation` should be {None if relation is None else relation.numeric}, the "
            f"columns that the model reads. Received: {spec.relation}"
        )
    if relation is not None and spec.session != "real":
        raise ValueError(
            '`spec.session` should be "real" for a model with a relation. Received: '
            f"{spec.session!r}"
        )
