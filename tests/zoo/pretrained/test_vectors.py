"""Word vectors from a file replace the embeddings of the words in it, before training, and are frozen on request."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from datamodules import Adding, TextFile
from zoo.pretrained.vectors import PretrainedVectors, read_vectors
from zoo.rnn.rnn import RNNClassifier, RNNRegressor
from zoo.training.checkpoint import AtomicCheckpointIO

Fit = Callable[..., Trainer]

GLOVE = """\
film 1.5 -2 0.25
unheard 9 9 9
. . . 7 7 7
great -1e-2 0 3
at name@domain.com 8 8 8
the 4 5 6
"""
FOUND = {"film": [1.5, -2, 0.25], "great": [-0.01, 0, 3], "the": [4, 5, 6]}


class Snapshot(Callback):
    """Keeps the embedding before the first step."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.weight = pl_module.net.embedding.weight.detach().clone()  # type: ignore[union-attr, operator]  # any net


@pytest.fixture
def data(tmp_path: Path) -> TextFile:
    path = tmp_path / "notes.csv"
    path.write_text(
        "text,label\n" + "".join(f"at the {['dull', 'great'][i % 2]} film {'. ' * (i + 1)},{i % 2}\n" for i in range(40))
    )
    return TextFile(str(path), batch_size=8, val_fraction=0.2)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def run(content: str) -> str:
        (tmp_path / "vectors.txt").write_text(content)
        return str(tmp_path / "vectors.txt")

    return run


def small(**arguments: Any) -> RNNClassifier:
    """Build a model that always has the same initial weights."""
    torch.manual_seed(0)
    return RNNClassifier((64,), 2, vocab_size=10_000, embed_dim=3, hidden_dim=4, lr=0.1, **arguments)


def started(fit: Fit, data: TextFile, **arguments: Any) -> torch.Tensor:
    """Return the embedding at the start of training."""
    snapshot = Snapshot()
    fit(small(), data, callbacks=[PretrainedVectors(**arguments), snapshot], max_steps=1)
    return snapshot.weight


@pytest.mark.parametrize("content", [GLOVE, "6 3\n" + GLOVE.replace("\n", " \n")], ids=["GloVe", "word2vec"])
def test_rows_of_known_words_are_replaced_and_no_others(
    fit: Fit, data: TextFile, write: Callable[[str], str], content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weight = started(fit, data, path=write(content))
    assert data.tokenizer is not None
    vocabulary = data.tokenizer.get_vocab()
    assert vocabulary.keys() == {"[PAD]", "[UNK]", "at", "the", "dull", "great", "film", "."}
    expected = small().net.embedding.weight.detach().clone()
    for word, values in FOUND.items():
        expected[vocabulary[word]] = torch.tensor(values, dtype=torch.float32)
    assert torch.equal(weight, expected)
    assert not weight[0].any()
    assert "vectors.txt has 3 of the 8 tokens" in capsys.readouterr().out.splitlines()


def test_padding_stays_zero_even_if_the_file_has_a_vector_for_it(fit: Fit, data: TextFile, write: Callable[[str], str]) -> None:
    weight = started(fit, data, path=write("film 1 1 1\n[PAD] 5 5 5\n[UNK] 6 6 6\n"))
    assert weight[0].tolist() == [0, 0, 0]
    assert weight[1].tolist() == [6, 6, 6]  # the vector of the unknown token is used


@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_vectors_do_not_change_in_training(fit: Fit, data: TextFile, write: Callable[[str], str], freeze: bool) -> None:
    model, snapshot = small(optim={"name": "adamw", "weight_decay": 0.5}), Snapshot()
    before = model.net.head.weight.detach().clone()
    trainer = fit(model, data, callbacks=[PretrainedVectors(write(GLOVE), freeze=freeze), snapshot])
    assert trainer.global_step > 2
    after = model.net.embedding.weight.detach()
    assert torch.equal(after, snapshot.weight) == freeze
    assert after[data.tokenizer.get_vocab()["film"]].tolist() == FOUND["film"] or not freeze
    assert not torch.equal(model.net.head.weight, before)
    assert not after[0].any()


def test_a_frozen_embedding_is_not_in_the_optimizer(fit: Fit, data: TextFile, write: Callable[[str], str]) -> None:
    """It is frozen before the optimizer is built, and before DDP registers the gradients that it waits for."""
    model = small()
    trainer = fit(model, data, callbacks=[PretrainedVectors(write(GLOVE), freeze=True)], max_steps=1)
    trained = {id(parameter) for group in trainer.optimizers[0].param_groups for parameter in group["params"]}
    assert trained == {id(parameter) for name, parameter in model.named_parameters() if "embedding" not in name}


@pytest.mark.parametrize("freeze", [True, False])
def test_a_resumed_run_keeps_its_own_embedding(
    fit: Fit, data: TextFile, write: Callable[[str], str], tmp_path: Path, freeze: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "last.ckpt"
    callbacks = [PretrainedVectors(write(GLOVE), freeze=freeze)]
    model = small()
    fit(model, data, callbacks=callbacks, plugins=[AtomicCheckpointIO()]).save_checkpoint(path)
    own = model.net.embedding.weight.detach().clone()
    assert torch.equal(own[data.tokenizer.get_vocab()["film"]], torch.tensor(FOUND["film"])) == freeze
    other = [PretrainedVectors(write("film 0 0 0\nthe 0 0 0\n"), freeze=freeze), snapshot := Snapshot()]
    again = TextFile(data.source, batch_size=8, val_fraction=0.2)
    settings = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False, "max_epochs": 2}
    trainer = Trainer(**settings, enable_checkpointing=False, enable_model_summary=False, callbacks=other)
    trainer.fit(resumed := small(), again, ckpt_path=path, weights_only=True)
    assert torch.equal(snapshot.weight, own)
    assert capsys.readouterr().out.count("vectors.txt has ") == 1  # the file was not read
    assert torch.equal(resumed.net.embedding.weight, own) == freeze


def test_evaluation_replaces_nothing(fit: Fit, data: TextFile, write: Callable[[str], str]) -> None:
    model, callback = small(), PretrainedVectors(write(GLOVE), freeze=True)
    trainer = fit(small(), data, max_steps=1)
    trainer.callbacks.append(callback)  # type: ignore[attr-defined]  # Lightning sets it late
    before = model.net.embedding.weight.detach().clone()
    for evaluate in (trainer.validate, trainer.test):
        evaluate(model, datamodule=data, verbose=False)
    assert torch.equal(model.net.embedding.weight, before)
    assert model.net.embedding.weight.requires_grad


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("film 1 2\n", r"line 1 of .*vectors\.txt has 2 values, but model\.embed_dim is 3"),
        ("unheard 1 2 3 4\n", r"line 1 of .*vectors\.txt has 4 values, but model\.embed_dim is 3"),
        ("film 1 2 3\nthe 1 2\n", r"line 2 of .*vectors\.txt has 2 values, but model\.embed_dim is 3"),
        ("film 1 2 3\nthe 1 2 3 4\n", r"line 2 of .*vectors\.txt has 4 values"),
        ("film 1 2 3\n\nthe\n", r"line 3 of .*vectors\.txt has 0 values"),
        ("2 300\nunheard 1 2\nthe 1 2\n", r"line 3 of .*vectors\.txt has 2 values, but model\.embed_dim is 3"),
        ("film 1 2 3\nthe 1 two 3\n", r"line 2 of .*vectors\.txt is not a word vector: .*'two'"),
        ("", r"vectors\.txt has no vector for any of the data's 2 tokens"),
        ("2 3\nunheard 1 2 3\n. . 1 2 3\n", r"vectors\.txt has no vector for any of the data's 2 tokens"),
    ],
)
def test_an_invalid_line_is_named(write: Callable[[str], str], content: str, message: str) -> None:
    path = Path(write(content))
    with pytest.raises(ValueError, match=message):
        read_vectors(path, {"film", "the"}, dim=3)


