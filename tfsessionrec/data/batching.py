"""From sessions or examples to a `tf.data.Dataset` of session batches."""

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import polars as pl
import tensorflow as tf

from tfsessionrec import checks
from tfsessionrec.checks import instance, positive_integer
from tfsessionrec.data.batch_layout import BatchLayout, example_batches
from tfsessionrec.data.batch_order import BatchOrder
from tfsessionrec.data.examples.examples import Asked, Examples
from tfsessionrec.data.examples.objectives import Protocol, protocol_examples
from tfsessionrec.data.from_tfds import sessions_from_tfds
from tfsessionrec.data.sessions import Sessions
from tfsessionrec.data.vocabulary import Vocabulary
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.recipe import TargetWeights
from tfsessionrec.session_batch import SessionBatch

_EVALUATION_POSITIONS = 8192  # cells [B, S] of an evaluation batch
# Keywords of earlier releases that are fields of a `HistorySpec` now.
_FORMER = ("session_context", "interaction_types", "item_times", "match_ids", "request_times")


def session_dataset(
    sessions: Sessions | Examples | tf.data.Dataset,
    vocabulary: Vocabulary,
    spec: HistorySpec | None = None,
    *,
    max_sessions: int | None = None,
    max_items: int | None = None,
    batch_size: int | None = None,
    batch_positions: int | None = None,
    shuffle: bool | None = None,
    seed: int | None = None,
    targets: str | None = None,
    context: Sequence[str] = (),
    min_sessions: int = 1,
    weights: str | TargetWeights | None = None,
    shuffle_window: float | None = None,
    recency_half_life: float | None = None,
    drop_remainder: bool = False,
    static_shapes: bool = False,
    first_epoch: int | None = None,
    **former: object,
) -> tf.data.Dataset:
    """Makes batches of sessions, one row a user or example, for `model.fit` and for evaluation.

    Padding comes last on every axis and is 0 (`False`) everywhere. A row has the newest sessions of
    its history, a session has its newest items. A batch is padded to its own longest row and
    session, not to the limits (unless `static_shapes`).

    Each element is a dict, with B rows, S sessions and I items:

    | key | dtype, shape | meaning |
    | --- | --- | --- |
    | `item_ids` | int32 [B, S, I] | vocabulary indices; unknown items are out-of-vocabulary |
    | `labels` | float32 [B, S, I] | 1 positive, 0 shown but not clicked |
    | `is_target` | bool [B, S] | whether this session may be predicted |
    | `sample_weight` | float32 [B, S, I] | with `weights`: of each item as a target |
    | `session_times` | int64 [B, S] | start of the session, unix seconds |
    | `request_times` | int64 [B, S] | with `spec.request_times`: when the next one is asked for |
    | `interaction_types` | int32 [B, S, I] | with `spec.interaction_types`: 1..n, 0 another type |
    | `item_times` | int64 [B, S, I] | with `spec.item_times`: unix seconds of each item |
    | `match_ids` | int64 [B, S, I] | with `spec.relation`: equal where raw ids are equal |
    | each of `context` | own dtype, [B, S, I] | that column, 0 where null |
    | each of `spec.session_context` | own dtype, [B, S] | that column in the session's first row |
    | `target_ids` | int32 [B, T] | the targets, with `targets="last"` |
    | `history_ids` | int32 [B, N] | every item of the history, however long |
    | `history_labels` | float32 [B, N] | their labels, without `targets` |
    | `history_begin`, `history_end` | int64 [B, S] | where each session is in `history_ids` |

    The `history_` keys are there where `max_sessions` or `max_items` cut a history and rows are not
    shuffled. Evaluation reads them: what is asked, and what was seen, does not depend on limits.

    A shuffled epoch holds every row once. Rows are sorted by their number of sessions (rows of
    equal length in random order), cut into batches, and the batches are shuffled: little padding,
    and another order in each epoch.

    The order is a function of `seed` and of how often the dataset was iterated: `seed` gives a
    series of epochs, and each iteration takes the next one. So a second `fit` on the same dataset
    object trains on later epochs; for the same order again, make the dataset again.

    Args:
        sessions: Sessions; or `Examples`, whose histories and targets become the rows; or a dataset
            of sessions from a builder of `tfsessionrec.datasets`.
        vocabulary: Gives each item its index.
        spec: The part of a history that the model reads. Defaults to None: real sessions, within
            `max_sessions` and `max_items`. With it, `max_sessions` of a row count the history; a
            row that is trained on has one more, its target.
        max_sessions: Most sessions of a row. Defaults to 50.
        max_items: Most items of a session. Defaults to 20.
        batch_size: Rows a batch. Defaults to 128. Give either this or `batch_positions`.
        batch_positions: Cells [B, S] a batch: as many rows as fit while B · S stays within it
            (one row at the least).
        shuffle: Whether to shuffle. Defaults to whether `seed` is given. Without it rows keep the
            order of `sessions`.
        seed: Seed of the shuffling. Without one the order differs from run to run.
        targets: None (default): a model trains on predicting each session from those before it; the
            target of an example is its last session. `"last"`: each user's last session (the target
            of an example) is held out of the input, and its distinct positive items become
            `target_ids`. A user with one session has an empty history. Out-of-vocabulary targets
            are kept; evaluation leaves them out and counts them. A last session whose `is_target`
            is False gives no target.
        context: Numeric item-level columns of the sessions to add to the batch. Defaults to none.
        min_sessions: Rows with fewer sessions (before truncation, a held-out one included) are left
            out. 2 leaves out rows that train nothing. Defaults to 1.
        weights: Adds `sample_weight`, by which `SessionRec` weighs its losses: a numeric column of
            the sessions (`sessionize(keep=...)`), or a `TargetWeights`, also by interaction type.
            Rows whose targets all weigh 0 are left out. Defaults to None.
        shuffle_window: Keeps the rows of a shuffled batch close in time: rows of equal length are
            ordered by the start of their last session plus a random share of this many seconds;
            batches come in random order. For models that read `request_times`: requests of one
            batch then share the terms of their candidates. Draw negatives from the log then, not
            from the batch: a batch of one moment holds the items clicked at that moment, and a loss
            against them unlearns the trend. Defaults to None.
        recency_half_life: Draws the rows of a shuffled epoch with replacement, newer ones more
            often: among rows of equal length `p ∝ 2^(-age / recency_half_life)`, with the age in
            seconds of the last session's start (0 for the newest hundredth of all rows: clocks may
            be wrong). Defaults to None: each row once.
        drop_remainder: Leaves out rows so that every batch has `batch_size`; when shuffled, other
            rows in each epoch. Defaults to False.
        static_shapes: Pads to the limits (`target_ids` to the most targets of any row), for
            compilers and accelerators. The batch dimension is static with `drop_remainder`.
            Defaults to False.
        first_epoch: With `seed`: the first pass over the dataset has the order of this epoch, from
            0, the next one that of the epoch after it, in every process; a resumed training goes
            on with the order that it would have had. Defaults to None: the passes of each dataset
            start from the same order.
        **former: Keywords of the earlier release that are fields of `spec` now; they warn.

    Returns:
        A `tf.data.Dataset` of known cardinality.

    Raises:
        TypeError: If a keyword is unknown.
        ValueError: If an argument is out of its range or contradicts another, or if no row is
            left.

    Example:

    >>> import polars as pl
    >>> from tfsessionrec.data import Vocabulary, session_dataset, sessionize
    >>> events = pl.DataFrame({
    ...     "user": ["ann", "ann", "ann", "bob"],
    ...     "visit": [1, 1, 2, 3],
    ...     "item_id": ["tea", "cup", "tea", "cup"],
    ...     "timestamp": [10, 20, 30, 40],
    ... })
    >>> sessions = sessionize(events, user="user", session="visit")
    >>> dataset = session_dataset(sessions, Vocabulary.from_sessions(sessions))
    >>> next(iter(dataset))["item_ids"].numpy().tolist()
    [[[2, 3], [2, 0]], [[3, 0], [0, 0]]]
    """
    limits = {"max_sessions": max_sessions, "max_items": max_items}
    sizes = {"batch_size": batch_size, "batch_positions": batch_positions}
    _check_arguments({**limits, **sizes}, min_sessions, targets, context)
    _check_rows(batch_positions, drop_remainder=drop_remainder, static_shapes=static_shapes)
    shuffle = seed is not None if shuffle is None else shuffle
    examples = _examples(sessions, targets)
    if spec is None:
        _warn_of_former(former)
        examples = _asked(examples, former.get("request_times"))
        read = _former_spec(former, examples.log, vocabulary, context, limits)
    else:
        read = _checked_spec(spec, vocabulary, {**limits, **former})
    longest = read.max_sessions
    if targets is None:
        # `spec.max_sessions` counts the history; `max_sessions` counts the row with its target.
        longest += (spec is not None) - examples.has_targets
    items = max(read.max_items, HistorySpec.max_items) if read.session == "item" else read.max_items
    layout = BatchLayout(
        apart=targets == "last",
        longest=longest,
        max_targets=items,
        min_sessions=min_sessions,
        context=tuple(context),
        match_ids=bool(former.get("match_ids")),
        static_shapes=static_shapes,
        weights=_target_weights(weights, targets),
        whole=not shuffle,
    )
    order = BatchOrder(
        **sizes,
        shuffle=shuffle,
        seed=seed,
        window=shuffle_window,
        recency_half_life=recency_half_life,
        drop_remainder=drop_remainder,
        first_epoch=first_epoch,
    )
    return example_batches(examples, vocabulary, read, layout, order)


