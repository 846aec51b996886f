"""Report of text that a language model generates at every validation."""

from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.training.files import write_text
from zoo.training.reporting import facts, log_table, writes


class GeneratesText(Protocol):
    """A language model that generates text."""

    def generate(self, prompt: Tensor, num: int, temperature: float, *, generator: torch.Generator) -> Tensor:
        """Continue prompts (B, P) by `num` tokens each: (B, num)."""
        ...


class TextSamples(Callback):
    """Generates a continuation of the start of the validation text at every validation.

    The texts are sent to W&B at every validation, and written to `folder`/samples.txt when training ends. For systems that are
    a `GeneratesText`, and data that states how to `decode` tokens. Prompt and seed are the same at every validation. No global
    random generator is used, so training is not affected.

    Args:
        folder: folder of samples.txt.
        num: number of tokens to generate.
        prompt_length: number of tokens of the prompt.
        temperature: divisor of the logits. Below 1 it favours likely tokens.
    """

    def __init__(self, folder: Path, num: int = 400, prompt_length: int = 80, temperature: float = 0.8) -> None:
        self.folder, self.num, self.prompt_length, self.temperature = folder, num, prompt_length, temperature
        self.rows: list[tuple[int, str, str]] = []  # step, prompt, generated text

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        decode = facts(trainer).decode
        if batch_idx or trainer.state.fn != "fit" or trainer.sanity_checking or decode is None:
            return
        # Every process generates, because parameters may be sharded. One of them reports the text.
        prompt: Tensor = batch.x[:1, : self.prompt_length]
        generator = torch.Generator().manual_seed(0)
        generated = cast(GeneratesText, pl_module).generate(prompt, self.num, self.temperature, generator=generator)
        if writes(trainer):
            self.rows.append((trainer.global_step, decode(prompt[0]), decode(generated[0])))
            log_table(trainer, "val/samples", ["step", "prompt", "text"], [list(row) for row in self.rows])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.rows and writes(trainer):
            samples = [f"After {step} steps, from the prompt\n{prompt}\n---\n{text}\n" for step, prompt, text in self.rows]
            write_text(self.folder / "samples.txt", "\n\n".join(samples))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": [list(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [(step, prompt, text) for step, prompt, text in state_dict["rows"]]
