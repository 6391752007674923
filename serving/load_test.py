#!/usr/bin/env python3
"""Measures how fast an export answers, by the size of the catalogue and the rate of requests.

    python serving/load_test.py --catalogues 10000 100000 --rates 10 50 100 --seconds 10

The grid is that of ETUDE (Kersbergen, Sprangers and Schelter, SIGMOD 2024): catalogues of 10^4 to
10^7 items, a ramp of rates, sessions whose lengths follow a power law, items whose popularity
follows another. The model's weights are random: they do not affect its speed.

Requests are sent when they are due, whether earlier ones are answered or not, and their latency
counts from when they were due. So the latency shows when a server falls behind.

If TENSORFLOW_MODEL_SERVER names the server's binary, this program starts it and sends requests over
loopback. Otherwise the export runs in this process by TensorFlow's C API, the server's own route
through the graph without its network. The report names the route.

--seconds, --max-requests and --drain bound each step; the ramp of a catalogue ends at the first
rate that it does not keep up with.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from c_api import SavedModel
from load_generator import Request, Send, Step, Traffic, run_step

HERE = pathlib.Path(__file__).resolve().parent
NAME = "load_test"


def make_export(
    path: pathlib.Path, num_items: int, candidate_dtype: str, arguments: argparse.Namespace
) -> None:
    """An export of a model with random weights."""
    import tfsessionrec as sr

    vocabulary = sr.data.Vocabulary(
        [f"i{n}" for n in range(num_items)], np.arange(num_items, 0, -1)
    )
    model = sr.models.build(
        arguments.model, vocabulary_size=len(vocabulary), embedding_dim=arguments.dim
    )
    model.build()
    sr.export.export_saved_model(
        model,
        path,
        vocabulary,
        k=arguments.k,
        max_sessions=arguments.max_sessions,
        max_items=arguments.max_length,
        candidate_dtype=candidate_dtype,
    )


@contextlib.contextmanager
def c_api_route(export: pathlib.Path, arguments: argparse.Namespace) -> Iterator[Send]:
    """Requests run in this process, by TensorFlow's C API."""
    model = SavedModel(export)
    k = np.array([arguments.k], np.int32)

    def send(request: Request) -> None:
        items, sessions = request
        inputs = {
            "item_ids": np.array([items], object),
            "session_index": np.array([sessions], np.int32),
            "k": k,
        }
        answer = model.run("recommend", inputs)
        if answer["item_ids"].shape[0] != 1:
            raise ValueError(f"the answer has the shape {answer['item_ids'].shape}")

    yield send
    model.close()