def protocol_batches(
    protocol: Protocol,
    sessions: Sessions,
    vocabulary: Vocabulary,
    spec: HistorySpec,
    *,
    empty_history: bool = False,
    origins: bool = False,
    apart: bool = False,
) -> Iterable[SessionBatch]:
    """The batches that an evaluation asks: the same questions of every model.

    Unknown items of `target_ids` and `history_ids` are negative, a number for each distinct one, so
    that what is asked, and what was seen, does not depend on the vocabulary.

    Args:
        protocol: See `protocol_examples`.
        sessions: The sessions; those with `is_target` are asked for.
        vocabulary: Gives each item its index.
        spec: The part of a history that the model reads.
        empty_history: Whether `"ranking"` asks for the first sessions of users too. Defaults to
            False.
        origins: Whether each item has the keys `origin`, `running_length` and `earlier_sessions`:
            its user and its place in that user's sessions. Defaults to False.
        apart: Whether each question has a row of its own, in the order of the log, with the key
            `question` [B, 2], its number and that of its user, which are the same for every model.
            Not for `"ranking"`. Defaults to False: a causal model answers many at once.
    """
    instance("sessions", sessions, Sessions)
    instance("vocabulary", vocabulary, Vocabulary)
    instance("spec", spec, HistorySpec)
    _check_switches(empty_history=empty_history, origins=origins, apart=apart)
    longest_session = 1
    if protocol == "ranking":  # every shown item is ranked, whatever the limit in training
        sizes = sessions.events.group_by("user_id", "session_index").len()["len"]
        longest_session = int(sizes.max() or 1)  # type: ignore[arg-type]
    inline = protocol == "ranking" or (
        protocol == "next_item" and spec.session == "item" and not apart
    )
    for examples in protocol_examples(protocol, sessions, spec, empty_history, apart):
        sequences = not examples.has_targets
        yield from example_batches(
            examples,
            vocabulary,
            spec,
            BatchLayout(
                apart=not inline,
                longest=spec.max_sessions + sequences,
                max_targets=longest_session,
                min_sessions=1 if protocol == "ranking" or not inline else 2,
                origins=origins,
                whole=protocol != "ranking",
                numbered=protocol != "ranking",
            ),
            BatchOrder(batch_positions=_EVALUATION_POSITIONS),
        )


