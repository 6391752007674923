"""What `fit` and `evaluate` of a `SessionRec` take, count and report."""

import inspect
import warnings
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfsessionrec import draws
from tfsessionrec.backend import check_keras_2, keras
from tfsessionrec.models.backbone import session_features
from tfsessionrec.session_batch import misplaced_rows, raise_misplaced
from tfsessionrec.tasks import SessionRanking
from tfsessionrec.types import Config, Features

Logs = dict[str, object] | None


class StepTotals:
    """Totals over the steps of an epoch that are no part of a model's state.

    A plain object: checkpoints of a model do not contain it.

    Attributes:
        minimized: Mean of the losses that were minimized.
        misplaced: Number of rows whose padding does not come last.
    """

    def __init__(self) -> None:
        self.minimized = keras.metrics.Mean(name="loss")
        self.misplaced = keras.metrics.Sum(name="misplaced")

    def reset(self) -> None:
        """Starts another epoch."""
        self.minimized.reset_state()
        self.misplaced.reset_state()

    def add(self, features: Features, loss: tf.Tensor | None) -> None:
        """Adds a step.

        Args:
            features: Its batch.
            loss: This replica's share of what was minimized; None: it is not recorded.
        """
        self.misplaced.update_state(misplaced_rows(session_features(features)["item_ids"]))
        if loss is not None:
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            self.minimized.update_state(loss * replicas)  # the mean over replicas is then their sum


class FitCallback(keras.callbacks.Callback):
    """Rejects batches whose padding does not come last, and leaves out metrics of nothing.

    Args:
        totals: The totals of the steps.
        ranking_task: The ranking task, or None.
    """

    def __init__(self, totals: StepTotals, ranking_task: SessionRanking | None) -> None:
        super().__init__()
        self._totals = totals
        self._ranking_task = ranking_task
        self._is_checked = False
        self._is_reported = False
        self._nothing: list[str] | None = None
        self._supports_tf_logs = True  # No step waits for its logs.

    def on_train_begin(self, logs: Logs = None) -> None:
        self._is_checked = False

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._nothing = None

    def on_test_begin(self, logs: Logs = None) -> None:
        self._is_checked = False
        self._count()  # validation starts the counts again

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._check()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._check()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        nothing = self._count()
        reported = [name for name in nothing if logs and logs.pop(name, None) is not None]
        if "ranking_loss" in reported and not self._is_reported:
            self._is_reported = True
            warnings.warn(
                "Nothing is ranked: no session has both a clicked item and one that was shown but "
                "not clicked (`labels` 0). The ranking task learns nothing, and the logs leave out "
                "`ranking_loss` and `ranking_auc`",
                stacklevel=2,
            )

    def _count(self) -> list[str]:
        """The metrics that have counted nothing in the steps of this epoch."""
        if self._nothing is None:
            self._nothing = metrics_of_nothing(self._ranking_task)
        return self._nothing

    def _check(self) -> None:
        if not self._is_checked:
            self._is_checked = True
            raise_misplaced(int(self._totals.misplaced.result()))


def metrics_of_nothing(ranking_task: SessionRanking | None) -> list[str]:
    """The names of a ranking task's metrics that have counted nothing."""
    metrics = () if ranking_task is None else (ranking_task.loss_mean, ranking_task.auc)
    return [metric.name for metric in metrics if not float(tf.convert_to_tensor(metric.count))]


def features_of(data: Features | tf.Tensor | tuple) -> Features:
    """The batch of the data that `fit` passes: `x`, `(x,)` or `(x, None, sample_weight)`.

    Raises:
        ValueError: If there is a `y`, or there are two sample weights.
    """
    if not isinstance(data, tuple | list):
        data = (data,)
    x, y, weights = keras.utils.unpack_x_y_sample_weight(tuple(data))
    if y is not None:
        raise ValueError(
            "`y` should be None: the targets are the next sessions of `x`. Give sample weights as "
            "`(x, None, sample_weight)` or as the key `sample_weight` of `x`. Received: "
            f"`y` of {type(y).__name__}"
        )
    features = dict(x) if isinstance(x, Mapping) else {"item_ids": x}
    if weights is not None:
        if "sample_weight" in features:
            raise ValueError(
                "`sample_weight` should be given once. Received: an argument of that name and a "
                "key of the batch"
            )
        features["sample_weight"] = weights
    return features


def check_compile(optimizer: object, arguments: Mapping[str, object]) -> None:
    """Checks the arguments of `compile`.

    Args:
        optimizer: The optimizer.
        arguments: Arguments that should be None, by name.

    Raises:
        ValueError: If one is given, or the optimizer is of Keras 3.
    """
    check_keras_2("optimizer", optimizer)
    places = {
        "loss": "the `loss` of `NextSessionRetrieval` and `SessionRanking`",
        "loss_weights": "`ranking_weight` of the model",
    }
    for name, value in arguments.items():
        if value is not None:
            place = places.get(name, "`metrics` of the tasks, or `CatalogueMetrics`")
            raise ValueError(
                f"`{name}` should be None in `compile`: a `SessionRec` computes its loss and "
                f"metrics in its tasks. Use {place}. Received: `{name}`={value!r}"
            )


