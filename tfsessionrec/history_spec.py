"""The part of a history that a model reads."""

import dataclasses
import operator
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, SupportsIndex

from tfsessionrec.checks import boolean

Category = str | int
SessionKind = Literal["real", "item", "whole"]
SESSION_KINDS: tuple[SessionKind, ...] = ("real", "item", "whole")
HISTORY = ("history_ids", "history_labels", "history_begin", "history_end")
"""Keys of a batch with whole histories, which only evaluation reads, see `session_dataset`."""


@dataclasses.dataclass(frozen=True)
class HistorySpec:
    """The part of a history that a model reads, for training, evaluation and serving alike.

    Training makes it. `data.session_dataset` lays out batches by it, an export lays out requests by
    it, and `signature.json` and the model directory store it.

    Args:
        session: Kind of session: `"real"`, the sessions of the log (default); `"item"`, each
            positive item is a session; `"whole"`, all positive items form one session.
        max_sessions: Newest sessions that are read; with `"item"`, newest items. Defaults to 50.
        max_items: Newest items that are read of each session. Defaults to 20.
        labels: Whether the history separates clicked items from items shown but not clicked.
            With `"real"` sessions the batch has `labels`; the other kinds leave out items with
            label 0. Defaults to False: every item is positive.
        interaction_types: Interaction types in the order of training; the first becomes 1.
            Defaults to none.
        session_times: Whether the model reads `session_times`. Defaults to False.
        item_times: Whether the model reads `item_times`. Defaults to False.
        session_context: Context features of a session: name to categories in the order of
            training, or to None for a number. Defaults to none.
        request_times: Whether the candidates' scores depend on the time of the request. Defaults
            to False.
        relation: Numeric columns of shown items that a `RelationFeatures` reads, in addition to
            `match_ids` and `position`. Defaults to None: no such term.
        first_item_index: Vocabulary index of the first item. Defaults to 2: padding and one
            out-of-vocabulary bucket come first.
        padding_id: Raw id that marks padding in a request. Defaults to `""`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> spec = HistorySpec(session="item", max_sessions=100, max_items=1)
    >>> HistorySpec.from_json(spec.to_json()) == spec
    True
    """

    session: SessionKind = "real"
    max_sessions: int = 50
    max_items: int = 20
    labels: bool = False
    interaction_types: tuple[Category, ...] = ()
    session_times: bool = False
    item_times: bool = False
    session_context: Mapping[str, tuple[Category, ...] | None] = dataclasses.field(
        default_factory=dict
    )
    request_times: bool = False
    relation: tuple[str, ...] | None = None
    first_item_index: int = 2
    padding_id: Category = ""

    def __post_init__(self) -> None:
        if self.session not in SESSION_KINDS:
            raise ValueError(
                f"`session` should be one of {', '.join(SESSION_KINDS)}. "
                f"Received: `session`={self.session!r}"
            )
        sizes = {
            "max_sessions": self.max_sessions,
            "max_items": self.max_items,
            "first_item_index": self.first_item_index,
        }
        for name, value in sizes.items():
            if isinstance(value, bool) or not isinstance(value, SupportsIndex) or int(value) < 1:
                raise ValueError(
                    f"`{name}` should be a positive integer. Received: `{name}`={value!r}"
                )
            object.__setattr__(self, name, operator.index(value))
        for name in ("labels", "session_times", "item_times", "request_times"):
            object.__setattr__(self, name, boolean(name, getattr(self, name)))
        if not isinstance(self.padding_id, str | int):
            raise _wrong("padding_id", "text or an integer", self.padding_id)
        if not isinstance(self.session_context, Mapping):
            raise _wrong("session_context", "a map from names", self.session_context)
        context = {
            name: None if values is None else distinct(f"session_context[{name!r}]", values)
            for name, values in self.session_context.items()
        }
        object.__setattr__(self, "session_context", context)
        types = distinct("interaction_types", self.interaction_types)
        object.__setattr__(self, "interaction_types", types)
        if self.relation is not None:
            object.__setattr__(self, "relation", distinct("relation", self.relation))

    @property
    def reads_times(self) -> bool:
        """Whether a request has to give the time of each item."""
        return self.session_times or self.item_times

    def check_layout(self, shape: Sequence[int | None]) -> None:
        """Warns if a batch [B, S, I] cannot hold histories of this specification.

        Args:
            shape: Shape of `item_ids`; None for a size that is not known.
        """
        _, num_sessions, num_items = shape
        # The last session of a training batch is the target.
        sizes = {
            "I": (num_items, 1 if self.session == "item" else None),
            "S": (num_sessions, 2 if self.max_sessions == 1 else None),
        }
        for axis, (size, limit) in sizes.items():
            if limit is not None and size is not None and size > limit:
                warnings.warn(
                    f"`item_ids` should have {axis} <= {limit} in [B, S, I], as the model reads "
                    f'histories with `session="{self.session}"` and `max_sessions='
                    f"{self.max_sessions}`. Make batches with this specification: "
                    f"`session_dataset(sessions, vocabulary, spec)`. Received: {tuple(shape)}",
                    stacklevel=4,
                )

    def to_json(self) -> dict[str, object]:
        """The specification as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> "HistorySpec":
        """The inverse of `to_json`.

        Raises:
            ValueError: If a field is unknown or out of its range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(content) - names)
        if unknown:
            raise ValueError(
                f"A history specification should have the fields {', '.join(sorted(names))}. "
                f"Received: {', '.join(unknown)}"
            )
        return cls(**content)  # type: ignore[arg-type]


def distinct(name: str, values: Iterable[Category]) -> tuple[Category, ...]:
    """`values` as a tuple.

    Raises:
        ValueError: If it is one text instead of several values, or holds a value twice.
    """
    try:
        is_text = isinstance(values, str | bytes)
        found = () if is_text else tuple(values)
        wrong = is_text or len(set(found)) != len(found)
    except TypeError:  # not several, or no categories
        wrong = True
    if wrong:
        raise ValueError(f"`{name}` should be distinct values. Received: `{name}`={values!r}")
    return found


def _wrong(name: str, expected: str, value: object) -> ValueError:
    return ValueError(f"`{name}` should be {expected}. Received: `{name}`={value!r}")
