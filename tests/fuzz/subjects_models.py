"""The rooms of models, of their parts and of what is trained of them."""

from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf
from generator import Subject

from tfsessionrec import (
    HistorySpec,
    baselines,
    data,
    layers,
    models,
    optimizers,
    sampling,
    systems,
    tasks,
)

COLUMNS = {"user": "user_id", "item": "item_id", "time": "timestamp", "gap": "30m"}


def log() -> pl.DataFrame:
    """Two users with two sessions each."""
    return pl.DataFrame(
        {
            "user_id": ["a", "a", "a", "a", "b", "b"],
            "item_id": ["x", "y", "z", "x", "x", "z"],
            "timestamp": [1, 2, 10_000, 10_001, 3, 20_000],
        }
    )


def more_layers() -> list[Subject]:
    """Layers whose arguments are not only sizes."""
    return [
        Subject(
            "InteractionEmbedding",
            layers.InteractionEmbedding,
            {},
            {
                "interaction_embedding": "boolean",
                "num_interaction_types": "count",
                "num_item_time_buckets": "count",
                "balance_interactions": "boolean",
                "history_dropout": "rate",
            },
        ),
        Subject(
            "RelationFeatures",
            layers.RelationFeatures,
            {},
            {
                "numeric": "list",
                "num_interaction_types": "count",
                "num_positions": "size",
                "hidden_dims": "list",
                "query_dim": "count",
                "with_product": "boolean",
                "dropout": "rate",
            },
        ),
        Subject("MLPSSE", layers.MLPSSE, {}, {"hidden_dims": "list?", "dropout": "rate"}),
        Subject(
            "HSTUBlock",
            layers.HSTUBlock,
            {},
            {
                "num_heads": "size",
                "dropout": "rate",
                "max_length": "size",
                "num_time_buckets": "count",
            },
        ),
        Subject("HSTUSSE", layers.HSTUSSE, {}, {"input_norm": "boolean"}),
        Subject(
            "SASRecSSE",
            layers.SASRecSSE,
            {},
            {"input_norm": "boolean", "stochastic_depth": "rate"},
        ),
        Subject(
            "ItemEmbedding",
            layers.ItemEmbedding,
            {"vocabulary_size": 9, "embedding_dim": 4},
            {"features": "map?", "mlp_dims": "list?", "normalize": "boolean"},
        ),
        Subject(
            "TrendFeatures",
            layers.TrendFeatures,
            {"vocabulary_size": 9},
            {
                "age_half_lives": "list",
                "follow_half_lives": "list",
                "first_item_index": "size",
            },
        ),
    ]


def _backbone(**parts: Any) -> models.SessionRecBackbone:
    parts = {"items": layers.ItemEmbedding(9, 4), "ise": layers.MeanISE(), **parts}
    return models.SessionRecBackbone(sse=layers.GRUSSE(), **parts)


