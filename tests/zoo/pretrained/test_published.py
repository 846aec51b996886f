"""Every published model loads, matches its card, and still has the score that its card states."""

from pathlib import Path

import pytest
import torch
import yaml

import zoo
from zoo.cli.names import WEIGHTS, find_checkpoint, recipe_paths
from zoo.errors import UsageError
from zoo.pretrained.published import load, published
from zoo.training.checkpoint import read_checkpoint
from zoo.training.links import import_class

each = pytest.mark.parametrize("name", published())


def test_published_files_are_small_in_total() -> None:
    assert published()
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 20e6


@each
def test_loads_in_evaluation_mode_without_the_run_or_its_data(name: str) -> None:
    system = zoo.load(name)
    assert not any(module.training for module in system.modules())
    with torch.no_grad():
        logits = system(*system.example_inputs(3))
    assert logits.shape == (3, len(read_checkpoint(find_checkpoint(Path(name)))["data"]["class_names"]))
    assert logits.isfinite().all()


@each
def test_the_card_states_the_facts_in_the_file(name: str) -> None:
    recorded = read_checkpoint(WEIGHTS / f"{name}.safetensors")
    _, front, body = (WEIGHTS / f"{name}.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["name"] == name
    assert f'zoo.load("{name}")' in body
    facts = body.partition("<!-- facts -->")[2].partition("<!-- /facts -->")[0]
    num_params = sum(parameter.numel() for parameter in load(name).parameters())
    for fact in (recorded["class_path"], f"{num_params:,}", recorded["run"]["recipe"], *recorded["data"]["class_names"]):
        assert fact in facts, "run zoo generate"
    for metric, value in recorded["run"]["results"].items():
        assert f"{metric} {value:.4f}" in facts


@each
def test_the_first_test_samples_give_the_stated_score(name: str, mirror: Path) -> None:
    recorded = read_checkpoint(WEIGHTS / f"{name}.safetensors")
    settings = yaml.safe_load(recipe_paths()[recorded["run"]["recipe"]].read_text())
    data = import_class(settings["data"]["class_path"])(**settings["data"]["init_args"])
    assert list(data.class_names) == recorded["data"]["class_names"]
    data.setup("test")
    for fact in ("mean", "std", "tokenizer_json"):  # inputs prepared with the facts in the file equal those of the datamodule
        assert recorded["data"].get(fact) == (list(value) if isinstance(value := getattr(data, fact, None), tuple) else value)
    system, right, seen = load(name), 0, 0
    for batch in data.test_dataloader():
        with torch.no_grad():
            right += int((system(*system.inputs(data.transform(batch, 0, False))).argmax(1) == batch.y).sum())
        seen += len(batch.y)
        if seen >= 1000 and "tokenizer_json" not in recorded["data"]:  # texts come sorted by length
            break
    assert right / seen == pytest.approx(recorded["run"]["results"]["test/acc"], abs=0.02)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=rf"no published weights 'nothing': choose one of {', '.join(published())}$"):
        zoo.load("nothing")


def test_a_card_without_weights_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.pretrained.published._FOLDER", tmp_path)
    (tmp_path / "planned.md").write_text("---\nname: planned\n---\n")
    assert published() == []
    with pytest.raises(ValueError, match="no published weights 'planned'"):
        load("planned")


def test_a_file_of_the_user_takes_precedence_over_a_published_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = Path(published()[0])
    assert find_checkpoint(name) == WEIGHTS / f"{name}.safetensors"
    name.touch()
    assert find_checkpoint(name) == name
    with pytest.raises(UsageError, match=r"no checkpoint lost\.ckpt: there is "):
        find_checkpoint(Path("lost.ckpt"))
