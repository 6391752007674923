"""Checking an export without the Python objects it came from."""

import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from tfsessionrec import checks
from tfsessionrec.export.answer_difference import answer_difference
from tfsessionrec.export.check_report import CheckReport, CheckStep
from tfsessionrec.export.checksum import damaged_files, misplaced_files, replaced_files
from tfsessionrec.export.contract import DESCRIPTION, VOCABULARY, WARM_UP, Json
from tfsessionrec.export.prediction_log import PredictionLog
from tfsessionrec.export.ranking import CandidateOptions
from tfsessionrec.export.request import vocabulary_lines
from tfsessionrec.export.signatures import ServingSignatures
from tfsessionrec.export.version_directory import MARKER
from tfsessionrec.export.warm_up import read_warm_up_file
from tfsessionrec.history_spec import HistorySpec

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary

Arrays: TypeAlias = Mapping[str, np.ndarray]
Answered: TypeAlias = tuple[PredictionLog, Arrays | str]  # a request and an answer or an error
Found: TypeAlias = Mapping[str, Mapping[str, Mapping[str, tuple[str, int]]]]
_REPLAY = pathlib.Path(__file__).with_name("replay.py")
_REPLAY_SECONDS = 600
_LIVE = "live model"


def check_saved_model(
    path: str | os.PathLike[str],
    model: object = None,
    vocabulary: "Vocabulary | None" = None,
    *,
    tolerance: float = 1e-3,
) -> CheckReport:
    """Checks the files of an export before a server loads it.

    In this order, and no further than the first damaged file:

    1. files: each has the size and SHA-256 it was written with; none is missing, none was added;
    2. vocabulary: as many items as in `signature.json`, those of `vocabulary` in its order;
    3. signatures: inputs and outputs of `saved_model.pb` are those of `signature.json`;
    4. warm-up: a fresh process, which does not import this package, loads the export as TensorFlow
       1 did and a server does, on the CPU, and replays all warm-up requests; names, dtypes and
       shapes of the answers are those of `signature.json`, and numbers are finite;
    5. recorded answers: the answers are those that the export recorded;
    6. live model: the answers are those of `model`.

    If a file that may be replaced while the export is served (trend, availability) was replaced,
    step 5 compares embeddings only.

    Args:
        path: The export.
        model: The exported model, as `export_saved_model` took it. Defaults to None: no step 6.
        vocabulary: Its vocabulary; required with a model. Defaults to None.
        tolerance: How much numbers may differ, as a part of the largest of an answer. Defaults
            to 0.001, so that one kind of device can check what another wrote.

    Returns:
        A `CheckReport`; `report.ok` is True if there is no problem.

    Raises:
        FileNotFoundError: If there is no export at `path`.
        ValueError: If there is a model without a vocabulary.

    Example:

    ```python
    report = sr.export.check_saved_model("exported/shop/1", model, vocabulary)
    assert report.ok, report
    ```
    """
    if model is not None and vocabulary is None:
        raise ValueError("`vocabulary` should be given with a model. Received: None")
    checks.path("path", path)
    checks.number("tolerance", tolerance, least=0)
    directory = pathlib.Path(path)
    if not directory.is_dir():
        raise FileNotFoundError(
            f"`path` should be an export (a directory with {MARKER}). Received: "
            f"`path`={os.fspath(path)!r}"
        )
    steps = [_check_files(directory)]
    if steps[0].problems:
        return CheckReport(tuple(steps))
    try:
        description = json.loads((directory / DESCRIPTION).read_text())
        logs = read_warm_up_file(directory)
    except ValueError as error:
        problem = CheckStep("warm-up", "readable requests", (str(error),))
        return CheckReport((*steps, problem))
    steps.append(_check_vocabulary(directory, description, vocabulary))
    with tempfile.TemporaryDirectory() as scratch:
        try:
            found, answers = _replay(directory, logs, pathlib.Path(scratch))
        except ValueError as error:
            steps.append(CheckStep("warm-up", "in a fresh process", (str(error),)))
            return CheckReport(tuple(steps))
    steps.append(_check_signatures(description["signatures"], found))
    answered = list(zip(logs, answers, strict=True))
    steps.append(_check_answers(description, answered))
    steps.append(_check_recorded(answered, replaced_files(directory), tolerance))
    if model is not None and vocabulary is not None:
        live = _live_signatures(directory, description, model, vocabulary)
        steps.append(
            live if isinstance(live, CheckStep) else _check_live(live, answered, tolerance)
        )
    return CheckReport(tuple(steps))


def _check_files(directory: pathlib.Path) -> CheckStep:
    try:
        problems = damaged_files(directory) + misplaced_files(directory)
        replaced = replaced_files(directory)
    except FileNotFoundError as error:
        name = pathlib.Path(error.filename).name
        return CheckStep("files", "", (f"`{name}` is missing: not a whole export",))
    except ValueError as error:
        return CheckStep("files", "", (str(error),))
    note = f"; replaced since: {', '.join(replaced)}" if replaced else ""
    return CheckStep("files", f"sizes and SHA-256{note}", tuple(problems))