def model_parts() -> list[Subject]:
    """Models and tasks."""
    return [
        Subject(
            "SessionRecBackbone",
            models.SessionRecBackbone,
            {"items": layers.ItemEmbedding(9, 4), "sse": layers.GRUSSE()},
            {
                "items": "object",
                "ise": "object?",
                "sse": "object?",
                "head": "object?",
                "session_context": "object?",
                "interactions": "object?",
            },
        ),
        Subject(
            "SessionRec",
            models.SessionRec,
            {"backbone": _backbone(), "retrieval_task": tasks.NextSessionRetrieval()},
            {
                "backbone": "object",
                "retrieval_task": "object",
                "ranking_task": "object?",
                "ranking_weight": "positive",
                "trend": "object?",
                "relation": "object?",
                "history": "object?",
            },
            right={"ranking_weight": [0], "retrieval_task": [None]},
        ),
        Subject("QueryTower", models.QueryTower, {"backbone": _backbone()}, {"backbone": "object"}),
        Subject(
            "build",
            models.build,
            {"name": "sessionrec-gru", "vocabulary_size": 9, "embedding_dim": 4},
            {
                "name": "choice",
                "vocabulary_size": "size",
                "embedding_dim": "size",
                "num_layers": "size",
                "dropout": "rate",
                "num_negatives": "size",
                "negatives": "choice",
                "num_interests": "size",
                "ranking_loss": "choice?",
            },
            right={"num_interests": [None]},
        ),
        Subject("recipe", models.recipe, {"name": "sasrec"}, {"name": "choice"}),
        Subject(
            "NextSessionRetrieval",
            tasks.NextSessionRetrieval,
            {},
            {
                "negatives": "choice",
                "num_negatives": "size",
                "temperature": "positive",
                "first_item_index": "size",
                "loss": "choice",
                "calibration": "share",
                "score_regularization": "positive",
                "popularity_power": "positive",
            },
            right={"score_regularization": [0], "popularity_power": [0], "first_item_index": [0]},
        ),
        Subject("SessionRanking", tasks.SessionRanking, {}, {"loss": "choice"}),
        Subject(
            "HistorySpec",
            HistorySpec,
            {},
            {
                "session": "choice",
                "max_sessions": "size",
                "max_items": "size",
                "labels": "boolean",
                "interaction_types": "list",
                "session_times": "boolean",
                "item_times": "boolean",
                "session_context": "map",
                "request_times": "boolean",
                "relation": "list?",
                "first_item_index": "size",
            },
        ),
    ]


def samplers() -> list[Subject]:
    """Negative samplers and optimizers."""
    ids = tf.constant([2, 3, 4])
    shares = np.ones([9], np.float32)
    return [
        Subject(
            "NegativeSampler",
            sampling.NegativeSampler,
            {"negatives": "uniform"},
            {
                "negatives": "choice",
                "num_negatives": "size",
                "first_item_index": "size",
                "popularity_power": "positive",
            },
            right={"popularity_power": [0], "first_item_index": [0]},
        ),
        *(
            Subject(
                function.__name__,
                function,
                {"num_sampled": 3, "low": 2, "high": 9},
                {"num_sampled": "size", "low": "count", "high": "size"},
            )
            for function in (sampling.uniform_candidates, sampling.log_uniform_candidates)
        ),
        Subject(
            "in_batch_candidates",
            sampling.in_batch_candidates,
            {"num_sampled": 3, "positive_ids": ids, "weights": tf.ones([3])},
            {"num_sampled": "size", "positive_ids": "tensor integer", "weights": "tensor number"},
        ),
        Subject(
            "popularity_table",
            sampling.popularity_table,
            {"shares": shares, "low": 2},
            {"shares": "tensor number", "low": "count", "power": "positive"},
            right={"power": [0], "shares": []},
        ),
        Subject(
            "Cooldown",
            optimizers.Cooldown,
            {"learning_rate": 0.1, "total_steps": 10},
            {
                "learning_rate": "positive",
                "total_steps": "size",
                "share": "share",
                "first_step": "count",
            },
        ),
        Subject("LazyAdam", optimizers.LazyAdam, {}, {"learning_rate": "positive"}),
    ]


