"""A small model that depends on every item, its place and its session, and plain-Python oracles."""

import itertools
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.data import Vocabulary
from tfsessionrec.history_spec import HistorySpec

MAX_SESSIONS, MAX_ITEMS = 4, 3
LOWEST = np.finfo(np.float32).min

History = tuple[Sequence[Any], Sequence[int]]  # raw ids, session_index


class ToyModel(tf.Module):
    """Sessions weigh items by their place, the history weighs sessions by their age."""

    def __init__(self, vocabulary: Vocabulary, dim: int = 6) -> None:
        super().__init__()
        generator = np.random.default_rng(7)
        self.table = tf.Variable(generator.normal(size=(len(vocabulary), dim)), dtype=tf.float32)
        # Were padding or out-of-vocabulary rows ever scored, they would win.
        self.table[: vocabulary.first_item_index].assign(
            tf.fill([vocabulary.first_item_index, dim], 50.0)
        )
        self.kernel = tf.Variable(generator.normal(size=(dim, dim)) / 3, dtype=tf.float32)

    def encode(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        ids = features["item_ids"]
        real = tf.cast(ids > 0, tf.float32)
        positive = features.get("labels", real)
        items = tf.gather(self.table / (1 + tf.abs(self.table)), ids)
        weights = real * (0.2 + positive) * 0.6 ** tf.cumsum(real, axis=2)
        sessions = tf.tanh(tf.reduce_sum(weights[..., tf.newaxis] * items, axis=2) @ self.kernel)
        is_session = tf.reduce_max(real, axis=2)
        age = tf.reduce_sum(is_session, axis=1, keepdims=True) - tf.cumsum(is_session, axis=1)
        return tf.reduce_sum((is_session * 0.7**age)[..., tf.newaxis] * sessions, axis=1)

    def candidate_embeddings(self) -> tf.Tensor:
        return tf.identity(self.table)


def spec_of(vocabulary: Vocabulary, **fields: Any) -> HistorySpec:
    """The specification of the toy model."""
    return HistorySpec(
        **{"max_sessions": MAX_SESSIONS, "max_items": MAX_ITEMS, **fields},
        padding_id="" if vocabulary.dtype == "string" else -1,
    )


def sessions_of(ids: Sequence[Any], session_index: Sequence[int]) -> list[list[Any]]:
    """The newest sessions of a history, each a list of its newest items."""
    items = [(i, s) for i, s in zip(ids, session_index, strict=True) if s >= 0 and i != ""]
    sessions = [[i for i, _ in run] for _, run in itertools.groupby(items, key=lambda x: x[1])]
    return [session[-MAX_ITEMS:] for session in sessions[-MAX_SESSIONS:]]


def laid_out(vocabulary: Vocabulary, history: History) -> np.ndarray:
    """One history as a batch [1, S, I], padded to the full size."""
    item_ids = np.zeros((1, MAX_SESSIONS, MAX_ITEMS), np.int32)
    for s, session in enumerate(sessions_of(*history)):
        item_ids[0, s, : len(session)] = vocabulary.lookup(session)
    return item_ids


def query(model: Any, vocabulary: Vocabulary, history: History) -> np.ndarray:
    """The query of the live model for one history."""
    item_ids = laid_out(vocabulary, history)
    known = (item_ids >= vocabulary.first_item_index).any()
    return np.asarray(model.encode({"item_ids": tf.constant(item_ids)}))[0] * known


def scores(model: Any, vocabulary: Vocabulary, history: History) -> np.ndarray:
    """[num_items] scores of the live model, or of popularity."""
    embedding = query(model, vocabulary, history)
    if not embedding.any():
        counts = vocabulary.counts[vocabulary.first_item_index :] + 1.0
        return np.log(counts / counts.sum())
    candidates = np.asarray(model.candidate_embeddings())[vocabulary.first_item_index :]
    found = (candidates @ np.atleast_2d(embedding).T).max(axis=1)  # of its interests, if several
    if getattr(model, "habit", None) is not None:
        item_ids = laid_out(vocabulary, history)
        last = [[max(len(sessions_of(*history)) - 1, 0)]]
        items = np.arange(vocabulary.first_item_index, len(vocabulary))
        found += model.habit(embedding[np.newaxis], item_ids, last, items).numpy()[0]
    return found


def recommendations(
    model: Any, vocabulary: Vocabulary, history: History, k: int
) -> tuple[list[Any], np.ndarray]:
    """Raw ids and scores, best first."""
    values = scores(model, vocabulary, history)
    order = np.argsort(-values, kind="stable")[: max(k, 0)]
    return vocabulary.ids[order].tolist(), values[order]


def pad(histories: Sequence[History], extra: int = 0) -> dict[str, np.ndarray]:
    """`item_ids` and `session_index` of a request."""
    length = max((len(ids) for ids, _ in histories), default=0) + extra
    strings = any(isinstance(i, str) for ids, _ in histories for i in ids)
    item_ids = np.full((len(histories), length), "" if strings else 0, object if strings else "i8")
    session_index = np.full((len(histories), length), -1, np.int32)
    for row, (ids, sessions) in enumerate(histories):
        item_ids[row, : len(ids)] = ids
        session_index[row, : len(ids)] = sessions
    return {"item_ids": item_ids, "session_index": session_index}


def mixed_histories(ids: Sequence[Any], unknown: Any) -> list[History]:
    """Short, long, empty, over-long and unknown ones, sessions counted in several ways."""
    a, b, c, d, e, f = ids[:6]
    return [
        ([a], [0]),
        ([], []),
        ([a, b, c, d], [0, 0, 1, 1]),
        ([b, unknown, a], [5, 5, 9]),
        ([unknown, unknown], [0, 1]),
        ([a, b, c, d, e, f] * 6, [n // 2 for n in range(36)]),
        ([f, e, d, c, b, a] * 4, [0] * 24),
        ([a, b, a, c], [2, 0, 0, 2]),
    ]


@pytest.fixture(scope="session")
def toy() -> types.SimpleNamespace:
    """All of the above, for test files, which cannot import this one."""
    return types.SimpleNamespace(
        Model=ToyModel,
        MAX_SESSIONS=MAX_SESSIONS,
        MAX_ITEMS=MAX_ITEMS,
        LOWEST=LOWEST,
        spec=spec_of,
        sessions_of=sessions_of,
        query=query,
        scores=scores,
        recommendations=recommendations,
        pad=pad,
        mixed_histories=mixed_histories,
    )


@pytest.fixture(scope="session", params=["string", "int64"])
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    counts = [3, 40, 7, 7, 0, 21, 12, 1, 2]
    if request.param == "string":
        ids: list[Any] = ["tea", "a\tb", "Käse ", " 12", "0", "naïve", "x" * 300, "😀", "-1"]
    else:
        ids = [17, 0, -5, 2**62, 99, 4, 1, 1000, 12]
    return Vocabulary(ids, counts)


@pytest.fixture(scope="session")
def unknown(vocabulary: Vocabulary) -> Any:
    return "never seen" if vocabulary.dtype == "string" else 123_456


@pytest.fixture(scope="session")
def histories(vocabulary: Vocabulary, unknown: Any) -> list[History]:
    return mixed_histories(vocabulary.ids.tolist(), unknown)


@pytest.fixture(scope="session")
def model(vocabulary: Vocabulary) -> ToyModel:
    return ToyModel(vocabulary)


@pytest.fixture(scope="session")
def export(
    tmp_path_factory: pytest.TempPathFactory, model: ToyModel, vocabulary: Vocabulary
) -> Any:
    """Path of an export of the toy model."""
    from tfsessionrec.export import export_saved_model

    return export_saved_model(
        model,
        tmp_path_factory.mktemp("export") / "toy" / "1",
        vocabulary,
        k=5,
        max_sessions=MAX_SESSIONS,
        max_items=MAX_ITEMS,
    )


@pytest.fixture(scope="session")
def ask(export: Any) -> Callable[..., dict[str, np.ndarray]]:
    """Calls a signature of the export with NumPy arrays."""
    loaded = tf.saved_model.load(str(export))

    def call(signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        function = loaded.signatures[signature]
        specs = function.structured_input_signature[1]
        given = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
        answer = {name: value.numpy() for name, value in function(**given).items()}
        if answer.get("item_ids", np.zeros(0)).dtype == object:
            answer["item_ids"] = np.vectorize(bytes.decode, otypes=[object])(answer["item_ids"])
        return answer

    return call
