"""Random state, restored when a run resumes and after each validation."""

import random
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, distributed

State = dict[str, Any]  # tensors, tuples and numbers only, so that checkpoints load with weights_only=True


def random_state() -> State:
    """Return the state of every global random generator of this process."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: State = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(gauss)),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: State) -> None:
    """Set every global random generator of this process to a state returned by `random_state()`."""
    torch.set_rng_state(state["torch"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, _as_uint32(keys), *rest))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _as_uint32(keys: Tensor) -> np.ndarray:
    return keys.numpy().astype(np.uint32)


class Randomness(Callback):
    """Saves the random state of every rank in checkpoints, and undoes random draws made during validation.

    Lightning's checkpoints contain no random state, so a resumed run would draw other dropout masks. The saved state is
    restored right before the first training batch, so that earlier draws have no effect. If the number of processes has
    changed, ranks without a saved state start from a new one.

    In a new run, every process except the first changes its seed. Lightning gives all processes the same seed, so they would
    draw the same noise and the same dropout masks.
    """

    def __init__(self) -> None:
        self._restored: State | None = None
        self._before_evaluation: State | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        # A checkpoint can be written during a validation, which may already have drawn random numbers.
        state = self._before_evaluation or random_state()
        states = [state] * trainer.world_size
        if trainer.world_size > 1 and distributed.is_initialized():
            distributed.all_gather_object(states, state)
        checkpoint["random_states"] = states

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get("random_states", [])
        if trainer.training or trainer.state.fn == "fit":
            self._restored = states[trainer.global_rank] if trainer.global_rank < len(states) else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._restored is None and trainer.global_rank > 0:
            torch.manual_seed(torch.initial_seed() + trainer.global_rank)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._restored is not None:
            set_random_state(self._restored)
            self._restored = None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._before_evaluation = random_state()

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._leave_evaluation()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._before_evaluation is None:
            self._before_evaluation = random_state()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._leave_evaluation()

    def _leave_evaluation(self) -> None:
        if self._before_evaluation is not None:
            set_random_state(self._before_evaluation)
            self._before_evaluation = None