def _check_arguments(
    sizes: Mapping[str, int | None],
    min_sessions: int,
    targets: str | None,
    context: Sequence[str],
) -> None:
    positive_integer("min_sessions", min_sessions)
    for name, value in sizes.items():
        if value is not None:
            positive_integer(name, value)
    if targets not in (None, "last"):
        raise ValueError(f'`targets` should be None or "last". Received: `targets`={targets!r}')
    checks.sequence("context", context, "columns")


def _check_switches(**switches: bool) -> None:
    for name, value in switches.items():
        checks.boolean(name, value)


def _target_weights(
    weights: str | TargetWeights | None, targets: str | None
) -> TargetWeights | None:
    found = TargetWeights.of(weights)
    if found and targets is not None:
        raise ValueError(
            "`weights` are of the targets that a model trains on: `targets` should be None with "
            f"them. Received: `weights`={weights!r}, `targets`={targets!r}"
        )
    return found or None


def _check_rows(batch_positions: int | None, **equal_rows: bool) -> None:
    _check_switches(**equal_rows)
    if batch_positions is not None and any(equal_rows.values()):
        raise ValueError(
            "`drop_remainder` and `static_shapes` need `batch_size`: batches of "
            "`batch_positions` differ in their rows. "
            f"Received: `batch_positions`={batch_positions}"
        )


