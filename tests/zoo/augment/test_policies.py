"""RandAugment and TrivialAugment against torchvision: every operation at every strength, exactly."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from zoo.augment.policies import NUM_BINS, OPERATIONS, RandAugment, TrivialAugment

POLICIES = {
    "rand_augment": (lambda height, width: RandAugment(height, width, num_ops=2, magnitude=9), v2.RandAugment()),
    "trivial_augment": (TrivialAugment, v2.TrivialAugmentWide()),
}


def images(num: int, *shape: int) -> Tensor:
    """Half of them noise, half of them smooth, one of them black."""
    x = torch.randint(0, 256, (num, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x[: num // 2] = torch.nn.functional.avg_pool2d(x[: num // 2].float(), 5, 1, 2).to(torch.uint8)
    x[0] = 0
    return x


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 18, 25)])
def test_every_operation_equals_torchvisions_at_every_strength(name: str, shape: tuple[int, int, int]) -> None:
    build, theirs = POLICIES[name]
    ours = build(*shape[1:])
    assert set(OPERATIONS) == set(theirs._AUGMENTATION_SPACE)
    x, level = images(2 * NUM_BINS, *shape), torch.arange(2 * NUM_BINS)
    for number, operation in enumerate(OPERATIONS):
        strengths, signed = theirs._AUGMENTATION_SPACE[operation]
        values = strengths(NUM_BINS, *shape[1:])
        expected = []
        for image, place in zip(x, level.tolist(), strict=True):
            value = 0.0 if values is None else float(values[place // 2]) * (-1 if signed and place % 2 else 1)
            expected.append(theirs._apply_image_or_video_transform(image, operation, value, theirs.interpolation, theirs._fill))
        assert torch.equal(ours.apply(x, torch.full_like(level, number), level), torch.stack(expected)), operation


def test_a_batch_of_different_operations_is_the_images_one_by_one() -> None:
    policy, x = TrivialAugment(8, 8), images(200, 3, 8, 8)
    draws = torch.rand(200, policy.num_draws)
    one_by_one = torch.cat([policy(x[i : i + 1], draws[i : i + 1]) for i in range(200)])
    assert torch.equal(policy(x, draws), one_by_one)
    assert (one_by_one != x).flatten(1).any(1).float().mean() > 0.7


def test_rand_augment_applies_its_operations_in_turn() -> None:
    x, policy = images(50, 3, 8, 8), RandAugment(8, 8, num_ops=3, magnitude=20)
    draws = torch.rand(50, policy.num_draws)
    turn = x
    for first in (0, 2, 4):
        operation, sign = (draws[:, first] * len(OPERATIONS)).long(), (draws[:, first + 1] * 2).long()
        turn = policy.apply(turn, operation, 40 + sign)
    assert torch.equal(policy(x, draws), turn)


def test_operations_and_strengths_are_equally_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, chosen = TrivialAugment(8, 8), []
    monkeypatch.setattr(policy, "apply", lambda x, operation, level: chosen.append((operation, level)))
    policy(images(100_000, 1, 2, 2), torch.rand(100_000, 2))
    for drawn, num in zip(chosen[0], (len(OPERATIONS), 2 * NUM_BINS), strict=True):
        counts = drawn.bincount(minlength=num)
        assert len(counts) == num
        assert ((counts - 1e5 / num).abs() < 5 * (1e5 / num) ** 0.5).all()