def test_words_with_spaces_or_invalid_bytes_are_skipped(tmp_path: Path) -> None:
    """GloVe 840B has such lines, and their first parts "at" and "." are in many vocabularies."""
    path = tmp_path / "vectors.txt"
    path.write_bytes(GLOVE.encode() + b"caf\xe9 1 1 1\n\xc2\xa0 2 2 2\nat 3 3 3\n")
    found = read_vectors(path, {"at", ".", "the", "caf\ufffd"}, dim=3)
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "the": [4, 5, 6],
        "caf\ufffd": [1, 1, 1],
        "at": [3, 3, 3],
    }


def test_a_system_without_tokens_is_refused(fit: Fit, write: Callable[[str], str]) -> None:
    model = RNNRegressor((20, 2), 1, hidden_dim=4)
    with pytest.raises(ValueError, match=r"word vectors need tokens, but RNNRegressor or its data has none: leave PretrainedV"):
        fit(model, Adding(length=20, num_samples=64, num_test=32, batch_size=16), callbacks=[PretrainedVectors(write(GLOVE))])


def test_data_without_a_tokenizer_is_refused(fit: Fit, texts: Callable[..., Any], write: Callable[[str], str]) -> None:
    made_up = texts()
    model = RNNClassifier(made_up.input_shape, 2, vocab_size=made_up.vocab_size, embed_dim=3, hidden_dim=4)
    with pytest.raises(ValueError, match=r"word vectors need tokens, but RNNClassifier or its data has none: leave Pre"):
        fit(model, made_up, callbacks=[PretrainedVectors(write(GLOVE))])


def test_the_file_of_the_npm_package_holds_the_same_vectors(tmp_path: Path) -> None:
    """Beside a word's values it holds their length and the number of the word. Quotes within a word are escaped."""
    vectors = {word: [*values, 1.5, number] for number, (word, values) in enumerate({**FOUND, '"]': [1, 2, 3]}.items())}
    content = {"precision": 8, "dimensions": 3, "words": list(vectors), "vectors": vectors, "unkVector": [0, 0, 0, 0, -1]}
    path = tmp_path / "wink.json"
    path.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False))
    found = read_vectors(path, {"film", "the", '"]', "absent", "unkVector"}, dim=3)
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "film": FOUND["film"],
        "the": FOUND["the"],
        '"]': [1, 2, 3],
    }
    with pytest.raises(ValueError, match=r"line 1 of .*wink\.json has 3 values, but model\.embed_dim is 4"):
        read_vectors(path, {"film"}, dim=4)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"wink\.json has no key 'vectors': expected the file of the npm package wink-emb"):
        read_vectors(path, {"film"}, dim=3)


def test_a_file_is_found_below_zoo_data(
    fit: Fit, data: TextFile, write: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = started(fit, data, path=write(GLOVE))
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert torch.equal(started(fit, data, path="vectors.txt"), expected)


def test_a_missing_file_is_named(fit: Fit, data: TextFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    message = rf"no file of word vectors {{}} in this directory or under ZOO_DATA \({tmp_path}\): get one from https://nlp\.st"
    for path in (tmp_path / "glove.txt", tmp_path):
        with pytest.raises(FileNotFoundError, match=message.format(path)):
            fit(small(), data, callbacks=[PretrainedVectors(str(path))])
