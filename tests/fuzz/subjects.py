"""The public functions and constructors that are called with wrong arguments, by room."""

from typing import Any

import numpy as np
import subjects_data
import subjects_evaluation
import subjects_metrics
import subjects_models
import subjects_serving
import tensorflow as tf
from generator import Subject

from tfsessionrec import client, layers, losses, rules

ROWS = tf.constant([[0, 2], [1, -1]])
TRUE = tf.constant([[True, True], [True, False]])
ONES = tf.ones([2])


def _rules() -> list[Subject]:
    longs = tf.constant([1, 2], tf.int64)
    return [
        Subject(
            "allow_only",
            rules.allow_only,
            {"rows": ROWS, "is_listed": TRUE, "num_items": 3},
            {"rows": "tensor integer", "is_listed": "tensor boolean", "num_items": "size"},
        ),
        Subject(
            "exclude",
            rules.exclude,
            {"rows": ROWS, "num_items": 3},
            {"rows": "tensor integer", "num_items": "size"},
        ),
        Subject(
            "has_tags",
            rules.has_tags,
            {"item_tags": longs, "tag_mask": longs},
            {"item_tags": "tensor integer", "tag_mask": "tensor integer"},
        ),
        Subject(
            "freshness_bonus",
            rules.freshness_bonus,
            {"item_times": longs, "request_times": longs, "strength": ONES, "half_life": 1.0},
            {
                "item_times": "tensor integer",
                "request_times": "tensor integer",
                "strength": "tensor number",
                "half_life": "positive",
            },
        ),
        Subject(
            "category_cap",
            rules.category_cap,
            {"categories": ROWS, "limit": tf.constant([1, 2])},
            {"categories": "tensor integer", "limit": "tensor integer"},
        ),
        Subject(
            "maximal_marginal_relevance",
            rules.maximal_marginal_relevance,
            {
                "scores": tf.ones([2, 3]),
                "embeddings": tf.ones([2, 3, 4]),
                "strength": ONES,
                "picks": tf.constant([1, 2]),
                "size": tf.constant([3, 3]),
            },
            {
                "scores": "tensor number",
                "embeddings": "tensor number",
                "strength": "tensor number",
                "picks": "tensor integer",
                "size": "tensor integer",
            },
        ),
    ]


def _losses() -> list[Subject]:
    pairs: dict[str, Any] = {
        "positive_logits": ONES,
        "negative_logits": tf.ones([2, 3]),
        "visible": tf.ones([2, 3], tf.bool),
        "pair_rows": tf.constant([0, 1]),
        "weights": ONES,
    }
    of_pairs = {
        "positive_logits": "tensor number",
        "negative_logits": "tensor number",
        "visible": "tensor boolean",
        "pair_rows": "tensor integer",
        "weights": "tensor any",
    }
    sample = {
        "sampled_ids": tf.constant([3, 5, 9]),
        "mask": tf.ones([3], tf.bool),
        "hidden": tf.constant([[3, -1], [9, 5]]),
    }
    of_sample = {
        "sampled_ids": "tensor integer",
        "mask": "tensor boolean",
        "hidden": "tensor integer",
    }
    lists = {"logits": tf.ones([2, 3]), "labels": tf.ones([2, 3]), "mask": tf.ones([2, 3], tf.bool)}
    scores = losses.SampledScores(
        ONES,
        tf.ones([2, 3]),
        tf.constant([0, 1]),
        tf.constant([True, True]),
        tf.constant([[3], [5]]),
        tf.constant([3, 5, 9]),
        tf.ones([3], tf.bool),
        tf.zeros([3]),
        ONES,
    )
    found = [
        Subject(
            "set_softmax_loss",
            losses.set_softmax_loss,
            {"positive_logits": ONES, "negative_log_sum_exp": ONES, "weights": ONES},
            {
                "positive_logits": "tensor number",
                "negative_log_sum_exp": "tensor number",
                "weights": "tensor any",
            },
        ),
        Subject(
            "gbce_loss",
            losses.gbce_loss,
            {**pairs, "sampling_rate": 0.1, "calibration": 0.5},
            {**of_pairs, "sampling_rate": "share", "calibration": "share"},
        ),
        Subject(
            "bpr_max_loss",
            losses.bpr_max_loss,
            {**pairs, "log_expected_count": tf.ones([3]), "score_regularization": 1.0},
            {
                **of_pairs,
                "log_expected_count": "tensor number?",
                "score_regularization": "number",
            },
            {"score_regularization": [-1.0]},
        ),
        Subject(
            "sampled_log_sum_exp",
            losses.sampled_log_sum_exp,
            {"negative_logits": tf.ones([2, 3]), **sample},
            {"negative_logits": "tensor number", **of_sample},
        ),
        Subject("visible_negatives", losses.visible_negatives, sample, of_sample),
        Subject(
            "sampled_loss",
            losses.sampled_loss,
            {"loss": "softmax", "scores": scores, "num_candidates": 9, "uniform": False},
            {
                "loss": "choice",
                "scores": "object",
                "num_candidates": "size",
                "uniform": "boolean",
            },
        ),
        Subject(
            "catalogue_softmax_loss",
            losses.catalogue_softmax_loss,
            {
                "queries": tf.ones([2, 3]),
                "candidate_embeddings": tf.ones([5, 3]),
                "positives": tf.constant([[1], [2]]),
                "block_elements": 100,
                "least_queries": 1,
                "candidate_ids": tf.range(5),
            },
            {
                "queries": "tensor number",
                "candidate_embeddings": "tensor number",
                "positives": "tensor integer",
                "block_elements": "size",
                "least_queries": "size",
                "candidate_ids": "tensor integer?",
            },
        ),
    ]
    for name in ("binary_cross_entropy", "pairwise_logistic", "listwise_softmax"):
        kinds = {"logits": "tensor text", "labels": "tensor any", "mask": "tensor any"}
        scalars = {key: [5, True] for key in kinds}
        call = getattr(losses, f"{name}_loss")
        found.append(_any_rank(Subject(name, call, lists, kinds, scalars)))
    return found


