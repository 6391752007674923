"""Faults around serving: hostile answers, exports that are killed, writers at the same time.

    python benchmarks/faults_serving.py            # about two minutes
    python benchmarks/faults_serving.py --quick    # seconds, a test runs it

Each line counts what was tried, what the package survived and what was lost. Lost is an answer
that is neither correct in form nor a `ServingError`, a call that outlasts its deadline, a version
that is missing or mixed after a kill, a write that failed, a number that two exporters took. The
exit status is 1 if anything is lost.
"""

import argparse
import contextlib
import json
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import section
from faults_process import Line, table

from tfsessionrec.client import Client, Recommendation, ServingError
from tfsessionrec.export import version_directory, write_availability_file

TIMEOUT, SLACK = 0.4, 0.6  # seconds of a call, and what a busy machine may add
MAX_BYTES = 2**20
MATRIX = {"shape": ["B", "N"]}
DESCRIPTION = {
    "k": 3,
    "signatures": {
        "recommend": {
            "inputs": {
                "item_ids": {"dtype": "string", **MATRIX},
                "k": {"dtype": "int32", "shape": ["B"]},
            },
            "outputs": {
                "item_ids": {"dtype": "string", **MATRIX},
                "scores": {"dtype": "float32", **MATRIX},
            },
        }
    },
}
GOOD = {"outputs": {"item_ids": [["a", "b"]], "scores": [[2.0, 1.0]]}}


# Hostile servers: what a connection sends, as pairs of bytes and seconds of pause.

Answer = Iterator[tuple[bytes, float]]


