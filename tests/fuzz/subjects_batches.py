"""The public functions, constructors and methods of examples, batches and vocabularies."""

from typing import Any

import numpy as np
from generator import COMMON, Subject, Thing
from subjects_data import FOLDER, ODD_COLUMNS, log, vocabulary

from tfsessionrec import data
from tfsessionrec.history_spec import HistorySpec


def subjects() -> list[Subject]:
    return [*_examples(), *_batches(), *_vocabularies()]


def _examples() -> list[Subject]:
    some = data.expand_targets(log())
    rows = {name: getattr(some, name) for name in ("begin", "target", "end")}
    asked = {"sessions": "object", "asked": "choice"}
    spec = HistorySpec()
    return [
        Subject(
            "Examples",
            data.Examples,
            {"log": some.log, **rows, "is_target": np.ones(len(some.log), bool)},
            {
                "log": "object",
                **dict.fromkeys(rows, "tensor integer"),
                "is_target": "tensor boolean?",
                "asked": "choice",
            },
        ),
        Subject("Examples.sequences", data.Examples.sequences, {"sessions": log()}, asked),
        Subject("Examples.last_sessions", data.Examples.last_sessions, {"sessions": log()}, asked),
        Subject(
            "Examples.filter",
            some.filter,
            {"kept": np.ones(len(some), bool)},
            {"kept": "tensor boolean"},
            {"kept": [np.ones(len(some) + 1, bool)]},
        ),
        Subject("Examples.newest", some.newest, {"max_sessions": 2}, {"max_sessions": "size"}),
        Subject(
            "expand_prefixes",
            data.expand_prefixes,
            {"sessions": log()},
            {"sessions": "object", "target": "choice", "max_sessions": "size?"},
        ),
        Subject(
            "expand_targets",
            data.expand_targets,
            {"sessions": log()},
            {"sessions": "object", "max_sessions": "size?", "empty_history": "boolean"},
        ),
        Subject(
            "training_examples",
            data.training_examples,
            {"sessions": log(), "objective": "next_session", "spec": spec},
            {"sessions": "object", "objective": "choice", "spec": "object"},
        ),
        Subject(
            "protocol_examples",
            data.protocol_examples,
            {"protocol": "next_session", "sessions": log(), "spec": spec},
            {
                "protocol": "choice",
                "sessions": "object",
                "spec": "object",
                "empty_history": "boolean",
                "apart": "boolean",
            },
        ),
    ]


def _batches() -> list[Subject]:
    spec = HistorySpec()
    of_log = {"sessions": log(), "vocabulary": vocabulary()}

    def batches(**arguments: Any) -> list[Any]:
        return list(data.protocol_batches(**arguments))

    return [
        Subject(
            "session_dataset",
            data.session_dataset,
            {**of_log, "batch_size": 2, "seed": 1, "weights": "price"},
            {
                "sessions": "object",
                "vocabulary": "object",
                "spec": "object?",
                "max_sessions": "size?",
                "max_items": "size?",
                "batch_size": "size?",
                "shuffle": "boolean?",
                "seed": "integer?",
                "targets": "choice?",
                "context": "list",
                "min_sessions": "size",
                "weights": "object?",
                "shuffle_window": "positive?",
                "recency_half_life": "positive?",
                "drop_remainder": "boolean",
                "static_shapes": "boolean",
                "first_epoch": "count?",
            },
            {"context": ODD_COLUMNS, "weights": [{"a": 1}, {1, 2}, b"a"]},
            {"shuffle_window": [0]},
        ),
        Subject(
            "session_dataset of cells",
            data.session_dataset,
            {**of_log, "batch_positions": 20, "spec": spec},
            {"batch_positions": "size?", "spec": "object?", "vocabulary": "object"},
        ),
        Subject(
            "session_dataset of the earlier release",
            data.session_dataset,
            of_log,
            {
                "session_context": "list?",
                "interaction_types": "list?",
                "item_times": "boolean?",
                "match_ids": "boolean?",
                "request_times": "choice?",
            },
        ),
        Subject(
            "protocol_batches",
            batches,
            {"protocol": "next_session", **of_log, "spec": spec},
            {
                "protocol": "choice",
                "sessions": "object",
                "vocabulary": "object",
                "spec": "object",
                "empty_history": "boolean",
                "origins": "boolean",
                "apart": "boolean",
            },
        ),
    ]


def _vocabularies() -> list[Subject]:
    words = data.Vocabulary(["a", "b"], counts=[2, 1])
    saved = FOLDER / "vocabulary.json"
    words.save(saved)
    made = data.simulate(num_users=4, num_items=5, slate_size=2.0, seed=1)
    odd_ids: list[Any] = [[5], [1.5], [True], {"a": 1}, {1, 2}, [Thing()], [b"\xff"]]
    return [
        Subject(
            "Vocabulary",
            data.Vocabulary,
            {"ids": ["a", "b"], "counts": [2, 1]},
            {
                "ids": "list",
                "counts": "list?",
                "num_oov_indices": "size",
                "num_new_items": "count",
                "order": "choice",
            },
            {
                "ids": [["a", "a"], ["a", 5], {"a": 1}, {1, 2}, [None, "a"], [True, False], []],
                "counts": [[1], [1.5, 2], [-1, 2], ["a", "b"], [True, False], {"a": 1, "b": 2}],
            },
        ),
        Subject(
            "Vocabulary.from_sessions",
            data.Vocabulary.from_sessions,
            {"sessions": log(), "min_count": 1},
            {"sessions": "object", "min_count": "size", "num_oov_indices": "size"},
        ),
        Subject(
            "Vocabulary.extend",
            words.extend,
            {"ids": ["c"]},
            {"ids": "list"},
            {"ids": odd_ids},
            {"ids": ["text"]},
        ),
        Subject(
            "Vocabulary.grow",
            words.grow,
            {"sessions": log()},
            {"sessions": "object", "min_count": "size"},
        ),
        Subject(
            "Vocabulary.lookup",
            words.lookup,
            {"raw_ids": ["a"]},
            {"raw_ids": "list"},
            {"raw_ids": odd_ids},
            # One id is an array without axes, None is padding.
            {"raw_ids": ["text", None]},
        ),
        Subject(
            "Vocabulary.raw",
            words.raw,
            {"indices": [2]},
            {"indices": "list"},
            {"indices": [[0], [1.5], [True], ["a"], [99], {"a": 1}, {1, 2}, [[2], [2, 3]]]},
        ),
        Subject(
            "Vocabulary.save",
            words.save,
            {"path": saved},
            {"path": "object"},
            {},
            {"path": ["text"]},
        ),
        Subject(
            "Vocabulary.load",
            data.Vocabulary.load,
            {"path": saved},
            {"path": "object"},
            {"path": [COMMON[0], b"\xff"]},
            {"path": ["text"]},
        ),
        Subject(
            "simulate",
            data.simulate,
            {"num_users": 3, "num_items": 4, "slate_size": 2.0},
            {
                "num_users": "size",
                "num_items": "size",
                "sessions_per_user": "positive",
                "slate_size": "positive",
                "dim": "size",
                "drift": "share",
                "popularity_skew": "number",
                "targeting": "number",
                "exposure_noise": "share",
                "taste": "number",
                "click_bias": "number",
                "seed": "count",
            },
        ),
        Subject(
            "Simulation.true_probabilities",
            made.true_probabilities,
            {"user_ids": ["u00001"], "vocabulary": words},
            {"user_ids": "list?", "vocabulary": "object?"},
            {"user_ids": [[5], ["no such"], [None], {"a": 1}]},
        ),
    ]
