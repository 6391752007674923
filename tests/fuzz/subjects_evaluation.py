"""The public functions, constructors and methods of evaluation."""

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from generator import Subject, Thing
from subjects_data import FOLDER, log, vocabulary

from tfsessionrec import baselines, data, evaluation

BATCH = {"item_ids": [[[3], [2], [4]], [[4], [2], [3]]]}
SHOWN = {"item_ids": [[[3, 0], [2, 4]]], "labels": [[[1, 0], [0, 1]]]}
COUNTS = [0, 0, 5, 1, 9]
SETS = [{1, 2}]  # Any iterable is right for lengths of lists.
DATASETS = [[5], ["text"], [{}], [{"item_ids": "text"}], [{"item_ids": [[1.5]]}], [None]]
KEYS = [{5: baselines.Popularity(COUNTS)}, {"a": None}, {"a": 5}, {"model": None}]


class Model:
    """A model that evaluation takes."""

    def encode(self, features: Any) -> tf.Tensor:
        return tf.ones([len(features["item_ids"]), 2])

    def candidate_embeddings(self) -> tf.Tensor:
        return tf.ones([9, 2])


@functools.cache
def report() -> evaluation.Report:
    model = baselines.Popularity(COUNTS)
    return evaluation.evaluate(model, [BATCH], k=1, keep_queries=True)


def subjects() -> list[Subject]:
    return [*_ranking(), *_evaluating(), *_reports()]


def _ranking() -> list[Subject]:
    ones = np.ones([4, 2], np.float32)
    ranges = {"start": np.zeros(4, int), "stop": np.ones(4, int)}
    three = evaluation.Ensemble([baselines.Popularity(COUNTS), baselines.Popularity(COUNTS)])
    one_batch = {"item_ids": np.array([[[3]]])}
    return [
        Subject(
            "rank_targets",
            evaluation.rank_targets,
            {
                "query_embeddings": ones,
                "candidate_embeddings": np.eye(5, 2, dtype=np.float32),
                "targets": np.arange(4)[:, np.newaxis],
                "block_size": 100,
            },
            {
                "query_embeddings": "tensor number",
                "candidate_embeddings": "tensor number",
                "targets": "tensor integer",
                "block_size": "size",
                "removed": "object?",
                "terms": "object?",
                "first_candidate_id": "count",
            },
            {"targets": [np.full([4, 1], 9)]},
        ),
        Subject(
            "Slices",
            evaluation.Slices,
            {"items": np.arange(4), **ranges},
            dict.fromkeys(("items", "start", "stop"), "tensor integer"),
        ),
        Subject(
            "Slices.concatenate",
            evaluation.Slices.concatenate,
            {"parts": [evaluation.Slices(np.arange(4), **ranges)]},
            {"parts": "list"},
            {"parts": [[5], []]},
        ),
        Subject(
            "Ensemble",
            evaluation.Ensemble,
            {"systems": [Model(), Model()], "vocabulary_size": 9},
            {
                "systems": "list",
                "weights": "list?",
                "fusion": "choice",
                "top": "size",
                "vocabulary_size": "size?",
                "first_item_index": "size",
            },
            {
                "systems": [[], [Model()], [Thing(), Thing()], [5, None]],
                "weights": [[1.0], [1, -1], [0, 1], ["a", "b"], [True, True], {"a": 1, "b": 2}],
            },
        ),
        Subject(
            "Ensemble.sparse_scores",
            three.sparse_scores,
            {"features": one_batch, "rows": [0], "positions": [0]},
            {"features": "map", "rows": "tensor integer?", "positions": "tensor integer?"},
        ),
    ]