def _check_vocabulary(
    directory: pathlib.Path, description: Json, vocabulary: "Vocabulary | None"
) -> CheckStep:
    content = (directory / VOCABULARY).read_bytes()
    name = pathlib.PurePath(VOCABULARY).name
    lines = content.removesuffix(b"\n").split(b"\n")
    problems = []
    if len(lines) != description["vocabulary"]["num_items"]:
        wanted = description["vocabulary"]["num_items"]
        problems.append(f"`{name}` has {len(lines)} lines instead of {wanted}")
    if vocabulary is not None and content != vocabulary_lines(vocabulary):
        live = vocabulary_lines(vocabulary).removesuffix(b"\n").split(b"\n")
        both = zip(lines, live)
        row = next((n for n, (a, b) in enumerate(both) if a != b), min(len(lines), len(live)))
        ends = [texts[row].decode() if row < len(texts) else None for texts in (lines, live)]
        problems.append(
            f"`{name}` is not that of the given vocabulary: line {row + 1} is {ends[0]!r} "
            f"instead of {ends[1]!r}"
        )
    given = ", those of the given vocabulary" if vocabulary is not None else ""
    return CheckStep("vocabulary", f"{len(lines)} items{given}", tuple(problems))


def _replay(
    directory: pathlib.Path, logs: Sequence[PredictionLog], scratch: pathlib.Path
) -> tuple[Found, list[Arrays | str]]:
    """The signatures of the graph, and an answer or an error to each request."""
    requests, answers = scratch / "requests", scratch / "answers"
    with requests.open("w") as file:
        for log in logs:
            inputs = {name: _encode(value) for name, value in log.inputs.items()}
            file.write(json.dumps({"signature": log.signature, "inputs": inputs}) + "\n")
    _run_replay(directory, requests, answers)
    with answers.open() as file:
        found = json.loads(next(file))
        return found, list(map(_decoded_answer, file))