def _any_rank(subject: Subject) -> Subject:
    """More axes are right: only what is no list of numbers remains wrong."""

    class Few(Subject):
        def cases(self) -> Any:
            for argument, value in super().cases():
                rank = getattr(getattr(value, "shape", None), "rank", None)
                if not (rank == 4 or (isinstance(value, np.ndarray) and value.ndim == 1)):
                    yield argument, value

    return Few(subject.name, subject.call, subject.good, subject.kinds, subject.more)


def _client() -> list[Subject]:
    ids = {"dtype": "string", "shape": ["B", "N"]}
    numbers = {"dtype": "int32", "shape": ["B", "N"]}
    of_history = {"item_ids": ids, "session_index": numbers}
    k = {"k": {"dtype": "int32", "shape": ["B"]}}
    description = {
        "k": 3,
        "signatures": {
            "recommend": {"inputs": {**of_history, **k}, "outputs": {}},
            "encode": {"inputs": of_history, "outputs": {}},
            "similar_items": {
                "inputs": {"item_ids": {"dtype": "string", "shape": ["B"]}, **k},
                "outputs": {},
            },
            "rank": {"inputs": {**of_history, "candidate_ids": ids}, "outputs": {}},
        },
    }
    one = client.Client("http://127.0.0.1:9", "shop", description=description, retries=0)
    with_rules = client.Client(
        "http://127.0.0.1:9",
        "shop",
        retries=0,
        description={
            "k": 3,
            "signatures": {
                "recommend_filtered": {
                    "inputs": {
                        **of_history,
                        **k,
                        "exclude_ids": ids,
                        "exclude_seen": {"dtype": "bool", "shape": ["B"]},
                        "diversity": {"dtype": "float32", "shape": ["B"]},
                    },
                    "outputs": {},
                }
            },
        },
    )
    parts = ["a/b", "a b", "..", "a\n", "a?b"]
    histories = [[["x"], "y"], [[None]], [[1.5]], [[True]], [["x", ["y"]]], []]
    return [
        Subject(
            "Client",
            client.Client,
            {
                "url": "http://127.0.0.1:9",
                "model_name": "shop",
                "version": 1,
                "label": None,
                "timeout": 1.0,
                "retries": 1,
                "backoff": 0.1,
                "description": description,
                "history_length": 3,
                "list_length": 3,
                "max_response_bytes": 100,
            },
            {
                "url": "choice",
                "model_name": "text",
                "version": "count?",
                "timeout": "positive",
                "retries": "count",
                "backoff": "number",
                "description": "map?",
                "history_length": "size?",
                "list_length": "size?",
                "max_response_bytes": "size",
            },
            {
                "url": ["http://a", "a:1", "http://a:b", "http://u:p@a"],
                "model_name": parts,
                "backoff": [-1],
                "description": [{}, {"signatures": {}}, {"k": True, "signatures": {}}],
            },
            {"description": ["text"]},  # No such file: the error names it.
        ),
        Subject(
            "ModelReference",
            client.ModelReference,
            {"name": "shop", "label": "stable", "version": None},
            {"name": "text", "label": "text?"},
            {"name": parts, "label": parts},
        ),
        Subject(
            "History",
            client.History,
            {"item_ids": ["a"], "session_index": [0], "inputs": {}},
            {"item_ids": "list", "session_index": "list?", "inputs": "map"},
            {
                "item_ids": [[None], [1.5], [True], [["a"]], ["a", "b"], {"a"}],
                "session_index": [["a"], [1.5], [True], [0, 1]],
                "inputs": [{"labels": 5}, {"labels": "a"}, {1: [1]}],
            },
        ),
        Subject(
            "History.of_sessions",
            client.History.of_sessions,
            {"sessions": [["a"]]},
            {"sessions": "list"},
            {"sessions": ["a", [5], ["a"], [None]]},
        ),
        Subject(
            "recommend",
            one.recommend,
            {"histories": [["x"]], "k": 3},
            {"histories": "list", "k": "size?"},
            {"histories": histories, "k": [[1, 2], [0], [True], ["3"]]},
            {"k": [[3]]},
        ),
        Subject(
            "encode",
            one.encode,
            {"histories": [["x"]]},
            {"histories": "list"},
            {"histories": histories},
        ),
        Subject(
            "similar_items",
            one.similar_items,
            {"item_ids": ["x"], "k": 3},
            {"item_ids": "list", "k": "size?"},
            {"item_ids": [[None], [1.5], [True], [["x"]], []], "k": [[1, 2]]},
            {"k": [[3]]},
        ),
        Subject(
            "rank",
            one.rank,
            {"histories": [["x"]], "candidate_ids": ["a"]},
            {"histories": "list", "candidate_ids": "list"},
            {"histories": histories, "candidate_ids": [[None], [1.5], [True], [["a"], ["b"]]]},
        ),
        Subject(
            "recommend_filtered",
            with_rules.recommend_filtered,
            {"histories": [["x"]], "exclude_ids": ["a"], "exclude_seen": True, "diversity": 0.5},
            {"exclude_ids": "list", "exclude_seen": "boolean", "diversity": "number"},
            {"exclude_ids": [[None], [1.5]], "diversity": [["a"], [0.1, 0.2]]},
            # Whether a number may be infinite is for the model to say.
            {"diversity": [[1.0], "1.5", True, float("nan"), float("inf")]},
        ),
    ]


