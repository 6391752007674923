"""The export answers the same where none of our Python objects exist."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import tfsessionrec
from tfsessionrec.data import Vocabulary
from tfsessionrec.export import (
    export_saved_model,
    write_availability_file,
    write_trend_file,
)
from tfsessionrec.history_spec import HistorySpec

# Route 1: the TensorFlow C API, in a process without Python.


@pytest.fixture(scope="session")
def capi_runner(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is here")
    program = tmp_path_factory.mktemp("capi") / "capi_runner"
    library = pathlib.Path(tf.sysconfig.get_lib())
    if not (library / "libtensorflow_cc.so.2").exists():
        pytest.skip("this TensorFlow comes without libtensorflow_cc.so.2")
    source = pathlib.Path(__file__).with_name("capi_runner.c")
    command = [compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program)]
    command += ["-I", tf.sysconfig.get_include(), "-L", str(library), f"-Wl,-rpath,{library}"]
    command += ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    subprocess.run(command, check=True, timeout=120)
    return program


def pack_string(value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("=q", len(value)) + value


def pack_output(name: str) -> bytes:
    operation, index = name.split(":")
    return pack_string(operation) + struct.pack("=i", int(index))


def pack_tensor(value: np.ndarray, dtype: tf.DType) -> bytes:
    head = struct.pack(f"=ii{value.ndim}q", dtype.as_datatype_enum, value.ndim, *value.shape)
    if dtype == tf.string:
        return head + b"".join(map(pack_string, value.ravel()))
    return head + np.ascontiguousarray(value, dtype.as_numpy_dtype).tobytes()


def unpack_tensor(content: memoryview) -> tuple[np.ndarray, memoryview]:
    code, rank = struct.unpack_from("=ii", content)
    shape = struct.unpack_from(f"={rank}q", content, 8)
    content = content[8 + 8 * rank :]
    count = int(np.prod(shape))
    dtype = tf.as_dtype(code)
    if dtype != tf.string:
        size = count * dtype.size
        return np.frombuffer(content[:size], dtype.as_numpy_dtype).reshape(shape), content[size:]
    values = []
    for _ in range(count):
        (length,) = struct.unpack_from("=q", content)
        values.append(bytes(content[8 : 8 + length]).decode())
        content = content[8 + length :]
    return np.array(values, object).reshape(shape), content


def ask_capi(
    runner: pathlib.Path, export: pathlib.Path, folder: pathlib.Path, signature: str, **inputs: Any
) -> dict[str, np.ndarray]:
    model = saved_model_pb2.SavedModel.FromString((export / "saved_model.pb").read_bytes())
    tensors = model.meta_graphs[0].signature_def[signature]
    content = struct.pack("=i", len(inputs))
    for name, value in inputs.items():
        info = tensors.inputs[name]
        content += pack_output(info.name) + pack_tensor(np.asarray(value), tf.as_dtype(info.dtype))
    content += struct.pack("=i", len(tensors.outputs))
    for name in tensors.outputs:
        content += pack_output(tensors.outputs[name].name)
    (folder / "input").write_bytes(content)
    command = [str(runner), str(export), str(folder / "input"), str(folder / "output")]
    subprocess.run(command, check=True, timeout=120)
    rest = memoryview((folder / "output").read_bytes())
    answer = {}
    for name in tensors.outputs:
        answer[name], rest = unpack_tensor(rest)
    assert not rest
    return answer


def test_c_api(
    tmp_path: pathlib.Path,
    capi_runner: pathlib.Path,
    export: pathlib.Path,
    toy: Any,
    model: Any,
    vocabulary: Vocabulary,
    histories: Any,
    unknown: Any,
) -> None:
    def ask(signature: str, **inputs: Any) -> dict[str, np.ndarray]:
        return ask_capi(capi_runner, export, tmp_path, signature, **inputs)

    history = toy.pad(histories)
    ks = [4, 4, 2, 9, 1, 6, 100, 0]
    answer = ask("recommend", **history, k=np.array(ks))
    assert answer["item_ids"].shape == (8, 9)
    candidates = [*vocabulary.ids[[5, 0, 7]].tolist(), unknown]
    dtype = object if vocabulary.dtype == "string" else np.int64
    ranked = ask("rank", **history, candidate_ids=np.array([candidates] * 8, dtype))
    assert ranked["known"].tolist() == [[True, True, True, False]] * 8
    queries = ask("encode", **history)["query_embeddings"]
    for row, (past, k) in enumerate(zip(histories, ks, strict=True)):
        ids, scores = toy.recommendations(model, vocabulary, past, k)
        assert answer["item_ids"][row, : len(ids)].tolist() == ids
        np.testing.assert_allclose(answer["scores"][row, : len(ids)], scores, rtol=1e-5, atol=1e-6)
        assert (answer["scores"][row, len(ids) :] == toy.LOWEST).all()
        np.testing.assert_allclose(
            ranked["scores"][row, :3],
            toy.scores(model, vocabulary, past)[[5, 0, 7]],
            rtol=1e-5,
            atol=1e-6,
        )
        np.testing.assert_allclose(
            queries[row], toy.query(model, vocabulary, past), rtol=1e-5, atol=1e-6
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "spec", "num_interests"),
    [
        ("sessionrec-sasrec", HistorySpec(max_sessions=4, max_items=3), 1),
        ("sessionrec-sasrec", HistorySpec(max_sessions=4, max_items=3), 4),
        ("sasrec", HistorySpec(session="item", max_sessions=4), 1),
    ],
)
def test_c_api_with_models_of_this_package(
    tmp_path: pathlib.Path,
    capi_runner: pathlib.Path,
    toy: Any,
    name: str,
    spec: HistorySpec,
    num_interests: int,
) -> None:
    vocabulary = Vocabulary([f"item {n}" for n in range(30)], range(30, 0, -1))
    model = tfsessionrec.models.build(
        name,
        vocabulary_size=len(vocabulary),
        embedding_dim=8,
        num_heads=1,
        num_interests=num_interests,
    )
    model.compile(optimizer="adam")
    batch = {"item_ids": np.random.default_rng(0).integers(2, 32, [8, 3, 1], np.int32)}
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(3), verbose=0)
    export = export_saved_model(model, tmp_path / "1", vocabulary, spec=spec)

    histories = toy.mixed_histories(vocabulary.ids.tolist(), "never seen")
    request = {**toy.pad(histories), "k": np.full(8, 100)}
    answer = ask_capi(capi_runner, export, tmp_path, "recommend", **request)
    queries = ask_capi(capi_runner, export, tmp_path, "encode", **toy.pad(histories))
    assert queries["query_embeddings"].shape == ((8, 8) if num_interests == 1 else (8, 4, 8))
    for row, (ids, session_index) in enumerate(histories):
        if spec.session == "item":
            session_index = list(range(len(ids)))
        history = (ids, session_index)
        # Nearly equal scores may change places.
        by_item = dict(zip(answer["item_ids"][row], answer["scores"][row], strict=True))
        expected = toy.scores(model, vocabulary, history)
        got = [by_item[item] for item in vocabulary.ids]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        assert (np.diff(answer["scores"][row]) <= 0).all()
        np.testing.assert_allclose(
            queries["query_embeddings"][row],
            toy.query(model, vocabulary, history),
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.slow
@pytest.mark.parametrize(("strings", "num_interests"), [(True, 1), (False, 3)])
def test_c_api_with_rules(
    tmp_path: pathlib.Path, capi_runner: pathlib.Path, strings: bool, num_interests: int
) -> None:
    """Masks, freshness, a cap and availability, where only the files are known."""
    ids: list[Any] = [f"item {n}" if strings else 10 + n for n in range(12)]
    vocabulary, padding = Vocabulary(ids, range(12, 0, -1)), "" if strings else -1
    model = tfsessionrec.models.build(
        "sessionrec-sasrec",
        vocabulary_size=len(vocabulary),
        embedding_dim=8,
        num_heads=1,
        num_interests=num_interests,
    )
    model.build()
    export = export_saved_model(
        model,
        tmp_path / "1",
        vocabulary,
        item_tags=[1, 2, 4] * 4,
        item_categories=["a"] * 6 + ["b"] * 6,
        item_times=range(12),
        freshness_half_life=1,
        unavailable=[],
    )
    dtype = object if strings else np.int64
    request = {
        "item_ids": np.array([[ids[3], ids[1]], [ids[2], padding], [padding, padding]], dtype),
        "session_index": np.array([[0, 1], [0, -1], [-1, -1]]),
        "k": np.array([12, 12, 12]),
        "exclude_ids": np.array([[ids[0]], [padding], [ids[1]]], dtype),
        "allow_ids": np.array([[padding] * 4, [padding] * 4, ids[:4]], dtype),
        "exclude_seen": np.array([True, False, False]),
        "diversity": np.zeros(3),
        "tag_mask": np.array([1 | 4, 0, 0]),
        "freshness": np.array([0.0, 1e6, 0.0]),
        "request_times": np.array([0, 11, 0]),
        "max_per_category": np.array([0, 2, 0]),
    }

    def ask() -> list[list[Any]]:
        answer = ask_capi(capi_runner, export, tmp_path, "recommend_filtered", **request)
        return [[item for item in row if item != padding] for row in answer["item_ids"].tolist()]

    plain = {name: request[name] for name in ("item_ids", "session_index", "k")}
    free = ask_capi(capi_runner, export, tmp_path, "recommend", **plain)["item_ids"].tolist()
    tagged = {ids[n] for n in range(12) if n % 3 != 1} - {ids[0], ids[3]}
    first, second, third = ask()
    assert first == [item for item in free[0] if item in tagged]
    assert second == [ids[11], ids[10], ids[5], ids[4]]
    assert third == [ids[0], ids[2], ids[3]]

    write_availability_file(export / "assets" / "availability.pb", [ids[11], ids[2], free[0][0]])
    gone = {ids[11], ids[2], free[0][0]}
    first, second, third = ask()
    assert first == [item for item in free[0] if item in tagged - gone]
    newest = [item for item in ids[::-1] if item not in gone]
    assert second == newest[:2] + [item for item in newest if item in ids[:6]][:2]
    assert third == [item for item in (ids[0], ids[2], ids[3]) if item not in gone]
    again = ask_capi(capi_runner, export, tmp_path, "recommend", **plain)["item_ids"].tolist()
    assert again[0] == [item for item in free[0] if item not in gone] + [padding] * len(gone)

    request |= {
        "diversity": np.ones(3),
        "max_per_category": np.zeros(3),
        "freshness": np.zeros(3),
    }
    varied = ask()[1]
    table = model.candidate_embeddings().numpy()[2:]
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    # With nothing but diversity asked for, each is the least like those before it.
    places = [ids.index(item) for item in varied]
    assert set(varied) == set(ids) - gone
    for n in range(1, len(places)):
        alike = (table[places[n:]] @ table[places[:n]].T).max(axis=1)
        assert alike[0] <= alike.min() + 1e-5

    similar = ask_capi(
        capi_runner,
        export,
        tmp_path,
        "similar_items",
        item_ids=np.array([ids[4], "never" if strings else 7], dtype),
        k=np.array([3, 3]),
    )
    assert similar["known"].tolist() == [True, False]
    cosines = table @ table[4]
    order = [c for c in np.argsort(-cosines) if c != 4 and ids[c] not in gone][:3]
    assert similar["item_ids"].tolist() == [[ids[c] for c in order], [padding] * 3]
    np.testing.assert_allclose(similar["scores"][0], cosines[order], rtol=1e-4)


@pytest.mark.slow
def test_c_api_reads_the_trend_again(tmp_path: pathlib.Path, capi_runner: pathlib.Path) -> None:
    vocabulary = Vocabulary([f"item {n}" for n in range(9)], range(9, 0, -1))
    trend = {"half_lives": [50], "follow_half_lives": [80], "refresh": 10}
    model = tfsessionrec.models.build(
        "sasrec", vocabulary_size=len(vocabulary), embedding_dim=4, num_heads=1, trend=trend
    )
    model.build()
    model.trend.gate.bias.assign([1.0, 2.0, 3.0])
    export = export_saved_model(
        model, tmp_path / "1", vocabulary, spec=HistorySpec(session="item", request_times=True)
    )
    indices = np.array([[[5], [3]]])
    features = {"item_ids": indices, "request_times": np.full((1, 2), 1000)}
    seen = []
    for seed in (1, 2):
        random = np.random.default_rng(seed)
        times, sessions = np.sort(random.integers(0, 1200, 80)), random.integers(0, 9, 80)
        model.trend.set_events(random.integers(2, 11, 80), times, sessions)
        write_trend_file(export / "assets" / "trend.pb", model.trend.table(1000))
        answer = ask_capi(
            capi_runner,
            export,
            tmp_path,
            "rank",
            item_ids=np.array([["item 3", "item 1"]], object),
            session_index=np.array([[0, 1]]),
            candidate_ids=vocabulary.ids[np.newaxis],
        )
        query = model.encode(features)
        terms = model.candidate_terms(query, features)(tf.range(2, 11))
        wanted = tf.matmul(query, model.candidate_embeddings()[2:], transpose_b=True) + terms
        np.testing.assert_allclose(answer["scores"], wanted, atol=5e-3)
        seen.append(answer["scores"])
    assert np.abs(seen[0] - seen[1]).max() > 0.1


def test_c_api_with_all_that_a_model_reads(
    tmp_path: pathlib.Path, capi_runner: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    vocabulary = Vocabulary([f"item {n}" for n in range(30)], range(30, 0, -1))
    model = tfsessionrec.models.build(
        "sessionrec-hstu",
        vocabulary_size=len(vocabulary),
        embedding_dim=8,
        num_interaction_types=2,
        num_item_time_buckets=64,
        session_context={"device": 3, "basket": None},
    )
    model.build()
    # Initial tables are so small that rounding would hide them.
    model.set_weights([20 * w if w.ndim < 3 else w for w in model.get_weights()])
    export = export_saved_model(
        model,
        tmp_path / "1",
        vocabulary,
        spec=HistorySpec(
            interaction_types=("cart", "click"),
            session_times=True,
            item_times=True,
            session_context={"device": ("phone", "desk", "watch"), "basket": None},
        ),
    )
    request = {
        "item_ids": np.array([["item 3", "item 8", "item 1", ""]], object),
        "session_index": np.array([[0, 0, 1, -1]]),
        "timestamps": np.array([[1_700_000_000, 1_700_000_030, 1_700_086_400, 0]]),
        "interaction_types": np.array([["click", "cart", "click", ""]], object),
        "device": np.array([["desk", "phone", "watch", ""]], object),
        "basket": np.array([[0.5, 9.0, -1.5, 0.0]]),
    }
    a, b, c = vocabulary.lookup(["item 3", "item 8", "item 1"])
    features = {
        "item_ids": [[[a, b], [c, 0]]],
        "session_times": [[1_700_000_000, 1_700_086_400]],
        "item_times": [[[1_700_000_000, 1_700_000_030], [1_700_086_400, 0]]],
        "interaction_types": [[[2, 1], [2, 0]]],
        "device": [[2, 3]],
        "basket": [[0.5, -1.5]],
    }
    expected = model.encode({name: tf.constant(value) for name, value in features.items()})
    answer = ask_capi(capi_runner, export, tmp_path, "encode", **request)
    np.testing.assert_allclose(answer["query_embeddings"], expected, rtol=1e-4, atol=1e-5)
    later = {**request, "timestamps": request["timestamps"] * np.array([[1, 1, 2, 1]])}
    answer = ask_capi(capi_runner, export, tmp_path, "encode", **later)
    assert np.abs(answer["query_embeddings"] - expected).max() > 1e-3
    milliseconds = {**request, "timestamps": request["timestamps"] * 1000}
    with pytest.raises(subprocess.CalledProcessError):
        ask_capi(capi_runner, export, tmp_path, "encode", **milliseconds)
    assert "`timestamps` should be unix seconds, before the year 10000" in capfd.readouterr().err


# Route 2: a session of TensorFlow 1, in a process that never imports this package.

COMPAT_V1 = """
import json, sys
import numpy as np
import tensorflow as tf

