"""One measured run of RecTools' SASRec (PyTorch), in its own virtual environment.

Uses the public interface, with defaults for everything but the compared sizes:
`rectools.models.SASRecModel`, its data loader, its Lightning trainer, its Adam (betas 0.9, 0.98).
"""

import warnings

import worker

arguments = worker.parse_arguments(__doc__)
worker.use_cores(arguments.threads)

# Imported after the cores are set.
import logging  # noqa: E402

import pandas as pd  # noqa: E402
import pytorch_lightning as pl  # noqa: E402
import rectools  # noqa: E402
import torch  # noqa: E402
from rectools import Columns  # noqa: E402
from rectools.dataset import Dataset  # noqa: E402
from rectools.models import SASRecModel  # noqa: E402

torch.set_num_threads(arguments.threads)
pl.seed_everything(arguments.seed)
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")

clock = worker.EpochClock()


class Marker(pl.Callback):
    """Records the end of every epoch in the global clock, because `fit` copies the trainer."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        clock.epoch_ended(float(trainer.callback_metrics["train_loss"]))


def trainer() -> pl.Trainer:
    """RecTools' default trainer with the marker."""
    epochs = arguments.epochs + 1
    return pl.Trainer(
        max_epochs=epochs,
        min_epochs=epochs,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        enable_checkpointing=False,
        devices=1,
        callbacks=[Marker()],
    )


def main() -> None:
    if arguments.batch_size is None:
        raise ValueError("`--batch-size` should be given: RecTools batches by sequences.")
    events = pd.read_csv(arguments.events, sep="\t")
    interactions = pd.DataFrame(
        {
            Columns.User: events["user"],
            Columns.Item: events["item"],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(events["time"], unit="s"),
        }
    )
    model = SASRecModel(
        n_factors=arguments.embedding_dim,
        n_blocks=arguments.num_layers,
        n_heads=arguments.num_heads,
        dropout_rate=arguments.dropout,
        session_max_len=arguments.length,
        batch_size=arguments.batch_size,
        lr=arguments.learning_rate,
        loss="softmax" if arguments.loss == "full" else "sampled_softmax",
        n_negatives=arguments.num_negatives,
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(interactions))
    sequences = model.data_preparator.get_dataloader_train().dataset.sessions
    report = clock.report(
        positions=sum(len(sequence) - 1 for sequence in sequences),
        sequences=len(sequences),
        num_items=len(model.data_preparator.get_known_item_ids()),
        versions={"rectools": rectools.VERSION, "torch": torch.__version__},
    )
    worker.write_report(arguments.output, report)


if __name__ == "__main__":
    main()
