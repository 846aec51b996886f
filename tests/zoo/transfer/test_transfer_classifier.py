"""Strategies on a small residual network, and on networks with real weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from datamodules import Digits
from zoo import Autoencoder, CIFARResNetClassifier, RNNClassifier, TransferClassifier
from zoo.cli.main import main
from zoo.errors import ZooError
from zoo.training.checkpoint import load_system, read_checkpoint

SOURCE = {"class_path": "zoo.CIFARResNetClassifier", "init_args": {"depth": 8, "width": 4}}


def system(**arguments: Any) -> TransferClassifier:
    given = {"input_shape": (1, 8, 8), "num_classes": 10, "backbone": SOURCE, "weights": None, "strategy": "full"}
    return TransferClassifier(**{**given, **arguments})


def moved(before: dict[str, Tensor], net: torch.nn.Module) -> set[str]:
    """Return the modules whose parameters or buffers differ."""
    return {
        name.split(".")[-2] if "head" in name else name.split(".")[1]
        for name, value in net.state_dict().items()
        if not torch.equal(value, before[name])
    }


def copied(net: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


class Recorder(Callback):
    """Records what trains in each epoch, and the learning rates at its first step."""

    def __init__(self) -> None:
        self.trained: list[set[str]] = []
        self.rates: list[list[float]] = []
        self.in_evaluation: list[bool] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            net: Any = pl_module.get_submodule("net")
            self.trained.append(
                {group.name for group in pl_module.groups if dict(net.named_parameters())[group.parameters[0]].requires_grad}
            )  # type: ignore[union-attr]
            self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])
            self.in_evaluation.append(not net.backbone.bn1.training)


def test_gradual_unfreezing_goes_down_one_group_an_epoch(fit: Callable[..., Trainer], digits: Digits) -> None:
    recorder = Recorder()
    fit(system(strategy="gradual", optim={"schedule": "constant"}), digits, max_epochs=6, callbacks=[recorder])
    order = ["head", "layer3", "layer2", "layer1", "conv1"]
    assert recorder.trained == [set(order[:num]) for num in (1, 2, 3, 4, 5, 5)]
    assert recorder.in_evaluation == [True] * 4 + [False] * 2


def test_frozen_layers_keep_weights_and_statistics(fit: Callable[..., Trainer], digits: Digits) -> None:
    transfer = system(strategy="feature_extraction", cache_features=False, optim={"weight_decay": 0.1})
    before = copied(transfer.net)
    fit(transfer, digits)
    assert moved(before, transfer.net) == {"head"}


def test_a_linear_probe_comes_before_fine_tuning(fit: Callable[..., Trainer], digits: Digits) -> None:
    recorder = Recorder()
    fit(system(strategy="lp_ft", probe_epochs=2), digits, max_epochs=3, callbacks=[recorder])
    assert recorder.trained == [{"head"}, {"head"}, {"conv1", "layer1", "layer2", "layer3", "head"}]


def test_learning_rates_fall_with_depth(fit: Callable[..., Trainer], digits: Digits) -> None:
    """Each rate has a group of weights and one of norms and biases; the schedule scales all alike."""
    recorder = Recorder()
    transfer = system(strategy="discriminative", lr_decay=0.5, lr=0.1, optim={"schedule": "cosine"})
    trainer = fit(transfer, digits, max_epochs=2, callbacks=[recorder])
    start, later = recorder.rates
    assert sorted(set(start)) == pytest.approx([0.1 * 0.5**depth for depth in (4, 3, 2, 1, 0)])
    assert [b / a for a, b in zip(start, later, strict=True)] == pytest.approx([later[0] / start[0]] * len(start))
    held = [parameter for group in trainer.optimizers[0].param_groups for parameter in group["params"]]
    assert len(held) == len(set(held)) == len(list(transfer.net.parameters()))


def test_auto_chooses_by_the_number_of_training_images(fit: Callable[..., Trainer], digits: Digits) -> None:
    transfer = system(strategy="auto")  # 1,295 images
    fit(transfer, digits)
    assert transfer.strategy == "discriminative"


def test_l2_sp_holds_the_backbone_near_its_start(fit: Callable[..., Trainer], digits: Digits) -> None:
    def distance(l2_sp: float) -> Tensor:
        torch.manual_seed(0)
        transfer = system(l2_sp=l2_sp, lr_decay=1.0, lr=0.01)
        before = copied(transfer.net)
        fit(transfer, digits, max_epochs=2)
        after = transfer.net.state_dict()
        return torch.stack([(after[name] - before[name]).norm() for name in before if "conv" in name]).norm()

    free, held = distance(0.0), distance(10.0)
    assert held < 0.5 * free


def test_a_fit_on_features_is_a_fit_with_a_frozen_backbone(fit: Callable[..., Trainer], digits: Digits) -> None:
    """The images have no augmentation, so that both fits see the same."""

    def head(cache: bool) -> tuple[Tensor, Any]:
        torch.manual_seed(0)
        transfer = system(strategy="feature_extraction", cache_features=cache, lr=0.01)
        trainer = fit(transfer, Digits(batch_size=100), max_epochs=3)
        return transfer.net.head.weight.detach(), trainer.validate(transfer, datamodule=Digits(), verbose=False)

    (slow, its), (fast, ours) = head(cache=False), head(cache=True)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-6)
    assert ours[0]["val/acc"] == its[0]["val/acc"]


@pytest.mark.parametrize("strategy", ["gradual", "lp_ft", "feature_extraction"])
def test_a_run_stopped_while_unfreezing_goes_on_bit_for_bit(tmp_path: Path, strategy: str) -> None:
    """Weights, BatchNorm statistics, momenta and learning rates equal those of the uninterrupted run."""
    model = {"class_path": "zoo.TransferClassifier", "init_args": {"backbone": SOURCE, "weights": None, "l2_sp": 0.01}}
    recipe = {
        "model": model,
        "data": {"class_path": "datamodules.Digits", "init_args": {"batch_size": 432}},  # three steps an epoch
        "trainer": {"max_epochs": 5, "precision": "32-true", "accelerator": "cpu"},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run = tmp_path / "run"
    settings = ["--model.strategy", strategy, "--checkpoint_every_n_steps", "4"]
    assert main(["fit", "-c", str(tmp_path / "recipe.yaml"), "--run_dir", str(run), *settings]) == 0
    last = run / "checkpoints" / "last.ckpt"
    whole = read_checkpoint(last)
    for step in (4, 8):  # within an epoch
        assert main(["fit", "--resume", str(run / "checkpoints" / f"step={step}.ckpt")]) == 0
        resumed = read_checkpoint(last)
        assert all(torch.equal(value, whole["state_dict"][name]) for name, value in resumed["state_dict"].items())
        (was,), (now,) = whole["optimizer_states"], resumed["optimizer_states"]
        assert now["param_groups"] == was["param_groups"]
        assert now["state"].keys() == was["state"].keys()
        for parameter, state in was["state"].items():
            assert all(
                torch.equal(torch.as_tensor(now["state"][parameter][name]), torch.as_tensor(value))
                for name, value in state.items()
            )
        assert (run / "pictures" / "layer_rates.csv").read_text().count("head") == 5


def test_the_backbone_of_a_checkpoint_is_used_without_its_last_layer(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = CIFARResNetClassifier(input_shape=(1, 8, 8), num_classes=10, depth=8, width=4)
    path = tmp_path / "source.ckpt"
    torch.save(
        {
            "state_dict": source.state_dict(),
            "class_path": "zoo.CIFARResNetClassifier",
            "hyper_parameters": dict(source.hparams),
        },
        path,
    )
    transfer = system(backbone=None, weights=str(path), num_classes=3)
    for name, value in transfer.net.backbone.state_dict().items():
        assert torch.equal(value, source.net.state_dict()[name])
    assert transfer.net.head.weight.shape == (3, 16)
    assert transfer(torch.zeros(2, 1, 8, 8)).shape == (2, 3)

    saved = tmp_path / "transfer.ckpt"
    torch.save(
        {
            "state_dict": transfer.state_dict(),
            "class_path": "zoo.TransferClassifier",
            "hyper_parameters": dict(transfer.hparams),
        },
        saved,
    )
    path.unlink()  # a checkpoint of the new system does not need its source
    again = load_system(saved)
    assert torch.equal(again(x := torch.randn(2, 1, 8, 8)), transfer.eval()(x))


def test_the_encoder_of_an_autoencoder_is_a_backbone(fit: Callable[..., Trainer], digits: Digits) -> None:
    source = {"class_path": "zoo.Autoencoder", "init_args": {"widths": [16], "latent_dim": 5}}
    transfer = system(backbone=source)
    assert transfer.net.head.weight.shape == (10, 5)
    assert not any("decoder" in name for name in transfer.state_dict())
    fit(transfer, digits)
    assert [group.name for group in transfer.groups][-1] == "head"
    assert Autoencoder is not None


def test_a_text_encoder_is_a_backbone(fit: Callable[..., Trainer], texts: Any) -> None:
    data = texts()
    source = {"class_path": "zoo.RNNClassifier", "init_args": {"embed_dim": 4, "hidden_dim": 6, "pooling": "concat"}}
    transfer = TransferClassifier(
        input_shape=data.input_shape,
        num_classes=2,
        vocab_size=data.vocab_size,
        backbone=source,
        weights=None,
        strategy="gradual",
    )
    fit(transfer, data, max_epochs=2)
    assert [group.name for group in transfer.groups] == ["embedding", "recurrent", "head"]
    tokens, lengths = transfer.example_inputs(3)
    assert transfer(tokens, lengths).shape == (3, 2)
    assert RNNClassifier is not None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"l2_sp": -1.0}, "l2_sp must be 0 or more, got -1.0"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"strategy": "half"}, "unknown strategy 'half'"),
        ({"backbone": None}, "which network"),
        ({"backbone": "resnet5"}, "no backbone 'resnet5' in timm or torchvision: did you mean"),
        ({"backbone": "resnet18", "weights": "offline", "input_shape": (3, 64, 64)}, "no offline weights for resnet18"),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ZooError, match=message):
        system(**wrong)
