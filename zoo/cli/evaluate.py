"""`zoo validate`, `zoo test` and `zoo predict`: run a checkpoint on a split of its data."""

from collections.abc import Iterator
from contextlib import contextmanager

from datamodules.core.base import DataModule
from zoo.cli.configuration import Configuration, say
from zoo.cli.context import Context, Request, choose_directory, open_run
from zoo.errors import UsageError
from zoo.training.checkpoint import read_checkpoint
from zoo.training.run_dir import read_run, run_of

_COMPARED = ("class_path", "hyper_parameters", "data")  # the parts of a checkpoint that describe its model and data


def evaluate(request: Request) -> int:
    """Score a checkpoint on the validation or the test split; returns the exit code."""
    with _open_checkpoint(request) as context:
        score = context.trainer.validate if request.command == "validate" else context.trainer.test
        scores = score(context.model, datamodule=context.data, ckpt_path=request.ckpt_path, weights_only=True, verbose=False)
        for name, value in [item for of_loader in scores for item in of_loader.items()]:
            say(f"{name:<12} {value:.4f}")
        if request.command == "test":
            _print_table(context)
    return context.exit_code


def predict(request: Request) -> int:
    """Write the predictions for the test split; returns the exit code."""
    with _open_checkpoint(request) as context:
        context.trainer.predict(
            context.model, datamodule=context.data, ckpt_path=request.ckpt_path, weights_only=True, return_predictions=False
        )
        _print_table(context)
    return context.exit_code


@contextmanager
def _open_checkpoint(request: Request) -> Iterator[Context]:
    """Build data, model and trainer, and open the run of the checkpoint, or a new directory if it has none."""
    path = request.ckpt_path
    checkpoint = None if path is None else read_checkpoint(path)
    # Lightning reads the file again. Keep only this part, so that the weights are not in memory twice.
    recorded = None if checkpoint is None else {name: checkpoint[name] for name in _COMPARED if name in checkpoint}
    del checkpoint
    configuration = Configuration(request.configs, request.overrides)
    data = configuration.build_data()
    configuration.build_model(recorded, path or "")
    if recorded and (tokenizer := recorded.get("data", {}).get("tokenizer_json")) and isinstance(data, DataModule):
        data.adopt_tokenizer(tokenizer)  # Lightning restores the state of a datamodule of the same class only.
    # `pretrained` does not count as weights, because its last layer is new.
    if path is None and configuration.config.model.init_args.get("weights") is None:
        raise UsageError(f"{request.command} needs --ckpt_path: the model of {request.configs[0]} has no weights of its own")
    recipe = read_run(request.configs[0].parent).get("recipe", request.configs[0].stem)
    folder = request.run_dir or (None if path is None else run_of(path))
    with open_run(request, configuration, recipe, request.command, choose_directory(folder, recipe)) as context:
        if not (context.run.folder / "config.yaml").exists():
            context.save_config()
        context.start_tracking()
        yield context


def _print_table(context: Context) -> None:
    """Print the path of the predictions table. There is none if the predictions are images."""
    table = context.run.folder / "predictions" / f"{context.request.command}.csv"
    if table.exists():
        say(f"predictions  {table}")