def _http(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _flipped(rng: random.Random) -> Answer:
    """A good answer with a few wrong bytes."""
    answer = bytearray(_http(json.dumps(GOOD).encode()))
    for _ in range(rng.randint(1, 6)):
        answer[rng.randrange(len(answer))] = rng.randrange(256)
    yield bytes(answer), 0.0


def _cut(rng: random.Random) -> Answer:
    """A good answer that ends early."""
    answer = _http(json.dumps(GOOD).encode())
    yield answer[: rng.randrange(len(answer))], 0.0


def _other_json(rng: random.Random) -> Answer:
    """JSON in which one value is another."""
    values = [
        None,
        True,
        10**400,
        "x",
        "\ud800",
        [],
        {},
        [[]],
        [[[1.0]]],
        -1,
        1e999,
        [["a"], ["b"]],
    ]
    outputs = dict(GOOD["outputs"])
    outputs[rng.choice(["item_ids", "scores"])] = rng.choice(values)
    deep = b"[" * 50_000 if rng.random() < 0.1 else b""
    yield _http(deep + json.dumps({"outputs": outputs}).encode()), 0.0


def _slow(rng: random.Random) -> Answer:
    """An answer that never ends, a little at a time."""
    begin, part = rng.choice(
        [
            (b"", b"H"),
            (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        ]
    )
    yield begin, 0.0
    while True:
        yield part, rng.uniform(0.005, 0.1)


def _large(rng: random.Random) -> Answer:
    """An answer that is larger, or says so, than memory should hold."""
    begin, part = rng.choice(
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 42949672960\r\n\r\n", b" " * 65536),
            (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"10000\r\n" + b" " * 65536 + b"\r\n",
            ),
        ]
    )
    yield begin, 0.0
    while True:
        yield part, 0.0


HOSTILE: dict[str, Callable[[random.Random], Answer]] = {
    "wrong bytes in an answer": _flipped,
    "answer cut off": _cut,
    "wrong values in an answer": _other_json,
    "endless answer, slowly": _slow,
    "endless answer, fast": _large,
}


@contextlib.contextmanager
def hostile(make: Callable[[random.Random], Answer], rng: random.Random) -> Iterator[str]:
    """Serves one answer a connection, then closes it; yields the address."""
    stop = threading.Event()

    def talk(one: socket.socket) -> None:
        with one, contextlib.suppress(OSError):
            one.settimeout(5)
            one.recv(65536)
            for part, pause in make(rng):
                if stop.wait(pause):
                    return
                one.sendall(part)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listener.accept()
                threading.Thread(target=talk, args=[one], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)


def survives(client: Client) -> bool:
    """Whether a call gives recommendations or a `ServingError`, in time."""
    begin = time.monotonic()
    try:
        (answer,) = client.recommend([["x"]])
        fits = all(
            isinstance(one, Recommendation)
            and isinstance(one.item_id, str)
            and isinstance(one.score, float)
            for one in answer
        )
    except ServingError:
        fits = True
    except Exception as error:
        section.say(f"lost: {type(error).__name__}: {str(error)[:200]}")
        fits = False
    return fits and time.monotonic() - begin < TIMEOUT + SLACK


def hostile_answers(tries: int, seed: int) -> Iterator[Line]:
    """Calls to servers of each kind."""
    for fault, make in HOSTILE.items():
        with (
            hostile(make, random.Random(seed)) as url,
            Client(
                url,
                "shop",
                description=DESCRIPTION,
                timeout=TIMEOUT,
                retries=1,
                backoff=0.001,
                max_response_bytes=MAX_BYTES,
            ) as client,
        ):
            # A slow answer takes the whole timeout of each call.
            count = max(tries // 10, 3) if make is _slow else tries
            yield Line(fault, count, sum(not survives(client) for _ in range(count)))


# Exports. The processes load one module, without TensorFlow.

LOAD = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("version_directory", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""
REPLACE = (
    LOAD
    + """
import itertools, os
print("ready", flush=True)
for number in itertools.count():
    with module.atomic_directory(sys.argv[2], overwrite=True) as directory:
        for name in ("saved_model.pb", "a", "b"):
            (directory / name).write_text(f"{os.getpid()} {number}")
"""
)
NUMBERED = (
    LOAD
    + """
for _ in range(int(sys.argv[3])):
    with module.reserved_next_version(sys.argv[2]) as path:
        with module.atomic_directory(path) as directory:
            (directory / "saved_model.pb").write_text("")
        print(path.name, flush=True)
"""
)


def _process(code: str, *arguments: object) -> "subprocess.Popen[str]":
    words = [sys.executable, "-S", "-c", code, version_directory.__file__, *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def killed_exports(folder: pathlib.Path, tries: int, seed: int) -> Line:
    """Kills a process that replaces version 1 again and again."""
    rng, path = random.Random(seed), folder / "shop" / "1"
    lost = 0
    with version_directory.atomic_directory(path) as directory:
        for name in ("saved_model.pb", "a", "b"):
            (directory / name).write_text("first")
    for _ in range(tries):
        with _process(REPLACE, path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.02))
            process.kill()
        try:
            contents = {(path / name).read_text() for name in ("saved_model.pb", "a", "b")}
        except FileNotFoundError:
            contents = set()
        lost += len(contents) != 1
    with version_directory.atomic_directory(path, overwrite=True) as directory:
        (directory / "saved_model.pb").write_text("last")
    lost += [entry.name for entry in path.parent.iterdir()] != ["1"]  # leftovers
    return Line("export killed while it replaces a version", tries, lost)


def exporters_at_once(folder: pathlib.Path, each: int) -> Line:
    """Several processes export to the next version."""
    base, count = folder / "numbered", 4
    processes = [_process(NUMBERED, base, each) for _ in range(count)]
    taken = [name for one in processes for name in one.communicate()[0].split()]
    there = {entry.name for entry in base.iterdir()}
    return Line(
        "exports to the next version at once", count * each, count * each - len(there & set(taken))
    )


def two_writers(folder: pathlib.Path, each: int) -> Line:
    """Two threads replace an availability file."""
    (folder / "vocabulary.txt").write_text("".join(f"item {n}\n" for n in range(50)))
    failures = []

    def write(item: str) -> None:
        for _ in range(each):
            try:
                write_availability_file(folder / "availability.pb", [item])
            except OSError as error:
                failures.append(error)

    threads = [threading.Thread(target=write, args=[f"item {n}"]) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = [entry for entry in folder.iterdir() if entry.name.endswith(".part")]
    return Line("availability file, two writers", 2 * each, len(failures) + len(left))


def all_lines(tries: int, seed: int) -> Iterator[Line]:
    """All faults around serving, each tried about so often."""
    yield from hostile_answers(tries, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        yield killed_exports(folder, tries // 2, seed)
        yield exporters_at_once(folder, max(tries // 10, 1))
        yield two_writers(folder, tries)


def main(argv: list[str] | None = None) -> int:
    """Runs all and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few tries of each fault")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default 0)")
    arguments = parser.parse_args(argv)
    lines = list(all_lines(30 if arguments.quick else 500, arguments.seed))
    print(table(lines))
    return int(any(one.lost for one in lines))


if __name__ == "__main__":
    sys.exit(main())