def _examples(sessions: Sessions | Examples | tf.data.Dataset, targets: str | None) -> Examples:
    if isinstance(sessions, Examples):
        return sessions
    if isinstance(sessions, tf.data.Dataset):
        sessions = sessions_from_tfds(sessions)
    instance("sessions", sessions, Sessions)
    return Examples.last_sessions(sessions) if targets else Examples.sequences(sessions)


def _checked_spec(
    spec: HistorySpec, vocabulary: Vocabulary, keywords: Mapping[str, object]
) -> HistorySpec:
    instance("vocabulary", vocabulary, Vocabulary)
    instance("spec", spec, HistorySpec)
    unknown = sorted(set(keywords) - {*_FORMER, "max_sessions", "max_items"})
    if unknown:
        raise TypeError(f"`session_dataset` has no arguments {', '.join(unknown)}")
    given = [name for name, value in keywords.items() if value is not None]
    if given:
        raise ValueError(
            f"`spec` has the fields {', '.join(given)}: they should not be given with it. "
            f"Received: {', '.join(f'`{name}`={keywords[name]!r}' for name in given)}"
        )
    if spec.first_item_index != vocabulary.first_item_index:
        raise ValueError(
            f"`spec.first_item_index` should be {vocabulary.first_item_index}, as in "
            f"`vocabulary`. Received: {spec.first_item_index}"
        )
    return spec


# The keywords of earlier releases.


def _warn_of_former(former: Mapping[str, object]) -> None:
    unknown = sorted(set(former) - set(_FORMER))
    if unknown:
        raise TypeError(f"`session_dataset` has no arguments {', '.join(unknown)}")
    if former:
        warnings.warn(
            f"`session_dataset({', '.join(former)})` goes away: give `spec=HistorySpec(...)`",
            FutureWarning,
            stacklevel=3,
        )


def _asked(examples: Examples, asked: object) -> Examples:
    """The examples, with the times of their requests."""
    if asked is None:
        return examples
    if asked not in get_args(Asked):
        raise ValueError(
            '`request_times` should be None, "next_start" or "last_interaction". Received: '
            f"`request_times`={asked!r}"
        )
    return dataclasses.replace(examples, asked=asked)  # type: ignore[arg-type]


def _former_spec(
    former: Mapping[str, object],
    log: pl.DataFrame,
    vocabulary: Vocabulary,
    context: Sequence[str],
    limits: Mapping[str, int | None],
) -> HistorySpec:
    """The specification that the keywords mean."""
    instance("vocabulary", vocabulary, Vocabulary)
    for name in ("item_times", "match_ids"):
        if former.get(name) is not None:
            checks.boolean(name, former[name])
    types = former.get("interaction_types") or ()
    if types is True:
        if "interaction_type" not in log.columns:
            raise ValueError(
                "`interaction_types` needs sessions with interaction types: give "
                "`sessionize(interaction_type=...)`. Received: `interaction_types`=True"
            )
        types = log["interaction_type"].drop_nulls().unique().sort().to_list()
    columns = former.get("session_context") or ()
    if not isinstance(columns, Mapping):
        checks.sequence("session_context", columns, "columns")
        columns = dict.fromkeys(columns)  # type: ignore[call-overload]
    for name in columns:
        if name in context:
            raise ValueError(
                f"`context` and `session_context` should not share a column. Received: {name!r}"
            )
    return HistorySpec(
        **{name: value for name, value in limits.items() if value is not None},  # type: ignore[arg-type]
        interaction_types=types,  # type: ignore[arg-type]
        item_times=bool(former.get("item_times")),
        session_context=columns,
        request_times=former.get("request_times") is not None,
        first_item_index=vocabulary.first_item_index,
    )
