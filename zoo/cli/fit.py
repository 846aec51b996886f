"""`zoo fit`: train a recipe, or go on with a run, then test the best checkpoint."""

from pathlib import Path

from zoo.cli.compare import check_can_continue
from zoo.cli.configuration import Configuration
from zoo.cli.context import Context
from zoo.cli.request import Request
from zoo.cli.settings import read_settings
from zoo.errors import MissingFileError, UsageError
from zoo.training.checkpoint import latest_checkpoint, read_checkpoint
from zoo.training.run_dir import read_facts


def fit(request: Request) -> int:
    """Train from the start; returns the exit code."""
    configuration = Configuration(request.configs, request.overrides)
    configuration.build_data()
    configuration.build_model()
    recipe = read_facts(request.configs[0].parent).get("recipe", request.configs[0].stem)

    def work(context: Context) -> None:
        context.describe()
        context.note_command()
        context.save_config()
        context.start_tracking()
        _train(context, None)

    return Context(request, configuration, recipe, "fit").execute(work)


def resume(request: Request) -> int:
    """Go on with a run from its latest checkpoint, or from the one that is given; returns the exit code.

    Raises:
        MissingFileError: if there is no run, or no checkpoint in it.
        ZooError: if the configuration no longer fits the checkpoint, or the run cannot be extended as asked.
    """
    assert request.resume is not None
    folder, path = _run_and_checkpoint(request.resume)
    checkpoint = read_checkpoint(path)
    configuration = Configuration([folder / "config.yaml", *request.configs], request.overrides)
    configuration.build_data()
    configuration.build_model(checkpoint, path)
    facts, before = read_facts(folder), read_settings(folder / "config.yaml").get("trainer", {})
    check_can_continue(checkpoint, path, configuration.config.trainer, before, finished="results" in facts)
    del checkpoint  # Lightning reads it again: the weights need not be in memory twice
    recipe = facts.get("recipe", folder.parent.name)

    def work(context: Context) -> None:
        context.describe()
        context.note_command()
        context.save_config_when_training_starts()
        context.start_tracking()
        _train(context, path)

    return Context(request, configuration, recipe, "resume", folder).execute(work)


def _train(context: Context, checkpoint: Path | None) -> None:
    data = context.configuration.datamodule
    context.trainer.fit(context.model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    context.run.finish(context.trainer, context.model)


def _run_and_checkpoint(path: Path) -> tuple[Path, Path]:
    """The run directory and the checkpoint that `--resume` means."""
    folder = path.resolve().parent.parent if path.is_file() else path
    if not (folder / "config.yaml").is_file():
        raise MissingFileError(f"{folder} is no run directory: it has no config.yaml")
    if path.suffix == ".safetensors":
        raise UsageError(f"{path} holds a model, but no optimizer to go on with: --resume {folder}")
    return folder, path if path.is_file() else latest_checkpoint(folder)
