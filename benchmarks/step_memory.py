"""Peak memory and time of one training step as the catalogue grows.

1. Full softmax: the memory that a step adds must not grow with positions x catalogue. Each cell of
   the grid runs in its own process. A first step on one short sequence allocates the parameters,
   gradients and moments of the whole table; the cell is the growth of the peak memory during the
   next step. For comparison, one cell computes the softmax from the matrix of all scores.
2. Sampled negatives: the time of a step must not grow with the catalogue.

    python benchmarks/step_memory.py
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from peers import worker
from section import Report, command, say, table, write_report, write_section

if TYPE_CHECKING:
    import tensorflow as tf

# Share of the growth of the matrix of all scores; repeated measurements differ by about 50 MB.
MEMORY_LIMIT = 0.05
# Ratio of the times with the largest and the smallest catalogue; cache misses cause some growth.
TIME_LIMIT = 1.5


def measure(arguments: argparse.Namespace) -> Report:
    """Runs the steps of one cell in this process."""
    worker.use_cores(arguments.threads)
    import numpy as np
    import tensorflow as tf

    from tfsessionrec.backend import keras

    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    keras.utils.set_random_seed(arguments.seed)
    step = training_step(arguments)
    generator = np.random.default_rng(arguments.seed)

    def batch(positions: int) -> dict[str, tf.Tensor]:
        rows = max(1, positions // arguments.length)
        shape = (rows, arguments.length + 1, 1)
        item_ids = generator.integers(2, 2 + arguments.catalogue, shape, np.int32)
        return {"item_ids": tf.constant(item_ids)}

    for _ in range(2):
        float(step(batch(arguments.length)))
    before = worker.peak_memory_mb()
    features = batch(arguments.positions)
    seconds = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        loss = float(step(features))
        seconds.append(time.perf_counter() - start)
    return {
        "loss": loss,
        "before_mb": before,
        "peak_mb": worker.peak_memory_mb(),
        "added_mb": worker.peak_memory_mb() - before,
        "scores_mb": arguments.positions * arguments.catalogue * 4 / 1e6,
        # The first call with a new shape may trace the graph.
        "step_ms": 1e3 * statistics.median(seconds[1:] or seconds),
    }


def training_step(
    arguments: argparse.Namespace,
) -> Callable[[dict[str, "tf.Tensor"]], "tf.Tensor"]:
    """A function that trains on one batch and returns its loss."""
    import tensorflow as tf

    import tfsessionrec as sr

    model = sr.models.build(
        "sasrec",
        vocabulary_size=2 + arguments.catalogue,
        embedding_dim=arguments.embedding_dim,
        num_layers=2,
        num_heads=2,
        negatives="uniform" if arguments.loss == "sampled" else "full",
        num_negatives=arguments.num_negatives,
    )
    model.compile(optimizer=sr.optimizers.LazyAdam(1e-3))

    @tf.function(reduce_retracing=True)
    def package_step(features: dict[str, tf.Tensor]) -> tf.Tensor:
        return model.train_step(features)["loss"]

    @tf.function(reduce_retracing=True)
    def plain_step(features: dict[str, tf.Tensor]) -> tf.Tensor:
        targets = tf.reshape(features["item_ids"][:, 1:], [-1]) - 2
        with tf.GradientTape() as tape:
            queries = model(features, training=True)[:, :-1]
            queries = tf.reshape(queries, [-1, arguments.embedding_dim])
            scores = tf.matmul(queries, model.candidate_embeddings()[2:], transpose_b=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=scores)
            )
        model.optimizer.minimize(loss, model.trainable_variables, tape=tape)
        return loss

    return plain_step if arguments.loss == "plain" else package_step


def cell(
    arguments: argparse.Namespace, loss: str, catalogue: int, positions: int, steps: int
) -> Report:
    """Runs `measure` in its own process."""
    command = [sys.executable, __file__, "--worker", loss]
    for name, value in {
        "catalogue": catalogue,
        "positions": positions,
        "steps": steps,
        "embedding-dim": arguments.embedding_dim,
        "length": arguments.length,
        "num-negatives": arguments.num_negatives,
        "threads": arguments.threads,
        "seed": arguments.seed,
    }.items():
        command += [f"--{name}", str(value)]
    answer = subprocess.run(
        command, capture_output=True, text=True, env=worker.package_environment()
    )
    if answer.returncode:
        say(answer.stderr[-4000:])
        raise RuntimeError(f"failed: the step ({loss}, {catalogue:,} items)")
    result = json.loads(answer.stdout.splitlines()[-1])
    say(
        f"{loss}, {catalogue:,} items, {positions:,} positions: "
        f"{result['added_mb']:,.0f} MB, {result['step_ms']:,.0f} ms"
    )
    return {"kind": loss, "catalogue": catalogue, "positions": positions, **result}


def memory_growth(cells: Sequence[Report]) -> float:
    """The growth of the added memory as a share of the growth of the score matrix.

    From the smallest to the largest catalogue and number of positions,
    `(a_CP - a_cP - a_Cp + a_cp) / (s_CP - s_cP - s_Cp + s_cp)`, with a the added memory and s the
    size of all scores. Memory that grows only with the catalogue (gradient of the table) or only
    with the positions (activations) cancels. A plain softmax gives 1 or more.
    """
    by_size = {(cell["catalogue"], cell["positions"]): cell for cell in cells}
    catalogues, positions = (sorted(set(sizes)) for sizes in zip(*by_size, strict=True))

    def interaction(key: str) -> float:
        large, small = (
            by_size[catalogue, positions[-1]][key] - by_size[catalogue, positions[0]][key]
            for catalogue in (catalogues[-1], catalogues[0])
        )
        return large - small

    return interaction("added_mb") / interaction("scores_mb")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--catalogues", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--batches", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument(
        "--sampled-catalogues", type=int, nargs="+", default=[10_000, 100_000, 1_000_000]
    )
    parser.add_argument("--sampled-positions", type=int, default=1024)
    parser.add_argument("--sampled-steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the timed part")
    parser.add_argument("--num-negatives", type=int, default=128)
    parser.add_argument("--embedding-dim", type=int, default=64)
    parser.add_argument("--length", type=int, default=16, help="targets per sequence")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=pathlib.Path, help="write the whole report here")
    parser.add_argument("--section", action="store_true", help="write the section of RESULTS.md")
    inner = parser.add_argument_group("one cell (the script calls itself with these)")
    inner.add_argument("--worker", choices=("full", "plain", "sampled"), dest="loss")
    inner.add_argument("--catalogue", type=int)
    inner.add_argument("--positions", type=int)
    inner.add_argument("--steps", type=int)
    return parser.parse_args(argv)


def memory_table(cells: Sequence[Report]) -> str:
    """A Markdown table of the memory of each cell."""
    names = {"full": "full, in blocks", "plain": "full, matrix of all scores"}
    header = ["softmax", "items", "positions", "scores MB", "step adds MB", "peak MB"]
    rows = [
        [names[one["kind"]], f"{one['catalogue']:,}", f"{one['positions']:,}"]
        + [f"{one[key]:,.0f}" for key in ("scores_mb", "added_mb", "peak_mb")]
        for one in cells
    ]
    return table(header, rows)


def time_table(arguments: argparse.Namespace, times: Sequence[float]) -> str:
    """A Markdown table of the step time with each catalogue size."""
    header = ["negatives", "items", "positions", "ms per step", "relative to the smallest"]
    rows = [
        [
            f"{arguments.num_negatives}",
            f"{catalogue:,}",
            f"{arguments.sampled_positions:,}",
            f"{milliseconds:.1f}",
            f"{milliseconds / times[0]:.2f}×",
        ]
        for catalogue, milliseconds in zip(arguments.sampled_catalogues, times, strict=True)
    ]
    return table(header, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and exits with 1 if a limit is exceeded."""
    arguments = parse_arguments(argv)
    if arguments.loss:
        print(json.dumps(measure(arguments)))
        return 0
    full = [
        cell(arguments, "full", catalogue, positions, steps=2)
        for catalogue in arguments.catalogues
        for positions in arguments.batches
    ]
    # The second largest batch: at the largest one, all scores do not fit in most machines.
    plain_positions = sorted(arguments.batches)[-2:][0]
    plain = cell(arguments, "plain", max(arguments.catalogues), plain_positions, steps=2)
    sizes = (arguments.sampled_positions, arguments.sampled_steps)
    rounds = [
        [
            cell(arguments, "sampled", catalogue, *sizes)
            for catalogue in arguments.sampled_catalogues
        ]
        for _ in range(arguments.rounds)
    ]
    times = [statistics.median(c["step_ms"] for c in cells) for cells in zip(*rounds, strict=True)]
    growth, slowdown = memory_growth(full), times[-1] / times[0]
    text = "\n\n".join(
        [
            memory_table([*full, plain]),
            f"The growth of the added memory with positions × catalogue is {growth:.1%} of the "
            f"growth of the matrix of all scores (limit {MEMORY_LIMIT:.0%}).",
            time_table(arguments, times),
            f"Limit {TIME_LIMIT}×.",
        ]
    )
    print(text)
    report = {
        "command": command("step_memory", argv),
        "text": text,
        "full": full,
        "plain": plain,
        "sampled_rounds": rounds,
        "memory_growth": growth,
        "time_ratio": slowdown,
    }
    write_report(arguments.json, report)
    if arguments.section:
        title = "Cost of a training step by catalogue size"
        write_section("step_memory", title, command("step_memory", argv), text)
    return int(growth > MEMORY_LIMIT or slowdown > TIME_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