export, signature = sys.argv[1:]
inputs = json.load(sys.stdin)
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    loaded = tf.compat.v1.saved_model.load(session, ["serve"], export)
    tensors = loaded.signature_def[signature]
    feed = {}
    for name, value in inputs.items():
        info = tensors.inputs[name]
        feed[info.name] = np.array(value, tf.as_dtype(info.dtype).as_numpy_dtype)
    answer = session.run({name: info.name for name, info in tensors.outputs.items()}, feed)
assert "tfsessionrec" not in sys.modules
ids = answer["item_ids"].tolist()
if answer["item_ids"].dtype == object:
    ids = [[item.decode() for item in row] for row in ids]
print(json.dumps({"item_ids": ids, "scores": answer["scores"].tolist()}))
"""


def ask_compat_v1(export: pathlib.Path, signature: str, request: dict[str, Any]) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-c", COMPAT_V1, str(export), signature],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
def test_compat_v1_session(
    export: pathlib.Path, toy: Any, model: Any, vocabulary: Vocabulary, histories: Any
) -> None:
    request = {name: value.tolist() for name, value in toy.pad(histories).items()}
    answer = ask_compat_v1(export, "recommend", {**request, "k": [4] * 8})
    for row, history in enumerate(histories):
        ids, scores = toy.recommendations(model, vocabulary, history, 4)
        assert answer["item_ids"][row] == ids
        np.testing.assert_allclose(answer["scores"][row], scores, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_compat_v1_session_with_rules(
    export: pathlib.Path, toy: Any, model: Any, vocabulary: Vocabulary, histories: Any
) -> None:
    request = {name: value.tolist() for name, value in toy.pad(histories).items()}
    ids, padding = vocabulary.ids.tolist(), "" if vocabulary.dtype == "string" else -1
    gone = ids[2:5]
    rules = {
        "k": [9] * 8,
        "exclude_ids": [[*gone, padding]] * 8,
        "allow_ids": [[padding]] * 8,
        "exclude_seen": [row % 2 == 1 for row in range(8)],
        "diversity": [0.0] * 8,
    }
    answer = ask_compat_v1(export, "recommend_filtered", {**request, **rules})
    for row, history in enumerate(histories):
        seen = {*gone, *(history[0] if row % 2 else ())}
        best = toy.recommendations(model, vocabulary, history, 9)
        left = [(i, s) for i, s in zip(*best, strict=True) if i not in seen]
        assert answer["item_ids"][row] == [i for i, _ in left] + [padding] * (9 - len(left))
        scores = answer["scores"][row][: len(left)]
        np.testing.assert_allclose(scores, [s for _, s in left], rtol=1e-5, atol=1e-6)
    answer = ask_compat_v1(export, "similar_items", {"item_ids": ids[:2], "k": [8, 2]})
    assert set(answer["item_ids"][0]) == set(ids) - {ids[0]}
    assert answer["item_ids"][1][2:] == [padding] * 6


# Route 3: TensorFlow Serving.


def post(url: str, content: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(content).encode())
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@contextlib.contextmanager
def running_server(
    binary: str, base_path: pathlib.Path, folder: pathlib.Path, *flags: str
) -> Iterator[str]:
    """Starts a server on free loopback ports; yields the model's REST address."""
    sockets = [socket.socket() for _ in range(2)]
    for listener in sockets:
        listener.bind(("127.0.0.1", 0))
    grpc_port, rest_port = (listener.getsockname()[1] for listener in sockets)
    for listener in sockets:
        listener.close()
    command = [binary, f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--model_name=toy"]
    command += [f"--model_base_path={base_path}", *flags]
    url = f"http://127.0.0.1:{rest_port}/v1/models/toy"
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            for _ in range(240):
                assert server.poll() is None, log.read_text(errors="replace")
                with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as status:
                    if json.load(status)["model_version_status"][0]["state"] == "AVAILABLE":
                        break
                time.sleep(0.5)
            else:
                pytest.fail("the server did not load the model:\n" + log.read_text())
            yield url
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@pytest.mark.parametrize("batching", [False, True])
def test_tensorflow_model_server(
    tmp_path: pathlib.Path,
    export: pathlib.Path,
    toy: Any,
    model: Any,
    vocabulary: Vocabulary,
    histories: Any,
    unknown: Any,
    batching: bool,
) -> None:
    binary = os.environ.get("TENSORFLOW_MODEL_SERVER")
    if not binary:
        pytest.skip("TENSORFLOW_MODEL_SERVER names no server")
    flags = ["--enable_batching"] if batching else []
    columns = {name: value.tolist() for name, value in toy.pad(histories).items()}
    columns["k"] = [4] * 8
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    candidates = [*vocabulary.ids[[5, 0, 7]].tolist(), unknown]
    with running_server(binary, export.parent, tmp_path, *flags) as url:
        by_column = post(f"{url}:predict", {"inputs": columns})["outputs"]
        by_row = post(f"{url}:predict", {"signature_name": "recommend", "instances": rows})
        ranked = post(
            f"{url}:predict",
            {
                "signature_name": "rank",
                "instances": [
                    {
                        "item_ids": row["item_ids"],
                        "session_index": row["session_index"],
                        "candidate_ids": candidates,
                    }
                    for row in rows
                ],
            },
        )["predictions"]
        encoded = post(
            f"{url}:predict",
            {
                "signature_name": "encode",
                "inputs": {name: columns[name] for name in ("item_ids", "session_index")},
            },
        )["outputs"]
        with pytest.raises(urllib.error.HTTPError) as error:
            post(f"{url}:predict", {"inputs": {**columns, "session_index": [[0]] * 8}})
        assert 400 <= error.value.code < 500
        again = post(f"{url}:predict", {"inputs": columns})["outputs"]
    assert again == by_column
    for row, history in enumerate(histories):
        ids, scores = toy.recommendations(model, vocabulary, history, 4)
        for answer in (
            {name: by_column[name][row] for name in ("item_ids", "scores")},
            by_row["predictions"][row],
        ):
            assert answer["item_ids"] == ids
            np.testing.assert_allclose(answer["scores"], scores, rtol=1e-5, atol=1e-6)
        assert ranked[row]["known"] == [True, True, True, False]
        np.testing.assert_allclose(
            encoded[row], toy.query(model, vocabulary, history), rtol=1e-5, atol=1e-6
        )