def _evaluating() -> list[Subject]:
    popularity = baselines.Popularity(COUNTS)
    words = vocabulary()
    counts = {"popularity": "tensor number?"}
    recent = baselines.RecentPopularity().fit(log(), words)
    asked = data.session_dataset(
        data.expand_targets(log()), words, targets="last", request_times="next_start"
    )
    common = {
        "model": "object",
        "dataset": "object",
        "baselines": "map?",
        "vocabulary": "object?",
        "k": "size",
        "progress": "boolean",
    }
    return [
        Subject(
            "evaluate",
            evaluation.evaluate,
            {
                "model": popularity,
                "dataset": [BATCH],
                "k": 1,
                "popularity": COUNTS,
                "beyond_accuracy": True,
                "repetition": True,
            },
            {
                **common,
                **counts,
                "positions": "choice",
                "filter_seen": "boolean",
                "repeats": "boolean",
                "unknown_targets": "choice",
                "first_item_index": "size?",
                "slices": "choice",
                "bootstrap": "count",
                "repetition": "boolean",
                "beyond_accuracy": "boolean",
                "item_features": "object?",
                "keep_queries": "boolean",
                "seed": "count",
                "block_size": "size",
            },
            {"dataset": DATASETS, "k": [[], [0], [True]], "baselines": KEYS, "slices": [[5]]},
            {"k": [[3], *SETS], "slices": [True]},
        ),
        Subject(
            "evaluate_ranking",
            evaluation.evaluate_ranking,
            {"model": popularity, "dataset": [SHOWN], "popularity": COUNTS},
            {
                **counts,
                "model": "object",
                "dataset": "object",
                "vocabulary": "object?",
                "empty_history": "boolean",
                "unopposed": "boolean",
                "progress": "boolean",
            },
            {"dataset": DATASETS},
        ),
        Subject(
            "evaluate_streaming",
            evaluation.evaluate_streaming,
            {"model": recent, "dataset": asked, "events": log(), "vocabulary": words, "k": 1},
            {
                **common,
                "vocabulary": "object",
                "events": "object",
                "tick": "positive?",
                "refit": "boolean",
                "positions": "choice",
                "seed": "count",
            },
            {"dataset": DATASETS, "vocabulary": [None], "baselines": KEYS},
            {"k": [[3], *SETS]},
        ),
        Subject(
            "recommend",
            evaluation.recommend,
            {
                "model": recent,
                "sessions": log(),
                "vocabulary": words,
                "output": FOLDER / "lists.csv",
            },
            {
                "model": "object",
                "sessions": "object",
                "vocabulary": "object",
                "output": "object",
                "k": "size",
                "spec": "object?",
                "filter_seen": "boolean",
                "exclude": "list",
                "allow": "list",
                "time": "number?",
                "key": "text",
                "progress": "boolean",
            },
            {
                "exclude": [[5], [None], [True]],
                "allow": [[5], [None], ["no such"]],
                "time": [1e300],
                "output": [FOLDER],
                "key": ["rank", "item", "score"],
            },
        ),
        Subject(
            "CatalogueMetrics",
            evaluation.CatalogueMetrics,
            {"dataset": [BATCH], "k": 1},
            {
                "dataset": "object",
                "k": "size",
                "metrics": "list",
                "max_queries": "size?",
                "every": "size",
                "prefix": "text",
                "seed": "count",
            },
            {"dataset": DATASETS, "metrics": [[5], ["no such"], [None], {"a": 1}]},
            {"k": [[3], *SETS], "prefix": [""]},
        ),
    ]


def _reports() -> list[Subject]:
    one = report()
    small = evaluation.Report({"recall@5": 0.25}, {"popularity": {"recall@5": 0.125}}, 8, 40)
    folder = FOLDER / "report"
    compared = evaluation.compare(one, one)
    maps = ("options", "intervals", "slices", "exposure", "targets")
    file = {"path": "object", "title": "text"}
    row = dict.fromkeys(("a", "b", "difference", "low", "high", "p_value"), 0.1)
    return [
        Subject(
            "compare",
            evaluation.compare,
            {"report_a": one, "report_b": one, "samples": 10},
            {
                "report_a": "object",
                "report_b": "object",
                "metrics": "list?",
                "systems": "list",
                "samples": "size",
                "seed": "count",
            },
            {
                "report_a": [small],
                "report_b": [small],
                "metrics": [["no such"], [5], [], [["a"]]],
                "systems": [["model"], [5, 5], ["model", "no such"], {"a": 1, "b": 2}],
            },
        ),
        Subject(
            "Comparison",
            evaluation.Comparison,
            {"metrics": {"a": row}, "num_queries": 1, "num_clusters": 1, "samples": 1},
            {
                "metrics": "map",
                "num_queries": "count",
                "num_clusters": "count",
                "samples": "size",
            },
        ),
        Subject(
            "Report",
            evaluation.Report,
            {"metrics": {"recall@5": 0.25}, "num_queries": 8},
            {
                "metrics": "map",
                "baselines": "map",
                "num_queries": "count",
                "num_candidates": "number",
                "num_skipped": "count",
                "seconds": "number",
                "queries": "object?",
                **dict.fromkeys(maps, "map"),
            },
            {"metrics": [{"a": "x"}, {5: 1.0}], "baselines": [{"a": 5}, {5: {}}]},
            {"metrics": [{"a": 1}], "options": [{"a": 1}]},
        ),
        Subject("Report.to_markdown", small.to_markdown, {"title": "a"}, {"title": "text"}),
        Subject(
            "Report.save",
            small.save,
            {"directory": folder, "title": "a"},
            {"directory": "object", "title": "text"},
            {},
            {"directory": ["text"]},
        ),
        Subject(
            "Report.plot",
            small.plot,
            {"path": FOLDER / "a.svg", "title": "a"},
            file,
            {"path": [FOLDER / "a.xyz"]},
        ),
        Subject(
            "Report.to_json",
            small.to_json,
            {"path": FOLDER / "a.json"},
            {"path": "object"},
            {},
            {"path": ["text"]},
        ),
        Subject(
            "JointReport",
            evaluation.JointReport,
            {"reports": {"a": one, "b": one}, "comparisons": {"b": compared}},
            {"reports": "map", "comparisons": "map"},
            {"reports": [{"a": 5}, {5: one}], "comparisons": [{"b": 5}, {5: compared}]},
        ),
        Subject(
            "JointReport.of",
            evaluation.JointReport.of,
            {"reports": {"a": one, "b": one}},
            {"reports": "map", "samples": "size", "seed": "count"},
            {"reports": [{"a": 5, "b": one}, {}, {"a": one}, {"a": small, "b": small}]},
        ),
    ]
