"""What a language model writes, at every validation."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.training.reporting import log_table, writes


class TextSamples(Callback):
    """Lets the model go on from the start of the validation text: in W&B each time, in `folder`/samples.txt at the end.

    For models with `generate(prompt, num, temperature, generator=...)` on data with `decode(tokens)` only. Prompt and seed
    are the same at every validation, and nothing is drawn from a global generator: training goes on as it would have.

    Args:
        folder: where samples.txt is written.
        num: tokens to write.
        prompt_length: tokens to start from.
        temperature: below 1 it writes what is likely, at 1 as it has learned.
    """

    def __init__(self, folder: Path, num: int = 400, prompt_length: int = 80, temperature: float = 0.8) -> None:
        self.folder, self.num, self.prompt_length, self.temperature = folder, num, prompt_length, temperature
        self.rows: list[tuple[int, str, str]] = []  # step, prompt, what came after it

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        generate = getattr(pl_module, "generate", None)
        if batch_idx or trainer.state.fn != "fit" or trainer.sanity_checking or generate is None or not hasattr(data, "decode"):
            return
        # every process writes a sample, since parameters may be sharded over all of them; one of them reports it
        prompt: Tensor = batch.x[:1, : self.prompt_length]
        written = generate(prompt, self.num, self.temperature, generator=torch.Generator().manual_seed(0))
        if writes(trainer):
            self.rows.append((trainer.global_step, data.decode(prompt[0]), data.decode(written[0])))
            log_table(trainer, "val/samples", ["step", "prompt", "text"], [list(row) for row in self.rows])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.rows and writes(trainer):
            self.folder.mkdir(parents=True, exist_ok=True)
            samples = [f"After {step} steps, from the prompt\n{prompt}\n---\n{text}\n" for step, prompt, text in self.rows]
            (self.folder / "samples.txt").write_text("\n\n".join(samples), encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        return {"rows": [list(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [(step, prompt, text) for step, prompt, text in state_dict["rows"]]