def _layers() -> list[Subject]:
    heads = {"num_layers": "size", "num_heads": "size", "dropout": "rate", "max_length": "size"}
    small = {"num_layers": 1, "num_heads": 1, "dropout": 0.1, "max_length": 8}
    items = {"vocabulary_size": 9, "embedding_dim": 4, "feature_dim": 2, "id_dropout": 0.1}
    return [
        Subject(
            "ItemEmbedding",
            layers.ItemEmbedding,
            {**items, "num_new_items": 0},
            {
                "vocabulary_size": "size",
                "embedding_dim": "size",
                "feature_dim": "size",
                "id_dropout": "rate",
                "num_new_items": "count",
            },
        ),
        Subject(
            "GRUISE",
            layers.GRUISE,
            {"num_layers": 1, "dropout": 0.1},
            {"num_layers": "size", "dropout": "rate"},
        ),
        Subject(
            "GRUSSE",
            layers.GRUSSE,
            {"num_layers": 1, "dropout": 0.1, "input_norm": False},
            {"num_layers": "size", "dropout": "rate", "input_norm": "boolean"},
        ),
        Subject("HSTUSSE", layers.HSTUSSE, small, {**heads, "num_time_buckets": "count"}),
        Subject(
            "SASRecSSE",
            layers.SASRecSSE,
            small,
            {**heads, "intermediate_dim": "size?", "feed_forward": "choice"},
        ),
        Subject("TransformerISE", layers.TransformerISE, small, heads),
        Subject(
            "TransformerBlock",
            layers.TransformerBlock,
            {"num_heads": 1, "dropout": 0.1, "causal": True, "stochastic_depth": 0.1},
            {
                "num_heads": "size",
                "dropout": "rate",
                "causal": "boolean",
                "stochastic_depth": "rate",
                "feed_forward": "choice",
                "intermediate_dim": "size?",
            },
        ),
        Subject(
            "NARMISE",
            layers.NARMISE,
            {"hidden_dim": 3},
            {"hidden_dim": "size?", "input_dropout": "rate", "output_dropout": "rate"},
        ),
        Subject("SRGNNISE", layers.SRGNNISE, {}, {"num_steps": "size"}),
        Subject("AttentionISE", layers.AttentionISE, {}, {"hidden_dim": "size?"}),
        Subject(
            "MultiInterestHead",
            layers.MultiInterestHead,
            {"num_interests": 2},
            {"num_interests": "size"},
        ),
        Subject("PositionEmbedding", layers.PositionEmbedding, {}, {"max_length": "size"}),
        Subject(
            "SessionContext",
            layers.SessionContext,
            {"features": {"a": 3}, "dim": 4},
            {"features": "map", "dim": "size"},
        ),
        Subject(
            "TimeGapEmbedding",
            layers.TimeGapEmbedding,
            {"num_buckets": 3, "dim": 4},
            {"num_buckets": "size", "dim": "size"},
        ),
        Subject(
            "TrendFeatures",
            layers.TrendFeatures,
            {"vocabulary_size": 9, "refresh": 60},
            {
                "vocabulary_size": "size",
                "half_lives": "list",
                "follow_items": "size",
                "follow_steps": "size",
                "follow_events": "size",
                "refresh": "size",
            },
        ),
    ]


ROOMS = {
    "rules": _rules,
    "losses": _losses,
    "layers": lambda: [*_layers(), *subjects_models.more_layers()],
    "client": _client,
    "data": subjects_data.subjects,
    "evaluation": subjects_evaluation.subjects,
    "metrics": subjects_metrics.subjects,
    "models": subjects_models.model_parts,
    "sampling": subjects_models.samplers,
    "baselines": subjects_models.baseline_parts,
    "export": subjects_serving.subjects,
    "systems": subjects_models.system_parts,
}