@contextlib.contextmanager
def server_route(
    binary: str, export: pathlib.Path, arguments: argparse.Namespace, scratch: pathlib.Path
) -> Iterator[Send]:
    """Starts the real server; requests go to it over loopback."""
    from tfsessionrec.client import Client, History

    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    grpc_port, rest_port = (one.getsockname()[1] for one in sockets)
    for one in sockets:
        one.close()
    command = [binary, f"--port={grpc_port}", f"--rest_api_port={rest_port}"]
    command += [f"--model_name={NAME}", f"--model_base_path={export.parent}"]
    command += ["--grpc_max_threads=200"]  # as compose.yaml; the default refuses, and queues none
    history_length = None
    if arguments.batching:
        command += ["--enable_batching", f"--batching_parameters_file={HERE / 'batching.config'}"]
        history_length = arguments.max_length * arguments.max_sessions
    url = f"http://127.0.0.1:{rest_port}"
    if arguments.protocol == "grpc":
        url = f"grpc://127.0.0.1:{grpc_port}"
    log = scratch / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        client = Client(
            url,
            NAME,
            timeout=arguments.timeout,
            retries=0,  # A retry would hide an error from the report.
            description=export / "signature.json",
            history_length=history_length,
        )
        end = time.monotonic() + arguments.load_timeout
        while not client.is_ready():
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server did not load the model:\n{log.read_text()[-3000:]}")
            time.sleep(0.02)

        def send(request: Request) -> None:
            client.recommend([History(*request)], k=arguments.k)

        yield send
        client.close()
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def run_catalogue(
    num_items: int,
    candidate_dtype: str,
    binary: str | None,
    arguments: argparse.Namespace,
    folder: pathlib.Path,
) -> dict[str, Any]:
    """Measures the ramp of rates on one catalogue."""
    export = folder / f"{num_items}-{candidate_dtype}" / "1"
    if not export.exists():
        say(f"{num_items:,} items, {candidate_dtype}: exporting")
        make_export(export, num_items, candidate_dtype, arguments)
    size = sum(p.stat().st_size for p in export.rglob("*") if p.is_file())
    traffic = Traffic(
        num_items,
        popularity_exponent=arguments.popularity_exponent,
        length_exponent=arguments.length_exponent,
        max_length=arguments.max_length,
        max_sessions=arguments.max_sessions,
        seed=arguments.seed,
    )
    steps: list[Step] = []
    begin = time.perf_counter()
    route = (
        server_route(binary, export, arguments, folder)
        if binary
        else c_api_route(export, arguments)
    )
    with route as send:
        load_seconds = time.perf_counter() - begin
        for _ in range(arguments.warm_up):
            send(traffic.request())
        for rate in sorted(arguments.rates):
            count = min(max(int(rate * arguments.seconds), 1), arguments.max_requests)
            requests = [traffic.request() for _ in range(count)]
            due = traffic.arrivals(rate, count).tolist()
            workers, drain = arguments.workers, arguments.drain
            step = run_step(send, requests, due, rate=rate, workers=workers, drain=drain)
            steps.append(step)
            say(
                f"{num_items:,} items, {candidate_dtype}, {rate:g}/s: p50 {step.p50}, "
                f"p90 {step.p90}, p99 {step.p99} ms, {step.throughput:g} answers/s, "
                f"{step.errors} errors, {step.unanswered} unanswered"
            )
            if not step.keeps_up:
                break
    return {
        "items": num_items,
        "candidate_dtype": candidate_dtype,
        "export_bytes": size,
        "load_seconds": round(load_seconds, 3),
        "steps": [dataclasses.asdict(step) for step in steps],
        "rates_not_tried": sorted(arguments.rates)[len(steps) :],
    }


def markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    settings = report["settings"]
    lines = [
        "# Load test",
        "",
        f"Route: {report['route']}. {report['machine']}.",
        f"Model {settings['model']}, dimension {settings['dim']}, top {settings['k']}; latency in "
        "milliseconds from when a request was due; seed "
        f"{settings['seed']}.",
        "",
        "| items | table | requests/s due | answers/s | p50 | p90 | p99 | max | sent late (p99) | "
        "errors | unanswered | keeps up |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for catalogue in report["catalogues"]:
        which = [f"{catalogue['items']:,}", catalogue["candidate_dtype"]]
        for step in catalogue["steps"]:
            times = (step[name] for name in ("p50", "p90", "p99", "maximum", "late_p99"))
            cells = [
                *which,
                f"{step['rate']:g}",
                f"{step['throughput']:g}",
                *("" if one is None else f"{one:.1f}" for one in times),
                str(step["errors"]),
                str(step["unanswered"]),
                "yes" if step["keeps_up"] else "no",
            ]
            lines.append("| " + " | ".join(cells) + " |")
        for rate in catalogue["rates_not_tried"]:
            cells = [*which, f"{rate:g}", *[""] * 8, "not tried"]
            lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "| items | table | size of the export | seconds to load |",
        "| --- | --- | --- | --- |",
        *(
            f"| {one['items']:,} | {one['candidate_dtype']} | "
            f"{one['export_bytes'] / 2**20:.1f} MiB | {one['load_seconds']:.2f} |"
            for one in report["catalogues"]
        ),
        "",
    ]
    return "\n".join(lines)


