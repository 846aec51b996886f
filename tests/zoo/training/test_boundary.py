"""Library errors about settings become a ZooError. Bugs pass through unchanged."""

import pytest
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from zoo.errors import ZooError
from zoo.training.boundary import building_trainer, running


def trainer(precision: str = "32-true") -> Trainer:
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, precision=precision)  # type: ignore[arg-type]  # a plain string


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MisconfigurationException("clip and\n  accumulate"), "do not fit the model or the data: clip and accumulate"),
        (
            MisconfigurationException("Automatic gradient clipping is not supported for manual optimization. Remove"),
            "for a GAN, set model.clip",
        ),
        (
            RuntimeError('Error(s) in loading state_dict for MLP:\n\tMissing key(s) in state_dict: "a.b". '),
            'does not fit MLP: Missing key.s. in state_dict: "a.b"',
        ),
        (
            RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive. Run workload"),
            "this processor cannot compute LSTM layers in the precision of the run: set trainer.precision to 32-true",
        ),
        (
            RuntimeError("InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')"),
            r"compile does not work on this machine \(No working C\+\+ compiler found\): install a C\+\+ compiler",
        ),
    ],
)
def test_errors_about_settings_are_translated(error: Exception, message: str) -> None:
    with pytest.raises(ZooError, match=message) as raised, running(trainer()):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("zip() argument 2 is longer than argument 1"),
        RuntimeError("mat1 and mat2 must have the same dtype, but got Float and Double"),  # a bug if the precision is 32-true
        ZeroDivisionError("division by zero"),
        ZooError("written for a user"),
    ],
)
def test_other_errors_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, running(trainer()):
        raise error
    assert raised.value is error


def test_a_dtype_mismatch_in_true_precision_is_about_the_precision() -> None:
    with pytest.raises(ZooError, match="precision 64-true casts the weights"), running(trainer("64-true")):
        raise RuntimeError("mat1 and mat2 must have the same dtype, but got Float and Double")


@pytest.mark.parametrize("settings", [{"accelerator": "tpux"}, {"max_epochs": -5}, {"num_nodes": 0}, {"strategy": "tp"}])
def test_a_trainer_that_cannot_be_built(settings: dict[str, object]) -> None:
    with pytest.raises(ZooError, match="the trainer's settings do not fit this machine, or each other: "), building_trainer():
        Trainer(**{"logger": False, **settings})  # type: ignore[arg-type]  # wrong on purpose
