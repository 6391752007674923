"""Servers of the tests: the real one where it is installed, and a stand-in everywhere."""

import contextlib
import importlib
import importlib.util
import os
import pathlib
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfsessionrec.client import Client
from tfsessionrec.data import Vocabulary
from tfsessionrec.export import export_saved_model

HERE = pathlib.Path(__file__).parent
SCRIPTS = HERE.parents[1] / "serving"
STAND_IN = "stand-in"
REAL = "tensorflow_model_server"
NAME = "shop"
NUM_ITEMS = 12


class Server:
    """A running server.

    Attributes:
        kind: STAND_IN or REAL.
        rest, grpc: Addresses.
        process: The process.
    """

    def __init__(self, kind: str, process: Any, rest: str, grpc: str, log: pathlib.Path) -> None:
        self.kind, self.process, self.rest, self.grpc, self.log = kind, process, rest, grpc, log

    def address(self, protocol: str) -> str:
        return self.rest if protocol == "http" else self.grpc

    def client(self, protocol: str = "http", **options: Any) -> Client:
        return Client(self.address(protocol), NAME, **{"timeout": 30.0, **options})


class Toy(tf.Module):
    """The query is the mean of the items' rows, so that the versions answer differently."""

    def __init__(self, vocabulary_size: int, seed: int) -> None:
        super().__init__()
        generator = np.random.default_rng(seed)
        self.table = tf.Variable(generator.normal(size=(vocabulary_size, 4)), dtype=tf.float32)

    def encode(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        ids = features["item_ids"]
        real = tf.cast(ids > 0, tf.float32)[..., tf.newaxis]
        rows = tf.gather(self.table, ids) * real
        return tf.reduce_sum(rows, axis=[1, 2]) / tf.maximum(tf.reduce_sum(real, axis=[1, 2]), 1.0)

    def candidate_embeddings(self) -> tf.Tensor:
        return tf.identity(self.table)


def command_of(kind: str) -> list[str]:
    """The command that starts a server; skips the test if it is not installed."""
    if importlib.util.find_spec("tensorflow_serving") is None:
        pytest.skip("tensorflow-serving-api is not installed")
    if kind == STAND_IN:
        return [sys.executable, str(HERE / "stand_in_server.py")]
    binary = os.environ.get("TENSORFLOW_MODEL_SERVER")
    if not binary:
        pytest.skip("TENSORFLOW_MODEL_SERVER names no server")
    return [binary]


def script(name: str) -> types.ModuleType:
    """A module of the folder `serving`."""
    if str(SCRIPTS) not in sys.path:
        sys.path.append(str(SCRIPTS))
    return importlib.import_module(name)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running(kind: str, folder: pathlib.Path, *flags: str) -> Iterator[Server]:
    """Starts a server and waits until it has loaded the model."""
    grpc_port, rest_port = free_ports(2)
    command = [*command_of(kind), f"--port={grpc_port}", f"--rest_api_port={rest_port}", *flags]
    log = folder / f"server-{grpc_port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            # At this level its log has the number of warm-up records.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "0"},
        )
    rest, grpc = f"http://127.0.0.1:{rest_port}", f"grpc://127.0.0.1:{grpc_port}"
    try:
        client = Client(rest, NAME, timeout=5.0, retries=0)
        for _ in range(600):
            assert process.poll() is None, log.read_text(errors="replace")
            if client.is_ready():
                break
            time.sleep(0.1)
        else:
            pytest.fail("the server did not load the model:\n" + log.read_text(errors="replace"))
        client.close()
        yield Server(kind, process, rest, grpc, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def write_models_config(path: pathlib.Path, base: pathlib.Path, versions: Any, labels: Any) -> None:
    specific = " ".join(f"versions: {number}" for number in versions)
    marks = " ".join(
        f'version_labels {{ key: "{label}" value: {number} }}' for label, number in labels.items()
    )
    path.write_text(
        f'model_config_list {{ config {{ name: "{NAME}" base_path: "{base}" '
        f'model_platform: "tensorflow" model_version_policy {{ specific {{ {specific} }} }} '
        f"{marks} }} }}\n"
    )


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary([f"item {n}" for n in range(NUM_ITEMS)], range(NUM_ITEMS, 0, -1))


@pytest.fixture(scope="session")
def models(vocabulary: Vocabulary) -> dict[int, Toy]:
    return {number: Toy(len(vocabulary), seed=number) for number in (1, 2)}


@pytest.fixture(scope="session")
def exports(
    tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary, models: dict[int, Toy]
) -> pathlib.Path:
    """A folder with the versions 1 and 2 of a model."""
    base = tmp_path_factory.mktemp("served") / NAME
    for number, model in models.items():
        export_saved_model(model, base / str(number), vocabulary, k=5, max_sessions=4, max_items=3)
    return base


@pytest.fixture(scope="session", params=[STAND_IN, REAL])
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    exports: pathlib.Path,
) -> Iterator[Server]:
    """A server of version 1."""
    folder = tmp_path_factory.mktemp("server")
    config = folder / "models.config"
    write_models_config(config, exports, [1], {"stable": 1})
    with running(
        request.param,
        folder,
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models=true",
    ) as server:
        yield server


@pytest.fixture(scope="session")
def serving() -> types.SimpleNamespace:
    """The helpers of this file, which test files cannot import."""
    return types.SimpleNamespace(
        script=script,
        running=running,
        command_of=command_of,
        write_models_config=write_models_config,
        kinds=(STAND_IN, REAL),
        NAME=NAME,
        NUM_ITEMS=NUM_ITEMS,
        expected=expected,
        Toy=Toy,
    )


def expected(model: Toy, vocabulary: Vocabulary, ids: list[str], k: int) -> list[tuple[str, float]]:
    """The answer of `recommend` to a history of known items, computed with NumPy."""
    table = model.table.numpy()
    rows = [vocabulary.first_item_index + int(one.split()[1]) for one in ids]
    if not rows:
        counts = np.arange(NUM_ITEMS, 0, -1) + 1.0
        scores = np.log(counts / counts.sum())
    else:
        scores = table[vocabulary.first_item_index :] @ table[rows].mean(axis=0)
    order = np.argsort(-scores, kind="stable")[:k]
    return [(f"item {n}", float(scores[n])) for n in order]
