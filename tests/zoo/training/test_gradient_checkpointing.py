"""Gradient checkpointing changes the memory of a step, and nothing else."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import efficientnet_b0, vit_b_16

from datamodules.core.batch import Batch
from zoo.cli.main import main
from zoo.cnn.cifar_resnet import CIFARResNetClassifier
from zoo.cnn.simple_cnn import SimpleCNNClassifier
from zoo.errors import ZooError
from zoo.gans.dcgan import DCGAN
from zoo.training.gradient_checkpointing import _blocks, checkpoint_gradients
from zoo.training.system import System


def saved_bytes(system: System, batch: Batch) -> tuple[Tensor, int]:
    """Return the loss, and the bytes that a forward pass keeps for the backward pass. Each storage counts once."""
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    # The hooks on saved tensors do not see the inputs that checkpointing keeps.
    def count_inputs(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for tensor in inputs:
            count(tensor)

    hooks = [block.register_forward_pre_hook(count_inputs) for block in _blocks(system.net)]
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss, _ = system.step(batch, torch.zeros(()))
    for hook in hooks:
        hook.remove()
    return loss, sum(kept.values())


def resnet_with_dropout() -> CIFARResNetClassifier:
    """A ResNet with dropout in every block, so that a second pass with other masks would change the gradients."""
    system = CIFARResNetClassifier((3, 16, 16), 4, depth=20, width=8)
    for block in _blocks(system.net):
        block.bn2 = nn.Sequential(block.bn2, nn.Dropout(0.3))  # type: ignore[arg-type]
    return system.train()


def test_gradients_statistics_and_names_stay_and_memory_falls() -> None:
    plain = resnet_with_dropout()
    checkpointed = copy.deepcopy(plain)
    assert checkpoint_gradients(checkpointed) == 9
    batch = Batch(torch.randn(64, 3, 16, 16), torch.arange(64) % 4, torch.arange(64))
    kept, drawn = {}, {}
    for name, system in (("plain", plain), ("checkpointed", checkpointed)):
        torch.manual_seed(1)
        loss, kept[name] = saved_bytes(system, batch)
        loss.backward()
        drawn[name] = torch.rand(1)  # from the generator as the step leaves it
    assert kept["checkpointed"] < 0.4 * kept["plain"]
    assert drawn["checkpointed"] == drawn["plain"]
    for (name, a), (other, b) in zip(plain.named_parameters(), checkpointed.named_parameters(), strict=True):
        assert name == other
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-6)
    assert plain.state_dict().keys() == checkpointed.state_dict().keys()
    for (name, a), b in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        assert torch.equal(a, b), name
    assert checkpointed.net.layer1[0].bn1.num_batches_tracked == 1  # type: ignore[index, union-attr]
    again = copy.deepcopy(checkpointed)
    again.step(batch, torch.zeros(()))[0].backward()  # the copy trains its own weights
    assert checkpointed.net.layer1[0].bn1.num_batches_tracked == 1  # type: ignore[index, union-attr]


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (
            SimpleCNNClassifier((1, 8, 8), 10),
            r"but SimpleCNN has only single layers \(AdaptiveAvgPool2d, BatchNorm2d, Conv2d, .*\)",
        ),
        (DCGAN((1, 8, 8), widths=(8,)), "does not fit a DCGAN"),
    ],
    ids=["simple_cnn", "gan"],
)
def test_is_refused_without_blocks(system: System, message: str) -> None:
    with pytest.raises(ZooError, match=f"^gradient_checkpointing .*{message}"):
        checkpoint_gradients(system)


@pytest.mark.parametrize(("build", "num_blocks"), [(efficientnet_b0, 18), (vit_b_16, 12)])
def test_finds_the_blocks_of_other_libraries(build: Callable[[], nn.Module], num_blocks: int) -> None:
    with torch.device("meta"):
        assert len(_blocks(build())) == num_blocks


def test_the_command_line_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run trains with it, and the same settings are refused together with compilation, and for a network without blocks."""
    model = "{class_path: zoo.CIFARResNetClassifier, init_args: {depth: 8, width: 4, optim: {schedule: constant}}}"
    command = ["fit", "-c", "mlp_digits", "--model", model, "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3"]
    assert main([*command, "--gradient_checkpointing", "--run_dir", str(tmp_path / "run")]) == 0
    assert "gradient checkpointing: 3 blocks compute their activations again" in capsys.readouterr().out
    assert main([*command, "--gradient_checkpointing", "--compile", "--run_dir", str(tmp_path / "both")]) == 1
    assert "torch cannot compile networks with gradient_checkpointing: choose one" in capsys.readouterr().err
    assert main(["fit", "-c", "mlp_digits", "--gradient_checkpointing", "--run_dir", str(tmp_path / "mlp")]) == 1
    assert "zoo: gradient_checkpointing needs a network with blocks, such as a ResNet, but MLPNet" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