def machine() -> str:
    """The processor and its cores."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    return f"{processor}, {len(os.sched_getaffinity(0))} cores for server and load together"


def say(message: str) -> None:
    """Prints progress to standard error."""
    print(message, file=sys.stderr, flush=True)


def write(path: pathlib.Path, text: str) -> None:
    """Writes a file in one atomic step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text)
    scratch.replace(path)


def make_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    sizes = [10**4, 10**5, 10**6, 10**7]
    add(
        "--catalogues",
        type=int,
        nargs="+",
        default=sizes,
        help="numbers of items (default 10^4 ... 10^7)",
    )
    add(
        "--candidate-dtypes",
        nargs="+",
        choices=["float32", "bfloat16", "int8"],
        default=["float32"],
        help="type of the candidate table (default float32)",
    )
    add(
        "--rates",
        type=float,
        nargs="+",
        default=[10, 50, 100, 250, 500],
        help="requests/s of the ramp (default 10 50 100 250 500)",
    )
    add("--seconds", type=float, default=30.0, help="length of each step (default 30)")
    add("--max-requests", type=int, default=50_000, help="limit of each step (default 50000)")
    add("--drain", type=float, default=10.0, help="seconds for the last answers (default 10)")
    add("--warm-up", type=int, default=20, help="requests before the ramp (default 20)")
    add("--workers", type=int, default=32, help="requests open at a time (default 32)")
    add("--model", default="sessionrec-sasrec", help="name for tfsessionrec.models.build")
    add("--dim", type=int, default=64, help="dimension of embeddings (default 64)")
    add("--k", type=int, default=20, help="items recommended for a request (default 20)")
    add("--max-sessions", type=int, default=50, help="limit of a visitor (default 50)")
    add("--max-length", type=int, default=20, help="items of the longest session (default 20)")
    add("--popularity-exponent", type=float, default=1.0, help="power law of items (default 1)")
    add("--length-exponent", type=float, default=2.0, help="power law of sessions (default 2)")
    add("--seed", type=int, default=0, help="of the traffic (default 0)")
    add(
        "--protocol",
        choices=["http", "grpc"],
        default="grpc",
        help="protocol of the server route (default grpc)",
    )
    add("--batching", action="store_true", help="start the server with batching.config")
    add("--timeout", type=float, default=10.0, help="seconds until a request fails (default 10)")
    add(
        "--load-timeout", type=float, default=300.0, help="seconds for the server to load the model"
    )
    add("--exports", type=pathlib.Path, help="folder of exports, which are kept and reused")
    add(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("load_test"),
        help="path of .json and .md",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    for name in ("rates", "catalogues"):
        if min(getattr(arguments, name)) <= 0:
            parser.error(f"--{name} should be above 0")
    binary = os.environ.get("TENSORFLOW_MODEL_SERVER") or None
    if binary is None and arguments.batching:
        parser.error("--batching needs the real server: TENSORFLOW_MODEL_SERVER names none")
    batching = ", with batching" if arguments.batching else ""
    route = (
        f"TensorFlow Serving ({pathlib.Path(binary).name}) over {arguments.protocol}{batching}"
        if binary
        else "in process through TensorFlow's C API, without a server and its network"
    )
    say(f"route: {route}")
    with contextlib.ExitStack() as stack:
        folder = arguments.exports
        if folder is None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = folder.resolve()
        catalogues = [
            run_catalogue(num_items, candidate_dtype, binary, arguments, folder)
            for num_items in sorted(arguments.catalogues)
            for candidate_dtype in arguments.candidate_dtypes
        ]
    settings = {
        name: value
        for name, value in vars(arguments).items()
        if name not in ("output", "exports", "catalogues")
    }
    report = {
        "route": route,
        "machine": machine(),
        "settings": settings,
        "catalogues": catalogues,
    }
    write(arguments.output.with_suffix(".json"), json.dumps(report, indent=2) + "\n")
    write(arguments.output.with_suffix(".md"), markdown(report))
    print(markdown(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
