"""`zoo validate`, `zoo test` and `zoo predict`: a checkpoint on a split of its data."""

from collections.abc import Callable

from zoo.cli.configuration import Configuration
from zoo.cli.context import Context, say
from zoo.cli.request import Request
from zoo.errors import UsageError
from zoo.training.checkpoint import read_checkpoint
from zoo.training.run_dir import read_facts, run_of

_COMPARED = ("class_path", "hyper_parameters", "data")  # what a checkpoint says about its model and its data


def evaluate(request: Request) -> int:
    """Score a checkpoint on the validation or the test split; returns the exit code."""

    def work(context: Context) -> None:
        score = context.trainer.validate if request.command == "validate" else context.trainer.test
        data = context.configuration.datamodule
        for scores in score(context.model, datamodule=data, ckpt_path=request.ckpt_path, weights_only=True, verbose=False):
            for name, value in scores.items():
                say(f"{name:<12} {value:.4f}")

    return _with_checkpoint(request, work)


def predict(request: Request) -> int:
    """Write the predictions for the test split; returns the exit code."""

    def work(context: Context) -> None:
        data = context.configuration.datamodule
        context.trainer.predict(
            context.model, datamodule=data, ckpt_path=request.ckpt_path, weights_only=True, return_predictions=False
        )

    return _with_checkpoint(request, work)


def _with_checkpoint(request: Request, work: Callable[[Context], None]) -> int:
    """Build what the request asks for, and do the work with it in the checkpoint's own run, or in a directory of its own."""
    path = request.ckpt_path
    held = None if path is None else read_checkpoint(path)
    # Lightning reads the weights again: they need not be in memory twice
    recorded = None if held is None else {name: held[name] for name in _COMPARED if name in held}
    del held
    configuration = Configuration(request.configs, request.overrides)
    data = configuration.build_data()
    configuration.build_model(recorded, path or "")
    if recorded and (tokenizer := recorded.get("data", {}).get("tokenizer_json")):
        from datamodules.text.base import TextData

        if isinstance(data, TextData):
            data.adopt_tokenizer(tokenizer)  # Lightning restores data of the same class only
    # `pretrained` does not count as weights: its last layer is new
    if path is None and configuration.config.model.init_args.get("weights") is None:
        raise UsageError(f"{request.command} needs --ckpt_path: the model of {request.configs[0]} has no weights of its own")
    recipe = read_facts(request.configs[0].parent).get("recipe", request.configs[0].stem)

    def save_and_work(context: Context) -> None:
        if not (context.run.folder / "config.yaml").exists():
            context.save_config()
        context.start_tracking()
        work(context)
        table = context.run.folder / "predictions" / f"{request.command}.csv"
        if request.command != "validate" and table.exists():  # predictions that are images are drawn instead
            say(f"predictions  {table}")

    folder = None if request.run_dir or path is None else run_of(path)
    return Context(request, configuration, recipe, request.command, folder).execute(save_and_work)
