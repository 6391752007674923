"""The model of some settings, and the history that it reads."""

import dataclasses

import polars as pl
import tensorflow as tf

from tfsessionrec import models
from tfsessionrec.backend import keras
from tfsessionrec.data import Sessions, Vocabulary, interaction_log, item_features, repeat_rates
from tfsessionrec.history_spec import Category, HistorySpec
from tfsessionrec.models import SessionRec
from tfsessionrec.systems.settings import Settings


def columns_read(settings: Settings, sessions: Sessions, vocabulary: Vocabulary) -> Settings:
    """The settings with the columns that the log has, and the order of their categories."""
    columns = settings.log.columns

    def categories(column: str) -> tuple[Category, ...]:
        return tuple(sessions.events[column].drop_nulls().unique().sort().to_list())

    history = dataclasses.replace(
        settings.history,
        labels=sessions.has_negatives,
        interaction_types=(
            () if columns.interaction_type is None else categories("interaction_type")
        ),
        session_context={name: categories(name) for name in columns.session_context},
        request_times=settings.options.get("trend") is not None,
        first_item_index=vocabulary.first_item_index,
        padding_id="" if vocabulary.dtype == "string" else -1,
    )
    return dataclasses.replace(settings, history=history)


def history_read(model: SessionRec, history: HistorySpec) -> HistorySpec:
    """The specification with what the model reads of the columns that there are."""
    reads = model.reads
    return dataclasses.replace(
        history,
        # Other kinds of sessions leave out items that were shown but not clicked.
        labels=history.labels and (history.session != "real" or "labels" in reads),
        session_times="session_times" in reads,
        item_times="item_times" in reads,
    )


def build_model(
    settings: Settings, vocabulary: Vocabulary, item_table: pl.DataFrame | None = None
) -> SessionRec:
    """Builds the model of some settings, with fresh weights that follow from their seed.

    Args:
        settings: The settings.
        vocabulary: The items.
        item_table: The features of the items, if the settings name any.

    Raises:
        ValueError: If the model or an option of it is unknown.
    """
    keras.utils.set_random_seed(settings.seed)
    history = settings.history
    options = dict(settings.options)
    if options.get("negatives") in ("in_batch", "mixed", "popularity"):
        counts = vocabulary.counts[: len(vocabulary) - vocabulary.num_new_items]
        options["candidate_sampling_probability"] = counts / counts.sum()
    if history.interaction_types:
        options["num_interaction_types"] = len(history.interaction_types)
    if history.session_context:
        options["session_context"] = {
            name: None if values is None else len(values)
            for name, values in history.session_context.items()
        }
    if item_table is not None and settings.item_features is not None:
        columns = dataclasses.asdict(settings.item_features)
        options["features"] = item_features(
            item_table, vocabulary, num_fitted=settings.num_first_items, **columns
        )
        options["num_new_items"] = vocabulary.num_new_items
    if history.relation is not None:
        options["relation"] = {
            "numeric": history.relation,
            "num_interaction_types": len(history.interaction_types),
            **_arguments(options.get("relation")),
        }
    model = models.build(
        settings.model,
        vocabulary_size=len(vocabulary),
        first_item_index=vocabulary.first_item_index,
        **options,
    )
    model.history_spec = history
    context = {name: tf.zeros([1, 2], tf.int32) for name in history.session_context}
    model({"item_ids": tf.zeros([1, 2, 1], tf.int32), **context})
    return model


def set_trend(model: SessionRec, sessions: Sessions, vocabulary: Vocabulary) -> None:
    """Gives the trend of a model, if it has one, the interactions of some sessions."""
    if model.trend is not None:
        model.trend.set_events(**interaction_log(sessions, vocabulary))


def set_repeat_rates(model: SessionRec, sessions: Sessions, vocabulary: Vocabulary) -> None:
    """Gives the habit of a model, if it has one, the repeat rates of the sessions of training."""
    if model.habit is not None:
        model.habit.set_repeat_rates(repeat_rates(sessions, vocabulary))


def _arguments(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}
