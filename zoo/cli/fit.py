"""`zoo fit`: train a recipe or resume a run, then test the best checkpoint."""

from pathlib import Path

from zoo.cli.compare import check_can_continue
from zoo.cli.configuration import Configuration
from zoo.cli.context import Context, Request, choose_directory, open_run
from zoo.errors import MissingFileError, UsageError
from zoo.training.checkpoint import latest_checkpoint, read_checkpoint
from zoo.training.run_dir import RunDirectory, check_holds_no_run, is_first_process, read_run


def fit(request: Request) -> int:
    """Train from scratch; returns the exit code.

    Raises:
        UsageError: if the directory already holds a run.
    """
    configuration = Configuration(request.configs, request.overrides)
    configuration.build_data()
    configuration.build_model()
    recipe = read_run(request.configs[0].parent).get("recipe", request.configs[0].stem)
    directory = choose_directory(request.run_dir, recipe)
    with directory.held():
        if is_first_process():
            check_holds_no_run(directory.path)
        with open_run(request, configuration, recipe, "fit", directory) as context:
            context.describe()
            context.record_command()
            context.save_config()
            context.start_tracking()
            _train(context, None)
    return context.exit_code


def resume(request: Request) -> int:
    """Resume a run from its latest checkpoint, or from a given one; returns the exit code.

    Raises:
        MissingFileError: if there is no run, or no checkpoint in it.
        ZooError: if another process trains the run, the configuration does not fit the checkpoint, or the run cannot be
            extended as requested.
    """
    assert request.resume is not None
    directory = RunDirectory(_run_of(request.resume))
    with directory.held():
        folder = directory.path
        path = request.resume if request.resume.is_file() else latest_checkpoint(folder)
        checkpoint = read_checkpoint(path)
        configuration = Configuration([folder / "config.yaml", *request.configs], request.overrides)
        configuration.build_data()
        configuration.build_model(checkpoint, path)
        record, config = read_run(folder), configuration.config
        check_can_continue(checkpoint, path, config.trainer, finished="results" in record, ema=config.ema)
        # Lightning reads the file again. Free this copy, so that the weights are not in memory twice.
        del checkpoint
        recipe = record.get("recipe", folder.parent.name)
        with open_run(request, configuration, recipe, "resume", directory) as context:
            context.describe()
            context.record_command()
            context.save_config_when_training_starts()
            context.start_tracking()
            _train(context, path)
    return context.exit_code


def _train(context: Context, checkpoint: Path | None) -> None:
    context.configuration.prepare_networks()
    context.trainer.fit(context.model, datamodule=context.data, ckpt_path=checkpoint, weights_only=True)
    context.run.finish(context.trainer, context.model)


def _run_of(path: Path) -> Path:
    """Return the run directory that `--resume` refers to."""
    folder = path.resolve().parent.parent if path.is_file() else path
    if not (folder / "config.yaml").is_file():
        raise MissingFileError(f"{folder} is not a run directory: it has no config.yaml")
    if path.suffix == ".safetensors":
        raise UsageError(f"{path} holds a model, but no optimizer state to continue from: use --resume {folder}")
    return folder
