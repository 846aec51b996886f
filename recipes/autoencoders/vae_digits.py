"""VAE on Digits as a script. It repeats the run of `zoo fit -c vae_digits` bit for bit.

python recipes/autoencoders/vae_digits.py    twenty seconds on two CPU cores
"""

import argparse
from pathlib import Path

from lightning import Trainer, seed_everything

from datamodules import Digits
from zoo import VAE
from zoo.tasks.reconstruction.likelihood import LikelihoodBound
from zoo.tasks.reconstruction.probe import LinearProbe
from zoo.training.run import Run
from zoo.training.run_dir import new_run_dir


def main(max_epochs: int = 100, seed: int = 0, run_dir: Path | None = None) -> dict[str, float]:
    """Train, test the best checkpoint, and return the test scores."""
    seed_everything(seed)
    data = Digits(batch_size=64, normalize=False, seed=seed)
    model = VAE(
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        architecture="mlp",
        widths=[256],
        latent_dim=8,
        likelihood="gaussian",
        variance=None,
        lr=0.002,
        optim={"name": "adam", "schedule": "cosine"},
    )
    run = Run(run_dir or new_run_dir("vae_digits"), recipe="vae_digits")
    trainer = Trainer(
        max_epochs=max_epochs,
        precision="32-true",
        enable_model_summary=False,
        **run.trainer_arguments(model, own_callbacks=[LikelihoodBound(), LinearProbe()]),
    )
    run.start_tracking(trainer, model, {"model": dict(model.hparams), "data": {"batch_size": 64, "seed": seed}})
    trainer.fit(model, datamodule=data)
    return run.finish(trainer, model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max_epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run_dir", type=Path)
    arguments = parser.parse_args()
    main(arguments.max_epochs, arguments.seed, arguments.run_dir)
