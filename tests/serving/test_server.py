"""Batching, warm-up and monitoring of a running server."""

import pathlib
import re
import shutil
import struct
import threading
import urllib.request
from typing import Any

import numpy as np
import pytest

from tfsessionrec.client import ServingError

SERVING = pathlib.Path(__file__).resolve().parents[2] / "serving"
WARM_UP = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
KINDS = pytest.mark.parametrize("kind", ["stand-in", "tensorflow_model_server"])


def metric(server: Any, *names: str) -> float:
    """The sum of a counter over its labels; of several names the first that the server has."""
    with urllib.request.urlopen(f"{server.rest}/monitoring/prometheus/metrics", timeout=10) as page:
        text = page.read().decode()
    for name in names:
        values = re.findall(rf"^{re.escape(name)}\{{[^}}]*\}} ([0-9.e+]+)$", text, re.MULTILINE)
        if values:
            return sum(map(float, values))
    raise AssertionError(f"none of {names} in\n{text}")


@pytest.mark.slow
@KINDS
def test_batching_and_monitoring(
    serving: Any,
    exports: pathlib.Path,
    models: Any,
    vocabulary: Any,
    tmp_path: pathlib.Path,
    kind: str,
) -> None:
    config = tmp_path / "models.config"
    serving.write_models_config(config, exports, [1], {"stable": 1})
    batching = tmp_path / "batching.config"
    text = (SERVING / "batching.config").read_text()
    # Requests wait for others long enough for this machine's threads.
    batching.write_text(
        re.sub("batch_timeout_micros.*", "batch_timeout_micros { value: 50000 }", text)
    )
    with serving.running(
        kind,
        tmp_path,
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_batching=true",
        f"--batching_parameters_file={batching}",
        f"--monitoring_config_file={SERVING / 'monitoring.config'}",
    ) as server:
        histories = [[f"item {n % 12}"] * (n % 5) for n in range(24)]
        answers: dict[int, Any] = {}

        def ask(number: int, client: Any) -> None:
            answers[number] = client.recommend([histories[number]], k=1 + number % 12)

        with (
            server.client("http", history_length=6) as rest,
            server.client("grpc", history_length=6) as grpc,
        ):
            rest.signatures()
            grpc.signatures()
            threads = [
                threading.Thread(target=ask, args=(number, rest if number % 2 else grpc))
                for number in range(len(histories))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for number, history in enumerate(histories):
            # Larger k in the same batch do not change an answer.
            expected = serving.expected(models[1], vocabulary, history, 1 + number % 12)
            (answer,) = answers[number]
            assert [one.item_id for one in answer] == [item for item, _ in expected]
            np.testing.assert_allclose(
                [one.score for one in answer],
                [score for _, score in expected],
                rtol=1e-5,
                atol=1e-6,
            )
        assert metric(server, ":tensorflow:serving:request_count") >= len(histories)
        runs = metric(
            server,
            ":tensorflow:serving:batching_session:wrapped_run_count",
            ":tensorflow:serving:batching_session:processed_batch_size_count",
        )
        assert 1 <= runs < len(histories)


@pytest.mark.slow
@KINDS
def test_more_grpc_requests_than_threads_are_repeated(
    serving: Any, exports: pathlib.Path, tmp_path: pathlib.Path, kind: str
) -> None:
    """The server refuses what it has no thread for; clients that may repeat get their answers."""
    with serving.running(
        kind,
        tmp_path,
        "--model_name=shop",
        f"--model_base_path={exports}",
        "--grpc_max_threads=1",
    ) as server:
        refused: list[ServingError] = []
        answered: list[Any] = []

        def ask(client: Any, times: int) -> None:
            for _ in range(times):
                try:
                    answered.append(client.recommend([["item 1"]] * 64, k=5))
                except ServingError as error:
                    refused.append(error)

        def together(client: Any, times: int) -> None:
            client.signatures()
            threads = [threading.Thread(target=ask, args=(client, times)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        with server.client("grpc", retries=0) as once:
            together(once, 20)
        assert refused
        assert all(one.may_be_repeated and "grpc_max_threads" in str(one) for one in refused)
        assert len(answered) + len(refused) == 120
        refused.clear()
        answered.clear()
        with server.client("grpc", retries=1000, timeout=60) as patient:
            together(patient, 5)
        assert (len(answered), refused) == (30, [])


def records(file: pathlib.Path) -> list[bytes]:
    """The records of a TFRecord file."""
    content, found = file.read_bytes(), []
    while content:
        (length,) = struct.unpack_from("<Q", content)
        found.append(content[12 : 12 + length])
        content = content[16 + length :]
    return found


@KINDS
def test_warm_up_records_are_replayed(
    serving: Any, exports: pathlib.Path, vocabulary: Any, tmp_path: pathlib.Path, kind: str
) -> None:
    count = len(records(exports / "1" / WARM_UP))
    assert count > 0
    base = tmp_path / "exports"
    shutil.copytree(exports / "1", base / "1")
    # A version whose warm-up fails: its requests name an unknown signature.
    shutil.copytree(exports / "2", base / "2")
    broken = (base / "2" / WARM_UP).read_bytes()
    assert b"recommend" in broken
    write_records(
        base / "2" / WARM_UP,
        [one.replace(b"recommend", b"rekommend") for one in records(exports / "2" / WARM_UP)],
    )
    config = tmp_path / "models.config"
    serving.write_models_config(config, base, [1], {"stable": 1})
    with serving.running(
        kind,
        tmp_path,
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        "--max_num_load_retries=0",
        "--allow_version_labels_for_unavailable_models=true",
    ) as server:
        with server.client(label="stable") as client:
            assert client.recommend([["item 1"]], k=1)
        # A server that fails to load a version when it starts does not start.
        changed = tmp_path / "changed.config"
        serving.write_models_config(changed, base, [1, 2], {"stable": 1})
        changed.replace(config)
        with server.client() as client:
            for _ in range(400):
                states = {one.version: one for one in client.versions()}
                if 2 in states and states[2].state == "END":
                    break
                threading.Event().wait(0.05)
            assert client.recommend([["item 1"]], k=1)
        assert states[1].state == "AVAILABLE"
        assert states[2].state == "END"
        assert "rekommend" in states[2].error
        log = server.log.read_text(errors="replace")
    pattern = r"Number of warmup records read: (\d+)"
    if kind == "stand-in":
        pattern = r"loaded shop 1, (\d+) warm-up records"
    assert str(count) in re.findall(pattern, log)


def write_records(file: pathlib.Path, found: list[bytes]) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(file)) as writer:
        for one in found:
            writer.write(one)
