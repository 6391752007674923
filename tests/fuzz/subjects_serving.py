"""The room of exports."""

import pathlib
import tempfile
from typing import Any

import tensorflow as tf
from generator import Subject

from tfsessionrec import data, export


class Model(tf.Module):
    """A model that an export takes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tf.Variable(tf.eye(4, 2))

    def encode(self, features: Any) -> tf.Tensor:
        """Every history alike."""
        return tf.ones([tf.shape(features["item_ids"])[0], 2])

    def candidate_embeddings(self) -> tf.Tensor:
        """[4, 2]."""
        return tf.convert_to_tensor(self.table)


def subjects() -> list[Subject]:
    """Writing, checking and asking an export."""
    folder = pathlib.Path(tempfile.mkdtemp())
    vocabulary, model = data.Vocabulary(["a", "b"]), Model()
    path = export.export_saved_model(
        model, folder / "1", vocabulary, unavailable=[], warm_up_batch_sizes=[1]
    )
    recommender = export.load_saved_model(path)
    text = {"path": ["text"]}  # may be a path
    return [
        Subject(
            "CandidateOptions",
            export.CandidateOptions,
            {},
            {"dtype": "choice", "chunk_size": "size?", "similarity": "choice"},
        ),
        Subject("ItemAttributes", export.ItemAttributes, {}, {"freshness_half_life": "positive"}),
        Subject(
            "export_saved_model",
            lambda **given: export.export_saved_model(path=folder / "1", **given),
            {"model": model, "vocabulary": vocabulary, "overwrite": True},
            {
                "model": "object",
                "vocabulary": "object",
                "spec": "object?",
                "k": "size",
                "max_sessions": "size?",
                "similarity": "choice",
                "candidate_dtype": "choice",
                "chunk_size": "size?",
                "metadata": "map?",
                "warm_up_batch_sizes": "list",
                "overwrite": "boolean",
                "freshness_half_life": "positive",
            },
        ),
        Subject(
            "write_availability_file",
            export.write_availability_file,
            {"path": path / "assets" / "availability.pb", "unavailable": ["a"]},
            {"path": "object", "unavailable": "list"},
            right=text,
        ),
        Subject(
            "next_version",
            export.next_version,
            {"base": folder},
            {"base": "object"},
            right={"base": ["text"]},
        ),
        Subject(
            "load_saved_model",
            export.load_saved_model,
            {"path": path},
            {"path": "object", "verify": "boolean"},
            right=text,
        ),
        Subject(
            "check_saved_model",
            export.check_saved_model,
            {"path": path},
            {"path": "object", "tolerance": "positive"},
            right={**text, "tolerance": [0]},
        ),
        Subject(
            "recommend",
            recommender.recommend,
            {"item_ids": ["a"]},
            {
                "item_ids": "list",
                "k": "size?",
                "exclude_seen": "boolean",
                "diversity": "share",
                "exclude_ids": "list",
                "allow_ids": "list",
            },
        ),
    ]
