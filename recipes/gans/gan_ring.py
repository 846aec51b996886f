"""The plain GAN on a ring of Gaussians as a script: the same run as `zoo fit -c gan_ring`, to the bit.

python recipes/gans/gan_ring.py              one minute on two CPU cores
"""

import argparse
from pathlib import Path

from lightning import Trainer, seed_everything

from datamodules import GaussianMixture
from zoo import GAN
from zoo.tasks.generation.sample_scores import PointModes
from zoo.training.run import Run
from zoo.training.run_dir import new_run_dir


def main(max_epochs: int = 18, seed: int = 0, run_dir: Path | None = None) -> dict[str, float]:
    """Train, test the last weights, and return the test's scores."""
    seed_everything(seed)
    data = GaussianMixture(layout="ring", num_modes=8, batch_size=125, seed=seed)
    model = GAN(
        input_shape=data.input_shape,
        latent_dim=2,
        widths=[128, 128],
        lr=0.004,
        optim={"name": "adam", "betas": [0.5, 0.999], "schedule": "cosine"},
        ema=0.99,
        loss="non_saturating",
    )
    run = Run(run_dir or new_run_dir("gan_ring"), recipe="gan_ring")
    trainer = Trainer(
        max_epochs=max_epochs,
        precision="32-true",
        enable_model_summary=False,
        **run.trainer_arguments(model, own_callbacks=[PointModes()]),
    )
    run.start_tracking(trainer, model, {"model": dict(model.hparams), "data": {"batch_size": 125, "seed": seed}})
    trainer.fit(model, datamodule=data)
    return run.finish(trainer, model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max_epochs", type=int, default=18)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run_dir", type=Path)
    arguments = parser.parse_args()
    main(arguments.max_epochs, arguments.seed, arguments.run_dir)
