"""A language model generates one sample per validation, without an effect on training."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning import Trainer

from datamodules import CharText
from zoo.rnn.char_lm import CharLM
from zoo.tasks.sequences.text_samples import TextSamples


@pytest.fixture
def data(tmp_path: Path) -> CharText:
    (tmp_path / "text.txt").write_text("abcdefgh" * 120)
    return CharText(str(tmp_path / "text.txt"), 12, chunk=10, batch_size=4, val_fraction=0.1, test_fraction=0.1)


def model() -> CharLM:
    torch.manual_seed(0)
    return CharLM((10,), 12, embed_dim=8, hidden_dim=16, embed_dropout=0.5, lr=0.05)


def test_a_sample_per_validation_from_the_same_prompt(data: CharText, fit: Callable[..., Trainer], tmp_path: Path) -> None:
    samples = TextSamples(tmp_path / "predictions", num=16, prompt_length=4)
    fit(model(), data, max_epochs=3, callbacks=[samples], num_sanity_val_steps=1)
    per_epoch = data.num_train_batches
    assert [step for step, _, _ in samples.rows] == [per_epoch, 2 * per_epoch, 3 * per_epoch]
    validation = data.splits["val"].rows[0] % 8
    prompt = ("abcdefgh" * 2)[validation : validation + 4]
    assert {prompt for _, prompt, _ in samples.rows} == {prompt}
    assert samples.rows[-1][2] == ("abcdefgh" * 4)[validation + 4 : validation + 20]  # the model has learned the repeated text
    written = (tmp_path / "predictions" / "samples.txt").read_text()
    assert all(
        f"After {step} steps, from the prompt\n{prompt}\n---\n{text}\n" in written for step, prompt, text in samples.rows
    )


def test_sampling_does_not_affect_training(data: CharText, fit: Callable[..., Trainer], tmp_path: Path) -> None:
    plain, sampled = model(), model()
    torch.manual_seed(1)
    fit(plain, data, max_epochs=2)
    torch.manual_seed(1)
    fit(sampled, data, max_epochs=2, callbacks=[TextSamples(tmp_path)])
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), sampled.parameters(), strict=True))


def test_a_resumed_run_keeps_its_earlier_samples(tmp_path: Path) -> None:
    before, after = TextSamples(tmp_path), TextSamples(tmp_path)
    before.rows = [(5, "ab", "cd")]
    after.load_state_dict(before.state_dict())
    assert after.rows == before.rows


def test_nothing_is_written_outside_of_training_or_without_a_decoder(
    data: CharText, fit: Callable[..., Trainer], tmp_path: Path
) -> None:
    samples, system = TextSamples(tmp_path / "none"), model()
    trainer = fit(system, data, max_epochs=1, limit_val_batches=0, callbacks=[samples])
    trainer.validate(system, data, verbose=False)
    fit(model(), None, data.train_dataloader(), data.val_dataloader(), callbacks=[samples])  # without a datamodule to decode
    fit(model(), data, fast_dev_run=True, callbacks=[samples])
    assert not samples.rows
    assert not (tmp_path / "none").exists()