def baseline_parts() -> list[Subject]:
    """Baselines and their methods."""
    sessions = data.sessionize(log(), **COLUMNS)
    vocabulary = data.Vocabulary.from_sessions(sessions)
    fitted = baselines.VSKNN(k=5).fit(sessions, vocabulary)
    neighbors = {
        "k": "size",
        "sample_size": "size?",
        "sampling": "choice",
        "similarity": "choice",
        "remind": "boolean",
        "seed": "integer",
    }
    return [
        Subject("SKNN", baselines.SKNN, {}, neighbors),
        Subject(
            "VSKNN",
            baselines.VSKNN,
            {},
            {
                **neighbors,
                "weighting": "choice",
                "weighting_score": "choice",
                "idf_weighting": "positive",
                "last_n_items": "size?",
            },
            right={"idf_weighting": [0]},
        ),
        Subject("STAN", baselines.STAN, {}, {**neighbors, "lambda_spw": "positive?"}),
        Subject("VSTAN", baselines.VSTAN, {}, {**neighbors, "lambda_ipw": "positive?"}),
        Subject("AssociationRules", baselines.AssociationRules, {}, {"pruning": "size?"}),
        Subject(
            "ItemKNN",
            baselines.ItemKNN,
            {},
            {"k": "size", "shrinkage": "positive", "alpha": "share"},
            right={"shrinkage": [0]},
        ),
        Subject(
            "SequentialRules",
            baselines.SequentialRules,
            {},
            {"steps": "size", "weighting": "choice", "pruning": "size?"},
        ),
        Subject(
            "RecentPopularity",
            baselines.RecentPopularity,
            {},
            {
                "half_life": "positive?",
                "window": "positive?",
                "anchor": "choice",
                "top": "size?",
            },
        ),
        Subject(
            "SessionPopularity",
            baselines.SessionPopularity,
            {},
            {"order": "choice", "half_life": "positive?", "anchor": "choice", "top": "size?"},
        ),
        Subject("PersonalPopularity", baselines.PersonalPopularity, {}, {"top": "size?"}),
        Subject(
            "TIFUKNN",
            baselines.TIFUKNN,
            {},
            {
                "k": "size",
                "groups": "size",
                "within_decay": "share",
                "group_decay": "share",
                "alpha": "share",
                "top": "size?",
            },
        ),
        Subject(
            "MatrixFactorization",
            baselines.MatrixFactorization,
            {},
            {
                "factors": "size",
                "regularization": "positive",
                "alpha": "positive",
                "iterations": "size",
                "top": "size?",
                "seed": "integer",
            },
            right={"regularization": [0]},
        ),
        Subject(
            "fit",
            lambda **given: baselines.VSKNN().fit(**given),
            {"sessions": sessions, "vocabulary": vocabulary},
            {"sessions": "object", "vocabulary": "object"},
        ),
        Subject(
            "recommend",
            fitted.recommend,
            {"history": ["x"], "k": 2},
            {"history": "list", "k": "size", "time": "number?", "filter_seen": "boolean"},
        ),
    ]


def system_parts() -> list[Subject]:
    """Systems: building, fitting and asking."""
    events = log()
    fitted = systems.fit("vsknn", events, user="user_id", gap="30m")
    return [
        Subject(
            "Training",
            systems.Training,
            {},
            {
                "objective": "choice",
                "epochs": "size",
                "batch_positions": "size",
                "learning_rate": "positive",
                "beta_2": "rate",
                "cooldown": "share",
                "recency_half_life": "positive?",
            },
        ),
        Subject(
            "Validation",
            systems.Validation,
            {"part": "last-day"},
            {"metric": "choice", "patience": "size?"},
        ),
        Subject(
            "build",
            systems.build,
            {"name": "sasrec"},
            {
                "name": "choice",
                "log": "object?",
                "epochs": "size",
                "max_sessions": "size",
                "max_items": "size",
                "min_count": "size",
                "seed": "integer",
                "holdout": "text",
            },
        ),
        Subject(
            "fit",
            systems.fit,
            {"name": "popularity", "log": events, "user": "user_id", "gap": "30m"},
            {
                "name": "choice",
                "log": "object",
                "user": "text?",
                "item": "text",
                "time": "text",
                "gap": "text?",
                "min_count": "size",
                "holdout": "text",
            },
        ),
        Subject(
            "recommend",
            fitted.recommend,
            {"history": ["x"], "k": 2},
            {"history": "list", "k": "size", "time": "number?", "filter_seen": "boolean"},
        ),
        Subject(
            "evaluate",
            fitted.evaluate,
            {"log": events, "protocol": "next_item", "k": [2]},
            {
                "log": "object",
                "protocol": "choice?",
                "targets": "text?",
                "empty_history": "boolean",
                "streaming": "object?",
            },
        ),
    ]