def _run_replay(directory: pathlib.Path, requests: pathlib.Path, answers: pathlib.Path) -> None:
    """Runs replay.py; -P, so that files of its directory do not shadow other modules."""
    # This process may hold all memory of a GPU.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    try:
        subprocess.run(
            [sys.executable, "-P", _REPLAY, directory, requests, answers],
            check=True,
            capture_output=True,
            text=True,
            timeout=_REPLAY_SECONDS,
            env=environment,
        )
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()] or ["no message"]
        raise ValueError(
            f"the export does not load in a fresh process: {lines[-1]} (status {error.returncode})"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ValueError(
            f"the requests were not answered within {_REPLAY_SECONDS} seconds"
        ) from error


def _encode(value: np.ndarray) -> str:
    dtype = tf.string if value.dtype == object else value.dtype
    tensor = tf.make_tensor_proto(value, dtype, value.shape)
    return base64.b64encode(tensor.SerializeToString()).decode()


def _decoded_answer(line: str) -> Arrays | str:
    answer = json.loads(line)
    if "error" in answer:
        return str(answer["error"])
    return {
        name: tf.make_ndarray(tensor_pb2.TensorProto.FromString(base64.b64decode(value)))
        for name, value in answer["outputs"].items()
    }


def _check_signatures(described: Mapping[str, Json], found: Found) -> CheckStep:
    problems = []
    for name in sorted(set(described) | set(found)):
        if name not in found or name not in described:
            places = (DESCRIPTION, MARKER) if name in described else (MARKER, DESCRIPTION)
            problems.append(f"`{name}` is in {places[0]} but not in {places[1]}")
            continue
        for side in ("inputs", "outputs"):
            wanted = {n: (t["dtype"], len(t["shape"])) for n, t in described[name][side].items()}
            there = {n: (dtype, rank) for n, (dtype, rank) in found[name][side].items()}
            if wanted != there:
                problems.append(
                    f"`{name}` has the {side} {_listed(there)} instead of {_listed(wanted)}"
                )
    return CheckStep("signatures", f"{len(described)} as described", tuple(problems))


def _listed(tensors: Mapping[str, tuple[str, int]]) -> str:
    entries = sorted(tensors.items())
    return ", ".join(f"{name} ({dtype}, rank {rank})" for name, (dtype, rank) in entries)


def _check_answers(description: Json, answered: Sequence[Answered]) -> CheckStep:
    problems = []
    for log, answer in answered:
        if isinstance(answer, str):
            problems.append(f"{_called(log)} fails: {answer}")
        else:
            problems += [f"{_called(log)}: {p}" for p in _shape_problems(description, log, answer)]
    asked, count = {log.signature for log, _ in answered}, len(answered)
    if description.get("warm_up", {}).get("records", 0) != count:
        problems.append(f"`{WARM_UP}` has {count} records, not as many as {DESCRIPTION}")
    elif count:
        missing = sorted(set(description["signatures"]) - asked)
        problems += [f"`{name}` is never asked" for name in missing]
    detail = f"{count} requests to {len(asked)} signatures, in a fresh process"
    return CheckStep("warm-up", detail if count else "no requests in this export", tuple(problems))


def _shape_problems(description: Json, log: PredictionLog, answer: Arrays) -> Iterator[str]:
    """Dtypes, shapes and values that differ from `signature.json`."""
    signature = description["signatures"].get(log.signature)
    if signature is None:
        return
    if set(answer) != set(signature["outputs"]):
        yield f"answers {sorted(answer)} instead of {sorted(signature['outputs'])}"
    sizes = {n: s for n, s in description["dimensions"].items() if isinstance(s, int)}
    for name, tensor in signature["inputs"].items():
        sizes |= dict(zip(tensor["shape"], log.inputs[name].shape))
    if "k" in log.inputs:
        largest = int(log.inputs["k"].max(initial=0))
        sizes["K"] = min(max(largest, 0), description["vocabulary"]["num_items"])
    for name in sorted(set(answer) & set(signature["outputs"])):
        value, tensor = answer[name], signature["outputs"][name]
        dtype = "string" if value.dtype == object else value.dtype.name
        shape = [sizes.get(letter, letter) for letter in tensor["shape"]]
        if dtype != tensor["dtype"]:
            yield f"`{name}` is {dtype} instead of {tensor['dtype']}"
        if list(value.shape) != shape:
            yield f"`{name}` has the shape {list(value.shape)} instead of {shape}"
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            yield f"`{name}` has {(~np.isfinite(value)).sum()} values that are not finite"


def _check_recorded(
    answered: Sequence[Answered], replaced: Sequence[str], tolerance: float
) -> CheckStep:
    # Availability and the trend change no embedding.
    both = [
        (log, log.outputs, answer)
        for log, answer in answered
        if not replaced or log.signature == "encode"
    ]
    note = f" ({', '.join(replaced)} replaced since)" if replaced else ""
    return _compared("recorded answers", both, tolerance, note)


def _live_signatures(
    directory: pathlib.Path, description: Json, model: object, vocabulary: "Vocabulary"
) -> ServingSignatures | CheckStep:
    """Signatures made from the model, with the export's replaceable files."""
    if "history" not in description:
        problem = f"`{DESCRIPTION}` has no `history`: an earlier version of this package wrote it"
        return CheckStep(_LIVE, "", (problem,))
    files = {
        f"{kind}_file": directory / description[kind]["file"]
        for kind in ("trend", "availability")
        if kind in description
    }
    options = CandidateOptions(
        dtype=description["candidate_dtype"], similarity=description["similarity"]
    )
    spec = HistorySpec.from_json(description["history"])
    try:
        return ServingSignatures(
            model, vocabulary, directory / VOCABULARY, spec, candidates=options, **files
        )
    except (TypeError, ValueError, tf.errors.OpError) as error:
        return _refused(error)


def _check_live(
    live: ServingSignatures, answered: Sequence[Answered], tolerance: float
) -> CheckStep:
    """Compares with the signatures of the live model."""
    both: list[tuple[PredictionLog, Arrays, Arrays | str]] = []
    left_out = set()
    try:
        functions = live.concrete_functions()
        for log, answer in answered:
            name = "recommend" if log.signature == "serving_default" else log.signature
            wanted = set(live.input_specs(name))
            if name == "recommend_filtered" and wanted < set(log.inputs):
                left_out.add(name)  # The model does not know tags, categories and times of items.
                continue
            if wanted != set(log.inputs):
                problem = f"the model reads {sorted(wanted)} instead of {sorted(log.inputs)}"
                return CheckStep(_LIVE, "", (problem,))
            tensors = {name: tf.constant(value) for name, value in log.inputs.items()}
            outputs = {n: value.numpy() for n, value in functions[name](**tensors).items()}
            both.append((log, outputs, answer))
    except (ValueError, tf.errors.OpError) as error:
        return _refused(error)
    note = f" (not of {', '.join(sorted(left_out))}, whose rules need more than the model)"
    return _compared(_LIVE, both, tolerance, note if left_out else "")


def _refused(error: Exception) -> CheckStep:
    problem = f"the model does not take the requests: {' '.join(str(error).split())}"
    return CheckStep(_LIVE, "", (problem,))


def _compared(
    name: str,
    both: Iterable[tuple[PredictionLog, Arrays, Arrays | str]],
    tolerance: float,
    note: str,
) -> CheckStep:
    """A step that compares expected answers with given ones."""
    problems, count = [], 0
    for log, expected, answer in both:
        if isinstance(answer, str):
            continue  # step 4 reports it
        count += 1
        if set(answer) != set(expected):
            difference: str | None = f"{sorted(answer)} instead of {sorted(expected)}"
        else:
            difference = answer_difference(expected, answer, tolerance)
        if difference is not None:
            problems.append(f"{_called(log)}: {difference}")
    detail = f"{count} the same, within {tolerance:g} of the largest number{note}"
    return CheckStep(name, detail, tuple(problems))


def _called(log: PredictionLog) -> str:
    sizes = {len(value) for value in log.inputs.values() if value.ndim}
    return f"`{log.signature}`, batch of {min(sizes, default=0)}"
