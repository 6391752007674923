"""The public functions and classes of metrics, and their methods."""

from typing import Any

import numpy as np
import tensorflow as tf
from generator import Subject

from tfsessionrec import metrics

RANKS = [[1, 7], [3, 0]]
LISTS = [[0, 2], [1, -1]]


def subjects() -> list[Subject]:
    return [*_of_ranks(), *_of_lists(), *_keras()]


def _of_ranks() -> list[Subject]:
    shown = {
        "scores": [[0.2, 0.9, 0.9, 9.0]],
        "labels": [[0, 1, 0, 0]],
        "mask": [[True, True, True, False]],
    }
    of_shown = {
        "scores": "tensor number",
        "labels": "tensor text",
        "mask": "tensor text",  # 1 and 0 are right, too.
    }
    names = ("average_precision", "hit_rate", "mrr", "ndcg", "precision", "recall")
    pairs = ("first_positive_rank", "pair_auc")
    return [
        *(
            Subject(
                name,
                getattr(metrics, name),
                {"ranks": RANKS, "k": 5},
                {"ranks": "tensor integer", "k": "size"},
            )
            for name in names
        ),
        *(
            Subject(
                name,
                getattr(metrics, name),
                shown,
                of_shown,
                {"scores": [np.ones([1, 3])], "mask": [np.ones([1, 3], bool)]},
            )
            for name in pairs
        ),
        Subject(
            "positive_integer",
            lambda k: metrics.positive_integer("k", k),
            {"k": 3},
            {"k": "size"},
        ),
    ]


def _of_lists() -> list[Subject]:
    of_lists = {"lists": "tensor integer", "k": "size"}
    return [
        Subject(
            "exposure",
            metrics.exposure,
            {"lists": LISTS, "k": 2, "num_items": 4},
            {**of_lists, "num_items": "size"},
            {"lists": [[[0, 9]]]},
        ),
        Subject(
            "list_mean",
            metrics.list_mean,
            {"lists": LISTS, "k": 2, "values": [4.0, 1.0, 8.0]},
            {**of_lists, "values": "tensor number"},
            {"lists": [[[0, 9]]]},
        ),
        Subject(
            "intra_list_diversity",
            metrics.intra_list_diversity,
            {"lists": LISTS, "k": 2, "features": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]},
            {**of_lists, "features": "object"},
            {
                "lists": [[[0, 9]]],
                "features": [[[["a"], ["b"], ["c"]]], {"a": 1}, np.ones([1, 1, 1])],
            },
        ),
        *(
            Subject(name, getattr(metrics, name), {"shown": [2, 0, 1]}, {"shown": "tensor number"})
            for name in ("coverage", "gini")
        ),
        Subject(
            "self_information",
            metrics.self_information,
            {"counts": [1, 5]},
            {"counts": "tensor number"},
            {"counts": [[-3, 5]]},
        ),
    ]


def _keras() -> list[Subject]:
    names = ("HitRateAtK", "MAPAtK", "MRRAtK", "NDCGAtK", "PrecisionAtK", "RecallAtK")
    lists: dict[str, Any] = {
        "y_true": np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]], np.float32),
        "y_pred": np.array([[0.5, 0.2, 0.1], [0.5, 0.2, 0.1]], np.float32),
    }
    found = [
        Subject(
            name,
            getattr(metrics, name),
            {"k": 3},
            {"k": "size", "name": "text?", "dtype": "choice?"},
        )
        for name in (*names, "RankingMetric")
    ]
    found += [
        Subject(
            f"{name}.update_state",
            getattr(metrics, name)(2).update_state,
            {**lists, "sample_weight": np.ones([2], np.float32), "mask": np.ones([2, 3], bool)},
            {
                "y_true": "tensor text",
                "y_pred": "tensor number",
                "sample_weight": "tensor text?",
                "mask": "tensor text?",
            },
            {"y_pred": [np.ones([2, 4], np.float32)], "mask": [np.ones([2, 4], bool)]},
            # One weight is that of every list.
            {"sample_weight": [tf.constant(1.0)]},
        )
        for name in names
    ]
    return [
        *found,
        Subject("RankingAUC", metrics.RankingAUC, {}, {"name": "text?", "dtype": "choice?"}),
        Subject(
            "RankingAUC.update_state",
            metrics.RankingAUC().update_state,
            {**lists, "sample_weight": np.ones([2, 3], np.float32)},
            {
                "y_true": "tensor text",
                "y_pred": "tensor number",
                "sample_weight": "tensor text?",
            },
        ),
    ]