def checked(arguments: dict[str, object]) -> dict[str, object]:
    """The arguments of `fit` and `evaluate`, with the sample weights as a key of `x`.

    Keras drops the weights of arrays where there is no `y`.

    Raises:
        ValueError: If there are a `y` or class weights, or a callback is of Keras 3.
    """
    if arguments.get("class_weight") is not None:
        raise ValueError(
            "`class_weight` should be None: the targets are items, not classes. Weigh them with "
            "`sample_weight`, of rows [B], sessions [B, S] or items [B, S, I]. Received: "
            f"`class_weight`={arguments['class_weight']!r}"
        )
    callbacks = arguments.get("callbacks")
    for callback in callbacks if isinstance(callbacks, Sequence) else [callbacks]:
        check_keras_2("callbacks", callback)
    y, weights = arguments.get("y"), arguments.get("sample_weight")
    if y is None and weights is None:
        return arguments
    if isinstance(arguments.get("x"), tf.data.Dataset):
        raise ValueError(
            "`sample_weight` and `y` should be None where `x` is a dataset, which has its own "
            "weights: `(x, None, sample_weight)`"
        )
    return {**arguments, "x": features_of((arguments.get("x"), y, weights)), "sample_weight": None}


def with_callback(callbacks: object, own: FitCallback) -> object:
    """The callbacks of `fit` or `evaluate`, with `own` before them."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        if not any(isinstance(one, FitCallback) for one in callbacks.callbacks):
            own.set_model(callbacks.model)
            callbacks.callbacks.insert(0, own)
        return callbacks
    if callbacks is None:
        return [own]
    return [own, *callbacks] if isinstance(callbacks, Sequence) else [own, callbacks]


class FittedModel(tfrs.Model):
    """A TFRS model that checks what it is given, and reports what it minimized.

    A subclass has `compute_loss`, `_results` and `ranking_task`.
    """

    # Seed of dropout and negatives in each step, see `draws.seeded`. None: TensorFlow's generator.
    draw_seed: int | None = None
    ranking_task: SessionRanking | None  # no default: Keras does not track what the class has

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._totals = StepTotals()

    def compile(
        self,
        optimizer: object = "rmsprop",
        loss: object = None,
        metrics: object = None,
        loss_weights: object = None,
        weighted_metrics: object = None,
        **kwargs: object,
    ) -> None:
        unused = {
            "loss": loss,
            "metrics": metrics,
            "loss_weights": loss_weights,
            "weighted_metrics": weighted_metrics,
        }
        check_compile(optimizer, unused)
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config: Config) -> None:
        # As Keras does for a model whose `compile` it knows.
        self.compile(**keras.utils.deserialize_keras_object(config))
        if self.built and isinstance(self.optimizer, keras.optimizers.Optimizer):
            self.optimizer.build(self.trainable_variables)

    def fit(self, *args: object, **kwargs: object) -> keras.callbacks.History:
        given = checked(inspect.signature(super().fit).bind(*args, **kwargs).arguments)
        validation = given.get("validation_data")
        if isinstance(validation, tuple | list):
            given["validation_data"] = (features_of(validation),)
        own = FitCallback(self._totals, self.ranking_task)
        return super().fit(**{**given, "callbacks": with_callback(given.get("callbacks"), own)})

    def evaluate(self, *args: object, **kwargs: object) -> object:
        given = inspect.signature(super().evaluate).bind(*args, **kwargs).arguments
        given = checked(given | given.pop("kwargs", {}))
        own = FitCallback(self._totals, self.ranking_task)
        logs = super().evaluate(
            **{**given, "callbacks": with_callback(given.get("callbacks"), own)}
        )
        if isinstance(logs, dict):
            for name in metrics_of_nothing(self.ranking_task):
                logs.pop(name, None)
        return logs

    def reset_metrics(self) -> None:
        super().reset_metrics()
        self._totals.reset()

    def train_step(self, data: Features | tuple) -> dict[str, tf.Tensor]:
        features = features_of(data)
        with tf.GradientTape() as tape, draws.seeded(self.draw_seed, self.optimizer.iterations):
            loss = self._objective(features, training=True)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self._results(features, loss)

    def test_step(self, data: Features | tuple) -> dict[str, tf.Tensor]:
        features = features_of(data)
        return self._results(features, self._objective(features, training=False))

    def _objective(self, features: Features, training: bool) -> tf.Tensor:
        """What is minimized; of several replicas, this one's share."""
        loss = self.compute_loss(features, training=training)
        if self.losses:  # regularization; replicas' gradients are summed
            loss += tf.add_n(self.losses) / self.distribute_strategy.num_replicas_in_sync
        return loss

    def _results(self, features: Features, loss: tf.Tensor) -> dict[str, tf.Tensor]:
        """The logs after a step."""
        raise NotImplementedError
