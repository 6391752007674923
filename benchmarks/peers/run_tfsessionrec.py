"""One measured run of this package's SASRec.

Uses the public interface, with defaults for everything but the compared sizes: `sessionize`,
`flatten_sessions`, `session_dataset`, `models.build`, `model.fit`.
"""

import worker

arguments = worker.parse_arguments(__doc__)
worker.use_cores(arguments.threads)

# Imported after the cores are set.
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import tfsessionrec as sr  # noqa: E402
from tfsessionrec.backend import keras  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
keras.utils.set_random_seed(arguments.seed)

clock = worker.EpochClock()


def main() -> None:
    sessions = sr.data.sessionize(
        sr.data.read_events(
            arguments.events, columns={"item_id": "item", "timestamp": "time"}, separator="\t"
        ),
        session="user",
    )
    vocabulary = sr.data.Vocabulary.from_sessions(sessions)
    dataset = sr.data.session_dataset(
        sr.data.flatten_sessions(sessions),
        vocabulary,
        max_sessions=arguments.length + 1,  # the same number of targets as the windows of RecTools
        max_items=1,
        batch_size=arguments.batch_size,
        batch_positions=arguments.batch_positions,
        seed=arguments.seed,
    )
    recipe = sr.models.recipe("sasrec")
    model = sr.models.build(
        "sasrec",
        vocabulary_size=len(vocabulary),
        embedding_dim=arguments.embedding_dim,
        num_layers=arguments.num_layers,
        num_heads=arguments.num_heads,
        dropout=arguments.dropout,
        max_length=arguments.length + 1,
        negatives="full" if arguments.loss == "full" else "uniform",
        num_negatives=arguments.num_negatives,
        first_item_index=vocabulary.first_item_index,
    )
    model.compile(  # as `tfsessionrec train` does
        optimizer=sr.optimizers.LazyAdam(arguments.learning_rate, beta_2=recipe.beta_2),
        steps_per_execution=8,
    )
    marker = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: clock.epoch_ended(logs["loss"])
    )
    model.fit(dataset, epochs=arguments.epochs + 1, callbacks=[marker], verbose=0)
    sequences = positions = steps = 0
    for batch in dataset.as_numpy_iterator():
        steps += 1
        sequences += len(batch["item_ids"])
        positions += int(np.count_nonzero(batch["item_ids"][:, 1:]))
    report = clock.report(
        positions=positions,
        sequences=sequences,
        steps=steps,
        num_items=vocabulary.num_items,
        versions={"tfsessionrec": sr.__version__, "tensorflow": tf.__version__},
    )
    worker.write_report(arguments.output, report)


if __name__ == "__main__":
    main()
