"""The state is carried from chunk to chunk, gradients are not, and sampling depends on its generator only."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from torch import Tensor

from datamodules import CharText
from datamodules.text.char_text import StreamBatch
from zoo.cli.main import main
from zoo.nn.cells import Kind
from zoo.rnn import char_lm
from zoo.rnn.char_lm import CharLM, sample
from zoo.training.checkpoint import read_checkpoint

PROGRESS = torch.tensor(0.5)
VOCAB_SIZE = 12
TEXT = "".join(chr(97 + number * number % 7) for number in range(1500))


def model(kind: Kind = "lstm", num_layers: int = 2, **arguments: Any) -> CharLM:
    torch.manual_seed(0)
    return CharLM((10,), VOCAB_SIZE, kind, embed_dim=8, hidden_dim=16, num_layers=num_layers, **{"lr": 0.1, **arguments})


def text(steps: int = 31, streams: int = 3) -> Tensor:
    return torch.randint(2, VOCAB_SIZE, (streams, steps), generator=torch.Generator().manual_seed(0))


def chunk(tokens: Tensor, low: int, high: int, state: Tensor | None = None, start: bool = False) -> StreamBatch:
    x, y = tokens[:, low:high], tokens[:, low + 1 : high + 1]
    return StreamBatch(x, y, torch.full((len(x),), low), torch.full((len(x),), start), state)


@pytest.fixture
def data(tmp_path: Path) -> CharText:
    (tmp_path / "text.txt").write_text(TEXT)
    return CharText(str(tmp_path / "text.txt"), VOCAB_SIZE, chunk=10, batch_size=4, val_fraction=0.1, test_fraction=0.1)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_carried_from_chunk_to_chunk_is_the_whole_text_at_once(kind: Kind) -> None:
    system, tokens = model(kind), text()
    whole = system.step(chunk(tokens, 0, 30), PROGRESS)[1]
    state: Tensor | None = None
    logits = []
    for low, high in ((0, 10), (10, 13), (13, 30)):
        outputs = system.step(chunk(tokens, low, high, state), PROGRESS)[1]
        logits.append(outputs["logits"])
        state = outputs["state"]
    assert state is not None
    torch.testing.assert_close(torch.cat(logits, dim=1), whole["logits"], rtol=0, atol=1e-6)
    torch.testing.assert_close(state, whole["state"], rtol=0, atol=1e-6)
    assert state.shape == (3, 2 if kind == "lstm" else 1, 2, 16)
    alone = system.step(chunk(tokens, 13, 30), PROGRESS)[1]["logits"]  # the control: without a state the logits differ
    assert (alone - whole["logits"][:, 13:]).abs().max() > 1e-3


def test_gradients_stop_at_the_chunks_start() -> None:
    system, tokens = model(), text(steps=21)
    tokens = torch.cat([tokens[:, :10] % 4 + 2, tokens[:, 10:] % 6 + 6], dim=1)  # tokens 2 to 5 occur in the first chunk only
    state = system.step(chunk(tokens, 0, 10), PROGRESS)[1]["state"]
    assert not state.requires_grad
    system.step(chunk(tokens, 10, 20, state), PROGRESS)[0].backward()
    assert not system.net.embedding.weight.grad[2:6].any()
    assert system.net.embedding.weight.grad[6:].any()

    system.zero_grad()
    logits, _ = system.net(tokens[:, :20])  # the control: the same loss without truncation
    F.cross_entropy(logits[:, 10:].flatten(0, 1), tokens[:, 11:].flatten()).backward()
    assert system.net.embedding.weight.grad[2:6].any()


def test_a_stream_that_begins_carries_nothing() -> None:
    system, tokens = model(), text()
    fresh = system.step(chunk(tokens, 0, 10), PROGRESS)[1]["logits"]
    left = torch.full((3, 2, 2, 16), 0.7)
    batch = chunk(tokens, 0, 10, left)._replace(start=torch.tensor([True, False, True]))
    logits = system.step(batch, PROGRESS)[1]["logits"]
    torch.testing.assert_close(logits[[0, 2]], fresh[[0, 2]], rtol=0, atol=1e-6)
    assert (logits[1] - fresh[1]).abs().max() > 1e-3


def test_a_model_that_knows_nothing_loses_ln_v() -> None:
    system = model()
    torch.nn.init.zeros_(system.net.head.weight)
    torch.nn.init.zeros_(system.net.head.bias)
    loss, outputs = system.step(chunk(text(), 0, 30), PROGRESS)
    assert loss.item() == pytest.approx(math.log(VOCAB_SIZE))
    assert outputs["bits_per_char"].item() == pytest.approx(math.log2(VOCAB_SIZE))
    assert outputs["perplexity"].item() == pytest.approx(VOCAB_SIZE)


def test_training_is_a_plain_loop_over_chunks(data: CharText, fit: Callable[..., Trainer]) -> None:
    """Two epochs, each starting from zeros; validation within them has its own state."""
    optim: Any = {"name": "momentum", "schedule": "constant", "momentum": 0.0}  # plain SGD
    trained, by_hand = model(optim=optim), model(optim=optim)
    fit(trained, data, max_epochs=2, val_check_interval=7, num_sanity_val_steps=1)
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    for _ in range(2):
        state: Tensor | None = None
        for batch in data.train_dataloader():
            logits, state = by_hand.net(batch.x, None if state is None else state.detach())
            optimizer.zero_grad()
            F.cross_entropy(logits.flatten(0, 1), batch.y.flatten()).backward()
            optimizer.step()
    for (name, parameter), expected in zip(trained.named_parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-6, msg=name)


def test_scores_are_those_of_the_whole_text_in_one_go(data: CharText, fit: Callable[..., Trainer]) -> None:
    system = model()
    trainer = fit(system, data, max_epochs=1)
    rows = data.splits["test"].rows
    tokens = data.encode(TEXT).long()
    assert len(data.test_dataloader()) > 2
    (scores,) = trainer.test(system, data, verbose=False)
    with torch.no_grad():
        logits, _ = system.eval().net(tokens[rows][None])
    loss = F.cross_entropy(logits[0], tokens[rows + 1]).item()
    assert scores["test/loss"] == pytest.approx(loss, abs=1e-6)
    assert scores["test/bits_per_char"] == pytest.approx(loss / math.log(2), abs=1e-6)
    assert scores["test/perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert trainer.test(system, data, verbose=False) == [scores]  # the state of the previous pass is dropped


def test_predicts_how_many_bits_each_chunk_takes(data: CharText, fit: Callable[..., Trainer]) -> None:
    system = model()
    trainer = fit(system, data, max_epochs=1)
    chunks = trainer.predict(system, data)
    assert chunks is not None
    (scores,) = trainer.test(system, data, verbose=False)
    sizes = torch.tensor([float(batch.y.numel()) for batch in data.test_dataloader()])
    bits = torch.cat([part["preds"] for part in chunks])
    assert (bits * sizes).sum() / sizes.sum() == pytest.approx(scores["test/bits_per_char"], abs=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 1e-3])
def test_cold_text_is_the_most_likely_one(temperature: float) -> None:
    system, prompt = model(), text(steps=5)
    written = system.generate(prompt, 12, temperature=temperature)
    read = prompt
    for _ in range(12):  # read everything again from the start
        read = torch.cat([read, system(read)[:, -1, 2:].argmax(1, keepdim=True) + 2], dim=1)
    assert torch.equal(written, read[:, 5:])
    assert torch.equal(system.generate(prompt, 12, top_k=1), written)


def test_what_is_written_is_a_function_of_the_generator() -> None:
    system, prompt = model(), text(steps=5)

    def write(seed: int) -> Tensor:
        torch.rand(seed + 1)  # the global generator does not matter
        return system.generate(prompt, 20, generator=torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    assert torch.equal(system.generate(prompt, 20, generator=torch.Generator().manual_seed(1)), write(1))
    torch.set_rng_state(before)
    assert not torch.equal(write(1), write(2))
    system.train().generate(prompt, 3, generator=torch.Generator())
    assert system.net.training


def test_samples_have_the_frequencies_of_the_softmax_at_their_temperature() -> None:
    logits = torch.tensor([[9.0, 9.0, 0.0, 1.0, 2.0, 3.0]])  # padding and unknown are the most likely, but are never drawn
    for temperature, top_k in ((0.7, None), (1.0, None), (2.0, 3)):
        drawn = sample(logits.expand(20_000, -1), temperature, top_k, torch.Generator().manual_seed(0))
        expected = (torch.tensor([0.0, 1.0, 2.0, 3.0]) / temperature).softmax(0)
        if top_k:
            expected[: 4 - top_k] = 0
        expected = torch.cat([torch.zeros(2), expected / expected.sum()])
        torch.testing.assert_close(drawn.bincount(minlength=6) / 20_000, expected, rtol=0, atol=0.012)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -0.1}, "temperature must be 0 or more"),
        ({"top_k": 0}, "top_k at least 1"),
        (
            {"prompt": torch.zeros(1, 0, dtype=torch.long)},
            r"a prompt of shape \(B, P\) with at least one token, got \(1, 0\)",
        ),
        (
            {"prompt": torch.zeros(4, dtype=torch.long)},
            r"a prompt of shape \(B, P\) with at least one token, got \(4,\)",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model().generate(**{"prompt": text(steps=5), "num": 3, **arguments})


def test_tokens_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="found token 40, but vocab_size is 12"):
        model().check_batch(chunk(torch.full((1, 11), 40), 0, 10))


@pytest.mark.parametrize("arguments", [{"input_shape": [3, 4]}, {"input_shape": [0]}, {"vocab_size": 2}, {"hidden_dim": 0}])
def test_sizes_that_make_no_sense_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected input_shape \(T,\)|must be at least"):
        CharLM(**{"input_shape": [10], "vocab_size": 12, **arguments})


def test_each_process_takes_its_own_streams_state_from_a_checkpoint() -> None:
    state = torch.randn(4, 2, 1, 16)
    for rank in range(2):
        system = model()
        system._trainer = SimpleNamespace(world_size=2, global_rank=rank)  # type: ignore[assignment]  # all it reads
        system.on_load_checkpoint({"carried_state": state})
        assert torch.equal(system._carried["train"], state[2 * rank : 2 * rank + 2])


# 27 chunks an epoch: 8 lies within the first, 32 within the second
FIT = ["fit", "-c", "char_lstm_python_manual", "--model.hidden_dim", "16", "--model.optim.warmup_steps", "0"]
FIT += ["--data.chunk", "10", "--data.batch_size", "4", "--trainer.max_epochs", "2", "--trainer.log_every_n_steps", "5"]


def weights(run: Path) -> dict[str, Tensor]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_resumed_within_an_epoch_goes_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.txt").write_text(TEXT[:1220])
    run = tmp_path / "run"
    source = ["--data.source", str(tmp_path / "text.txt"), "--checkpoint_every_n_steps", "8", "--run_dir", str(run)]
    assert main([*FIT, *source]) == 0
    uninterrupted = weights(run)
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 54
    for step in (8, 32):
        (run / "checkpoints" / "last.ckpt").unlink()
        assert main(["fit", "--resume", str(run / "checkpoints" / f"step={step}.ckpt")]) == 0
        assert same(weights(run), uninterrupted), f"resumed at step {step}"

    monkeypatch.setattr(char_lm.CharLM, "on_load_checkpoint", lambda *args: None)  # the control: the state is lost
    (run / "checkpoints" / "last.ckpt").unlink()
    assert main(["fit", "--resume", str(run / "checkpoints" / "step=8.ckpt")]) == 0
    assert not same(weights(run), uninterrupted)
