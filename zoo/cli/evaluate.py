"""`zoo validate`, `zoo test` and `zoo predict`: run a checkpoint on a split of its data."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datamodules.core.base import DataModule
from zoo.augment.test_time import describe_views
from zoo.cli.configuration import Configuration, say
from zoo.cli.context import Context, Request, choose_directory, open_run
from zoo.cli.settings import read_settings
from zoo.errors import UsageError
from zoo.public import current_name
from zoo.tasks.classification.view_averaging import ViewAveraging
from zoo.training.checkpoint import read_checkpoint, state_of_data
from zoo.training.run_dir import read_run, run_of

_COMPARED = ("class_path", "hyper_parameters", "data")  # the parts of a checkpoint that describe its model and data
_FREE = ("batch_size", "num_workers", "seed")  # data settings that change neither the test samples nor how they are prepared


def evaluate(request: Request) -> int:
    """Score a checkpoint on the validation or the test split; returns the exit code."""
    with _open_checkpoint(request) as context:
        score = context.trainer.validate if request.command == "validate" else context.trainer.test
        scores = score(context.model, datamodule=context.data, ckpt_path=request.ckpt_path, weights_only=True, verbose=False)
        for name, value in [item for of_loader in scores for item in of_loader.items()]:
            say(f"{name:<12} {value:.4f}")
        _print_views(context)
        if isinstance(context.data, DataModule) and context.data.splits.keys() == {"test"}:
            _print_new(context.data)
        if request.command == "test":
            _print_table(context)
    return context.exit_code


def predict(request: Request) -> int:
    """Write the predictions for the test split; returns the exit code."""
    with _open_checkpoint(request) as context:
        context.trainer.predict(
            context.model, datamodule=context.data, ckpt_path=request.ckpt_path, weights_only=True, return_predictions=False
        )
        _print_views(context)
        _print_table(context)
    return context.exit_code


@contextmanager
def _open_checkpoint(request: Request) -> Iterator[Context]:
    """Build data, model and trainer, and open the run of the checkpoint, or a new directory if it has none."""
    path = request.ckpt_path
    checkpoint = None if path is None else read_checkpoint(path)
    # Lightning reads the file again. Keep only this part, so that the weights are not in memory twice.
    recorded = None if checkpoint is None else {name: checkpoint[name] for name in _COMPARED if name in checkpoint}
    state = {} if checkpoint is None else state_of_data(checkpoint)
    del checkpoint
    configuration = Configuration(request.configs, request.overrides)
    data = configuration.build_data()
    if recorded and isinstance(data, DataModule):
        data.adopt(recorded.get("data", {}))  # Lightning restores the state of a datamodule of the same class only.
        data.recognise(state.get(type(data).__qualname__, {}))
    configuration.build_model(recorded, path or "")
    # `pretrained` does not count as weights, because its last layer is new.
    if path is None and configuration.config.model.init_args.get("weights") is None:
        raise UsageError(f"{request.command} needs --ckpt_path: the model of {request.configs[0]} has no weights of its own")
    recipe = read_run(request.configs[0].parent).get("recipe", request.configs[0].stem)
    # Results with test-time augmentation must not replace those of the run.
    folder = request.run_dir or (None if path is None or request.tta else _own_run(path, configuration))
    with open_run(request, configuration, recipe, request.command, choose_directory(folder, recipe)) as context:
        if not (context.run.folder / "config.yaml").exists():
            context.save_config()
        if request.tta is not None:
            context.add_callback(ViewAveraging(request.tta))
        if request.tta is not None or "tta" in context.run.record():
            context.run.note(tta=request.tta)
        context.start_tracking()
        yield context


def _own_run(checkpoint: Path, configuration: Configuration) -> Path | None:
    """Return the run of the checkpoint if results belong there: it has the same data and tested this checkpoint.

    Results for other data or for another checkpoint must not replace those of the run.
    """
    run = run_of(checkpoint.resolve())
    if run is None or (checkpoint.stem != "best" and checkpoint.with_name("best.ckpt").is_file()):
        return None
    before, now = read_settings(run / "config.yaml").get("data", {}), configuration.config.data
    settings = {name: value for name, value in (before.get("init_args") or {}).items() if name not in _FREE}
    same = all(value == now.init_args.get(name, value) for name, value in settings.items())
    return run if same and before.get("class_path") == current_name(now.class_path) else None


def _print_new(data: DataModule) -> None:
    samples = data.splits["test"]
    seen = f"; at least {found} of them equal training samples" if (found := data.num_seen(samples)) else ""
    say(f"all {len(samples.rows):,} samples were tested, because the model was trained on others{seen}")


def _print_views(context: Context) -> None:
    if context.request.tta is not None:
        say(f"{'views':<12} {describe_views(context.request.tta)}")


def _print_table(context: Context) -> None:
    """Print the path of the predictions table. There is none if the predictions are images."""
    table = context.run.folder / "predictions" / f"{context.request.command}.csv"
    if table.exists():
        say(f"predictions  {table}")
