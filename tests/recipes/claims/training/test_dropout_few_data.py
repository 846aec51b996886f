"""Networks with and without dropout differ in nothing else."""

import torch

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["dropout_few_data"])


def test_the_control_is_the_same_network_without_dropout() -> None:
    x = torch.randn(4, 1, 8, 8)
    with_dropout, control = (module.build(p, 0, 64, 32) for p in (0.5, 0.0))
    assert torch.equal(with_dropout.eval()(x), control.eval()(x))
    assert torch.equal(control.train()(x), control.eval()(x))
    assert not torch.allclose(with_dropout.train()(x), with_dropout(x))
