"""A functional model that names what it is fed, and refuses an export that would be broken."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from ..formats.refusals import foreign, refusal
from ..formats.tracing import plain_gelu, written_as
from .replicas import as_in_the_whole_batch, beside_the_trace


@keras.saving.register_keras_serializable("mmkeras")
class MultimodalModel(keras.Model):
    """A functional model that is fed a dict by modality and refuses unknown names.

    Keras reports a missing name, but silently drops an unknown one, so that a misspelt or outdated
    column goes unnoticed. Apart from that, this class does what `keras.Model` does.
    """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, Mapping):
            expected = [tensor.name for tensor in self.inputs]
            unknown = [name for name in inputs if name not in expected]
            if unknown:
                raise ValueError(
                    f"unknown input {', '.join(map(repr, unknown))}; "
                    f"this model takes {', '.join(map(repr, expected))}"
                )
            if len(inputs) == len(expected):  # inside another model Keras would sort the names
                inputs = [inputs[name] for name in expected]
        return super().__call__(inputs, *args, **kwargs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        y, weight = self._alone(y, "targets"), self._alone(sample_weight, "sample weights")
        with beside_the_trace():
            loss = super().compute_loss(x, y, y_pred, weight, training)
        return as_in_the_whole_batch(loss, y_pred) if training else loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y, weight = self._alone(y, "targets"), self._alone(sample_weight, "sample weights")
        with beside_the_trace():
            return super().compute_metrics(x, y, y_pred, weight)

    def _alone(self, given: Any, what: str) -> Any:
        """Targets or weights; a dict by head name is accepted also if there is only one head."""
        if not isinstance(given, Mapping) or len(self.outputs) > 1:
            return given
        (head,) = self.output_names
        if list(given) != [head]:
            raise ValueError(
                f"{what} are given for {', '.join(map(repr, given)) or 'no head'}, but the one "
                f"head of this model is {head!r}"
            )
        return given[head]

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras, but the optimiser's variables exist before, so that a step is traced once.

        If they were made during the first trace, a second one would follow, and the time before
        the first step would double. See also `beside_the_trace`.
        """
        unbuilt = self.optimizer is not None and not self.optimizer.built
        if unbuilt and keras.backend.backend() == "tensorflow":
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        super().make_train_function(force)

    def export(self, filepath: Any, format: str = "tf_saved_model", **kwargs: Any) -> None:
        """As `keras.Model.export`, but a model that would become a broken file is refused.

        Raises:
            ValueError: a layer of the model cannot be exported in this format; the message names
                it, or its operator, with the reason.
        """
        if why := refusal(self, format):
            raise ValueError(f"{why}; use format='tf_saved_model'")
        with written_as(format):
            if format != "onnx":
                super().export(filepath, format=format, **kwargs)
                return
            with plain_gelu(self):
                self(self.inputs)  # before it writes ONNX, Keras wants to have seen a call
                super().export(filepath, format=format, **kwargs)
        if operators := foreign(Path(filepath)):
            Path(filepath).unlink()
            raise ValueError(
                f"a layer of this model becomes {', '.join(operators)}, which ONNX does not have; "
                "use format='tf_saved_model'"
            )
