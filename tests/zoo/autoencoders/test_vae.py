"""A VAE's KL, gradient path, units and bounds, and the effect of the settings that weigh the KL."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from datamodules.core.batch import Batch
from zoo.autoencoders.vae import VAE, Posterior
from zoo.metrics.latent import importance_weighted, importance_weighted_bound


def batch_of(x: Tensor) -> Batch:
    return Batch(x, torch.arange(len(x)) % 10, torch.arange(len(x)))


def binary(num: int = 6) -> Tensor:
    return torch.randint(0, 2, (num, 1, 8, 8)).float()


def test_kl_equals_the_distributions_own_and_a_hundred_thousand_draws() -> None:
    posterior = Posterior(torch.randn(5, 3), torch.randn(5, 3))
    oracle = kl_divergence(Normal(posterior.mu, (0.5 * posterior.logvar).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(posterior.kl(), oracle, rtol=1e-5, atol=1e-6)
    z = posterior.sample(100_000)
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)  # type: ignore[no-untyped-call]  # torch's
    torch.testing.assert_close((posterior.log_prob(z) - prior).mean(0), posterior.kl().sum(1), rtol=0.01, atol=0.02)


def test_the_density_is_the_distributions_own() -> None:
    posterior, z = Posterior(torch.randn(5, 3), torch.randn(5, 3)), torch.randn(7, 5, 3)
    oracle = Normal(posterior.mu, (0.5 * posterior.logvar).exp()).log_prob(z).sum(-1)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(posterior.log_prob(z), oracle)


def test_sampling_lets_gradients_through() -> None:
    mu, logvar = torch.zeros(1, 4, requires_grad=True), torch.zeros(1, 4, requires_grad=True)
    z = Posterior(mu, logvar).sample()
    d_mu, d_logvar = torch.autograd.grad(z.sum(), (mu, logvar))
    assert torch.equal(d_mu, torch.ones(1, 4))  # dz/dmu = 1
    torch.testing.assert_close(d_logvar, 0.5 * z)  # dz/dlogvar = sigma * eps / 2, here sigma = 1, mu = 0


def test_the_loss_is_nats_per_image_whatever_the_batch_size() -> None:
    net, x, z = VAE((1, 8, 8), latent_dim=2).net, binary(), torch.randn(6, 2)
    torch.testing.assert_close(net.nll(z, x)[:4], net.nll(z[:4], x[:4]))
    assert net.nll(z, x).mean().item() == pytest.approx(
        64 * 0.693, rel=0.05
    )  # an untrained decoder gives every pixel a probability of about 0.5


def test_warmup_and_beta_weigh_the_kl_alone() -> None:
    model, batch = VAE((1, 8, 8), warmup=0.5, beta=3.0), batch_of(binary())
    for progress, ramp in [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)]:
        loss, terms = model.step(batch, torch.tensor(progress))
        torch.testing.assert_close(loss, terms["nll"] + ramp * 3 * terms["kl"])
        torch.testing.assert_close(terms["negative_elbo"], terms["nll"] + terms["kl"])


def test_free_bits_are_for_nothing_and_no_more_than_that() -> None:
    x = binary()
    given = VAE((1, 8, 8), latent_dim=4, free_bits=100.0)
    loss, terms = given.step(batch_of(x), torch.tensor(1.0))
    torch.testing.assert_close(loss, terms["nll"] + 4 * 100)
    (gradient,) = torch.autograd.grad(loss - terms["nll"], given.net.posterior.weight, allow_unused=True)
    assert gradient is None or not gradient.any()
    with torch.no_grad():
        given.net.posterior.bias[0] = 30.0  # one dimension exceeds its free bits: mu^2 / 2 = 450
    loss, terms = given.step(batch_of(x), torch.tensor(1.0))
    kl = given.net.infer(x).kl().mean(0)
    torch.testing.assert_close(loss, terms["nll"] + kl[0] + 3 * 100)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian", "discretised_logistic"])
def test_the_bound_with_one_sample_is_the_elbo(likelihood: str) -> None:
    """In expectation: E[log p(x, z) - log q(z|x)] = E[log p(x|z)] - KL."""
    model, x = VAE((1, 8, 8), latent_dim=2, likelihood=likelihood).eval(), binary(3)  # type: ignore[arg-type]
    with torch.no_grad():
        weights = model.log_weights(20_000, x)
        posterior = model.net.infer(x)
        z = posterior.sample(20_000)
        nll = torch.stack([model.net.nll(z[:, image], x[image].expand(20_000, 1, 8, 8)).mean() for image in range(3)])
    torch.testing.assert_close(weights.mean(0), -nll - posterior.kl().sum(1), rtol=1e-3, atol=0.02)


def linear_gaussian(**arguments: Any) -> tuple[VAE, Tensor, Tensor]:
    """Return a model whose log p(x) is known, x ~ N(b, W W^T + variance), images, and log p of each."""
    torch.manual_seed(0)
    model = VAE((1, 2, 3), widths=[], latent_dim=2, likelihood="gaussian", variance=0.5, **arguments)
    x = torch.rand(4, 1, 2, 3)
    weight, bias = model.net.decoder[0].weight.double(), model.net.decoder[0].bias.double()  # type: ignore[union-attr, operator]
    with torch.no_grad():
        covariance = weight @ weight.T + 0.5 * torch.eye(6).double()
        truth = torch.distributions.MultivariateNormal(bias, covariance).log_prob(x.flatten(1).double()).float()  # type: ignore[no-untyped-call]
    return model, x, truth


def mean_loss(model: VAE, x: Tensor, num: int = 400) -> float:
    with torch.no_grad():
        return float(torch.stack([model.step(batch_of(x), torch.tensor(1.0))[0] for _ in range(num)]).mean())


def test_more_samples_bound_it_tighter_and_the_truth_is_never_passed() -> None:
    model, x, truth = linear_gaussian()
    with torch.no_grad():
        bounds = [importance_weighted_bound(lambda k: model.log_weights(k, x), k, 2000).mean() for k in (1, 50, 20_000)]
        elbo = torch.stack([model.log_weights(1, x).mean() for _ in range(2000)]).mean()
    assert elbo < bounds[1] < bounds[2]
    assert bounds[2].item() == pytest.approx(truth.mean().item(), abs=0.01)


def test_more_iwae_samples_train_a_tighter_bound() -> None:
    """The loss falls from the negative ELBO to -log p(x), which is known here, and never passes it."""
    _, x, truth = linear_gaussian()
    losses = [mean_loss(linear_gaussian(iwae_samples=k)[0], x) for k in (1, 2, 10, 1000)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] - losses[1] > 0.02
    assert losses[-1] == pytest.approx(-truth.mean().item(), abs=0.01)


def test_one_iwae_sample_is_the_elbo() -> None:
    model, x, _ = linear_gaussian()
    with torch.no_grad():
        bound = torch.stack([importance_weighted(model.log_weights(1, x)).mean() for _ in range(4000)]).mean()
    assert mean_loss(model, x, 4000) == pytest.approx(-bound.item(), abs=0.05)


def test_the_gradient_weighs_each_sample_by_its_share_of_the_likelihood() -> None:
    """Equation 14 of Burda et al.: the gradient is that of sum_k v_k log w_k with v_k = w_k / sum w, held constant."""
    model, x, _ = linear_gaussian(iwae_samples=5)
    torch.manual_seed(1)
    model.step(batch_of(x), torch.tensor(1.0))[0].backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {"net.posterior.weight", "net.decoder.0.weight"} <= set(gradients)
    model.zero_grad()
    torch.manual_seed(1)
    log_weights = model.log_weights(5, x)
    share = log_weights.detach().softmax(0)
    (-(share * log_weights).sum(0).mean()).backward()
    for name, parameter in model.named_parameters():
        if name in gradients:
            torch.testing.assert_close(parameter.grad, gradients[name])


def test_a_conditional_one_trains_the_bound_too() -> None:
    model = VAE((1, 8, 8), num_classes=10, conditional=True, latent_dim=2, iwae_samples=3)
    loss, terms = model.step(batch_of(binary()), torch.tensor(1.0))
    assert loss < terms["conditional_negative_elbo"]
    assert "negative_elbo" not in terms  # it would stand among bounds on log p(x)


def test_each_sample_of_a_conditional_one_is_judged_by_its_own_image_and_class() -> None:
    model, x = VAE((1, 8, 8), num_classes=10, conditional=True, latent_dim=2).eval(), binary(3)
    y = torch.tensor([3, 7, 0])
    with torch.no_grad():
        torch.manual_seed(0)
        weights = model.log_weights(2, x, y)
        torch.manual_seed(0)
        posterior = model.net.infer(x, y)
        z = posterior.sample(2)
        for image in range(3):
            nll = model.net.nll(z[:, image], x[[image, image]], y[[image, image]])
            prior = Normal(0.0, 1.0).log_prob(z[:, image]).sum(1)  # type: ignore[no-untyped-call]
            torch.testing.assert_close(weights[:, image], prior - nll - posterior.log_prob(z)[:, image])


def test_a_small_kl_survives_half_precision() -> None:
    model, x = VAE((1, 8, 8), latent_dim=2), binary(4)
    with torch.no_grad():
        model.net.posterior.weight.zero_()
        model.net.posterior.bias.copy_(torch.tensor([0.03, 0.0, 0.0, 0.0]))
    with torch.autocast("cpu", torch.bfloat16):
        kl = model.net.infer(x).kl()
    torch.testing.assert_close(kl, torch.tensor([[0.03**2 / 2, 0.0]]).expand(4, 2), rtol=0.02, atol=1e-7)


def test_a_conditional_one_is_told_the_class_on_both_sides() -> None:
    model = VAE((1, 8, 8), num_classes=10, conditional=True, latent_dim=2).eval()
    x = binary(2)[:1].expand(2, -1, -1, -1)
    one, other = torch.tensor([3, 3]), torch.tensor([3, 7])
    assert not torch.equal(model.encode(x, other)[0], model.encode(x, other)[1])
    z = torch.zeros(2, 2)
    assert torch.equal(model.decode(z, one)[0], model.decode(z, one)[1])
    assert not torch.equal(model.decode(z, other)[0], model.decode(z, other)[1])
    assert model.sample(20).shape == (20, 1, 8, 8)
    with pytest.raises(ValueError, match="a conditional VAE needs the classes of its images"):
        model.encode(x)


def test_a_learned_variance_is_learned_and_a_given_one_is_not() -> None:
    x = torch.full((8, 1, 8, 8), 0.5)
    for variance, moves in ((None, True), (0.1, False)):
        model = VAE((1, 8, 8), likelihood="gaussian", variance=variance)
        assert model.net.logvar is not None
        before = model.net.logvar.item()  # starts at 0.1; the squared error is about 0.25
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
        for _ in range(5):
            model.step(batch_of(x), torch.tensor(1.0))[0].backward()
            optimizer.step()
        assert (model.net.logvar.item() > before) == moves


def test_a_spatial_code_moves_with_the_image() -> None:
    """Two convolutions halve the image, so that four pixels are one position of the code, away from the borders."""
    arguments: Any = {"architecture": "conv", "widths": [4, 4], "latent_dim": 2 * 8 * 8, "spatial": True}
    model = VAE((3, 32, 32), likelihood="discretised_logistic", noise_block=4, **arguments).eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        code, moved = (model.encode(value).view(2, 2, 8, 8) for value in (x, x.roll(4, 3)))
        torch.testing.assert_close(moved[..., 3:6, 3:6], code[..., 3:6, 2:5])
        image, moved = (model.decode(value.flatten(1)) for value in (code, code.roll(1, 3)))
        torch.testing.assert_close(moved[..., 12:20, 12:20], image[..., 12:20, 8:16])
    assert code.std() > 0
    assert image.std() > 0
    assert model.sample(5).shape == (5, 3, 32, 32)


def test_correlated_noise_is_learned() -> None:
    """Of images whose pixels are equal, one pixel says all."""
    torch.manual_seed(0)
    x = (torch.randint(0, 256, (64, 1, 1, 1)) / 255).expand(64, 1, 4, 4)
    bits = {}
    for block in (None, 4):
        torch.manual_seed(0)
        model = VAE((1, 4, 4), widths=[8], latent_dim=1, likelihood="discretised_logistic", noise_block=block)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(100):
            loss, terms = model.step(batch_of(x), torch.tensor(1.0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        bits[block] = terms["bits_per_dim"].item()
    assert bits[4] < bits[None] - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": None}, "input_shape is not known"),
        ({"latent_dim": 0}, "latent_dim must be at least 1, got 0"),
        ({"likelihood": "poisson"}, "unknown likelihood 'poisson'"),
        ({"variance": 0.0}, "variance must be positive, got 0.0"),
        ({"noise_block": 2}, "noise_block needs the likelihood discretised_logistic, got 2 with bernoulli"),
        ({"likelihood": "discretised_logistic", "noise_block": 3}, "8x8 pixels does not divide into blocks of 3x3"),
        ({"spatial": True}, "a spatial code needs the architecture conv, no hidden layer, and no classes"),
        ({"spatial": True, "architecture": "conv", "hidden": 9}, "a spatial code needs the architecture conv, no hidden layer"),
        ({"spatial": True, "architecture": "conv", "latent_dim": 8}, "has 4x4 positions: latent_dim must be a multiple, got 8"),
        ({"beta": -1.0}, "beta and free_bits must be 0 or more, got -1.0 and 0.0"),
        ({"warmup": 2.0}, r"warmup is a fraction of training, in \[0, 1\], got 2.0"),
        ({"conditional": True}, "num_classes is not known"),
        ({"iwae_samples": 0}, "iwae_samples must be at least 1, got 0"),
        ({"iwae_samples": 5, "beta": 2.0}, "with iwae_samples 5 the loss has no KL term to weight: .* got 2.0, 0.0 and 0.0"),
        ({"iwae_samples": 5, "warmup": 0.5}, "with iwae_samples 5 the loss has no KL term to weight"),
    ],
)
def test_refuses_what_cannot_work(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VAE(**{"input_shape": (1, 8, 8), **arguments})  # type: ignore[arg-type]  # wrong on purpose
