"""fit, validate, test and predict: LightningCLI behind the front."""

import os
import re
import shlex
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import wandb
import yaml
from jsonargparse import ArgumentError, Namespace, set_parsing_settings
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint, LambdaCallback, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from zoo.cli.names import overlay_paths, recipe_paths
from zoo.cli.predict import predict_images, predict_texts
from zoo.cli.settings import check_against_checkpoint, check_classes, explain, read_settings
from zoo.errors import MissingFileError, UsageError, ZooError
from zoo.public import current_name
from zoo.training.checkpoint import latest_checkpoint, read_checkpoint
from zoo.training.counting import count_parameters
from zoo.training.initial_weights import without_initial_weights
from zoo.training.links import import_class, resolve_links
from zoo.training.precision import default_precision
from zoo.training.reporting import writes
from zoo.training.run import Run, new_run_dir, write_text
from zoo.training.tracking import Wandb

_IMPORTS = [
    "zoo",
    "datamodules",
    *(f"lightning.pytorch.{part}" for part in ("callbacks", "loggers", "strategies", "profilers", "plugins")),
]


@dataclass(frozen=True)
class Request:
    """What the front understood of the command line."""

    command: Literal["fit", "validate", "test", "predict"]
    configs: list[Path]
    overrides: list[str] = field(default_factory=list)  # as typed: --model.lr 3e-4 ...
    run_dir: Path | None = None
    resume: Path | None = None  # a run directory, or one of its checkpoints
    ckpt_path: Path | None = None
    images: Path | None = None  # predict these
    text: str | None = None  # or these: a file, or - for standard input


def run(request: Request) -> int:
    """Carry out a request; returns the exit code."""
    allow_imports()
    configs, checkpoint = request.configs, request.ckpt_path
    if checkpoint is not None and (request.images is not None or request.text is not None):
        folder = _run_dir(request, checkpoint.stem)
        Run(folder, checkpoint.stem).make_folder()
        if request.text is not None:
            return predict_texts(checkpoint, request.text, folder)
        assert request.images is not None
        return predict_images(checkpoint, request.images, folder)
    if request.resume is not None:
        folder, checkpoint = _resumed(request.resume)
        configs = [folder / "config.yaml", *configs]
        recipe = _facts_of(folder).get("recipe", folder.parent.name)
    else:
        recipe = _facts_of(configs[0].parent).get("recipe", configs[0].stem)
        folder = _run_dir(request, recipe)
        if request.command == "fit" and _is_first_process() and (folder / "config.yaml").exists():
            raise UsageError(f"{folder} holds a run already: go on with --resume {folder}, or choose another --run_dir")
    for path in configs:
        read_settings(path)
    recorded = _without_weights(read_checkpoint(checkpoint)) if checkpoint else None
    cli = ZooCLI([*(f"--config={path}" for path in configs), *request.overrides], recorded, str(checkpoint))
    tokenizer = recorded.get("data", {}).get("tokenizer_json") if recorded and request.command != "fit" else None
    if tokenizer and hasattr(cli.datamodule, "adopt_tokenizer"):  # Lightning restores data of the same class only
        cli.datamodule.adopt_tokenizer(tokenizer)
    starts_from = cli.config.model.init_args.get("weights")  # `pretrained` does not count: its last layer is new
    if request.command != "fit" and checkpoint is None and starts_from is None:
        raise UsageError(f"{request.command} needs --ckpt_path: the model of {configs[0]} has no weights of its own")
    zoo_run = Run(folder, recipe, _session(folder, "resume" if request.resume else request.command), cli.config.get("wandb"))
    zoo_run.make_folder()
    cli.build_trainer(zoo_run)
    trainer, model, data = cli.trainer, cli.model, cli.datamodule
    save_config = partial(_save_config, folder=folder, text=cli.config_text())
    if request.command == "fit":
        describe(model, data, folder)
        commands = [*zoo_run.facts().get("commands", []), _command(request)]
        zoo_run.note(recipe=recipe, commands=commands)
    if request.resume is not None:  # what the checkpoint or the data refuse leaves the run's settings as they are
        trainer.callbacks.append(LambdaCallback(on_train_start=save_config))  # type: ignore[attr-defined]  # set late
    elif request.command == "fit" or not (folder / "config.yaml").exists():
        save_config(trainer)
    zoo_run.start_tracking(trainer, model, cli.plain_config())
    try:
        _execute(request.command, cli, zoo_run, checkpoint)
    except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into an exit
        wandb.finish(exit_code=1)
        _say(f"stopped: go on with zoo fit --resume {folder}" if request.command == "fit" else "stopped")
        return 130
    except BaseException:
        wandb.finish(exit_code=1)
        raise
    wandb.finish()
    return 0


def _execute(command: str, cli: "ZooCLI", zoo_run: Run, checkpoint: Path | None) -> None:
    trainer, model, data = cli.trainer, cli.model, cli.datamodule
    match command:
        case "fit":
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            zoo_run.finish(trainer, model)
        case "validate" | "test":
            evaluate = getattr(trainer, command)
            for scores in evaluate(model, datamodule=data, ckpt_path=checkpoint, weights_only=True, verbose=False):
                for name, value in scores.items():
                    _say(f"{name:<12} {value:.4f}")
        case _:
            trainer.predict(model, datamodule=data, ckpt_path=checkpoint, weights_only=True, return_predictions=False)
    table = zoo_run.folder / "predictions" / f"{command}.csv"
    if command in ("test", "predict") and table.exists():  # answers that are images are drawn
        _say(f"predictions  {table}")


class ZooCLI(LightningCLI):
    """LightningCLI that links data to model without silence, and gives the trainer to the caller.

    After construction `model` and `datamodule` exist; `build_trainer` makes the `trainer`.
    """

    def __init__(self, args: list[str], checkpoint: dict[str, Any] | None = None, checkpoint_path: str = "") -> None:
        self._checkpoint, self._checkpoint_path = checkpoint, checkpoint_path
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
            args=args,
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--checkpoint_every_n_steps", type=int | None, default=None, help="also keep a checkpoint so often")
        parser.add_argument("--wandb", type=Wandb, default={}, help="where the run stands in Weights & Biases")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            raise UsageError(explain(str(error), args, parser)) from error

    def before_instantiate_classes(self) -> None:
        """Fill in what was left open, and refuse what contradicts."""
        config = self.config
        if "seed" in config.data.init_args and config.data.init_args.seed is None:
            config.data.init_args.seed = config.seed_everything
        model_class = import_class(config.model.class_path)
        self.datamodule = import_class(config.data.class_path)(**config.data.init_args.as_dict())
        for name, value in resolve_links(model_class, config.model.init_args, self.datamodule).items():
            config.model.init_args[name] = value
        if config.trainer.precision is None:
            accelerator = config.trainer.accelerator
            config.trainer.precision, reason = default_precision(accelerator if isinstance(accelerator, str) else "auto")
            _say(f"precision {config.trainer.precision}: {reason} (set trainer.precision to choose)")
        if self._checkpoint is not None:
            check_against_checkpoint(model_class, config.model.init_args, self._checkpoint, self._checkpoint_path)
            check_classes(self.datamodule, self._checkpoint, self._checkpoint_path)

    def instantiate_classes(self) -> None:
        """Build the model, whose arguments are plain values, so that its own errors reach the user as they are."""
        model = self.config.model
        with without_initial_weights() if self._checkpoint is not None else nullcontext():
            self.model = import_class(model.class_path)(**model.init_args.as_dict())

    def build_trainer(self, run: Run) -> None:
        """Make the trainer from the recipe's settings and the run's parts."""
        if self.config.trainer.default_root_dir is not None:
            raise ZooError("trainer.default_root_dir is the run directory here: give --run_dir")
        settings = self.parser.instantiate(Namespace(trainer=self.config.trainer)).trainer.as_dict()  # type: ignore[no-untyped-call]
        own = _as_list(settings.pop("callbacks"))
        parts = run.trainer_arguments(self.model, self.config.checkpoint_every_n_steps, own)
        logger: bool | list[Logger] = parts["logger"]
        if settings["logger"] is False:
            logger = False
        elif settings["logger"] not in (None, True):
            logger = [*_as_list(settings["logger"]), parts["logger"][-1]]  # the CSV file stays
        plugins = [*parts["plugins"], *_as_list(settings.pop("plugins"))]
        defaults = [callback for callback in parts["callbacks"] if callback not in own]
        if settings["enable_checkpointing"] is False:
            defaults = [callback for callback in defaults if not isinstance(callback, Checkpoint)]
        if settings["enable_progress_bar"] is False:
            defaults = [callback for callback in defaults if not isinstance(callback, ProgressBar)]
        if settings["enable_model_summary"] is None:
            settings["enable_model_summary"] = False  # `describe` says it in a line
        settings.update(logger=logger, callbacks=[*own, *defaults], plugins=plugins, default_root_dir=parts["default_root_dir"])
        if settings["profiler"] == "simple":
            from lightning.pytorch.profilers import SimpleProfiler

            settings["profiler"] = SimpleProfiler(run.folder, "profile")
        try:
            self.trainer = self.trainer_class(**settings)
        except MisconfigurationException as error:  # a GPU asked for where there is none, settings that exclude each other
            raise ZooError(f"the trainer's settings do not fit this machine, or each other: {error}") from error

    def config_text(self) -> str:
        """The whole resolved configuration as YAML that `-c` reads again."""
        text = self.parser.dump(self.config, skip_unset=False)
        return re.sub(r"(?<=class_path: )\S+", lambda found: current_name(found[0]), text)

    def plain_config(self) -> dict[str, Any]:
        """The same as a nested dict, without what was left at None."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_unset=True))
        config.pop("config", None)
        return config


def allow_imports() -> None:
    """Let configurations name our classes, Lightning's, and those of the packages in `ZOO_IMPORTS`, but nothing else."""
    own = [name for name in os.environ.get("ZOO_IMPORTS", "").split(",") if name]
    if own and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # an installed command does not look there by itself
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*_IMPORTS, *own])


def _as_list(value: Any) -> list[Any]:
    """What the trainer takes as one, as several or as none."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _resumed(path: Path) -> tuple[Path, Path]:
    """The run directory and the checkpoint that `--resume` means."""
    folder = path.resolve().parent.parent if path.is_file() else path
    if not (folder / "config.yaml").is_file():
        raise MissingFileError(f"{folder} is no run directory: it has no config.yaml")
    if path.suffix == ".safetensors":
        raise UsageError(f"{path} holds a model, but no optimizer to go on with: --resume {folder}")
    return folder, path if path.is_file() else latest_checkpoint(folder)


def _run_dir(request: Request, recipe: str) -> Path:
    """Where this run goes; the processes that Lightning starts on this machine learn it from the first one."""
    if request.run_dir is not None:
        return request.run_dir
    if request.command != "fit" and request.ckpt_path and (request.ckpt_path.parent.parent / "config.yaml").is_file():
        return request.ckpt_path.parent.parent  # of the run that the checkpoint belongs to
    if "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        if "ZOO_RUN_DIR" not in os.environ:
            raise UsageError("under torchrun or SLURM every process must know the directory: give --run_dir")
        return Path(os.environ["ZOO_RUN_DIR"])
    folder = new_run_dir(recipe)
    os.environ["ZOO_RUN_DIR"] = str(folder)
    return folder


def _is_first_process() -> bool:
    """Whether this is rank 0, before there is a trainer to ask."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def _without_weights(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a configuration is compared with; the rest need not stay in memory."""
    return {name: value for name, value in checkpoint.items() if name in ("class_path", "hyper_parameters", "data")}


def _session(folder: Path, name: str) -> str:
    """The name under which this command logs in a run's directory: test, test-2, ..."""
    number = 1 + len([path for path in (folder / "logs").glob(f"{name}*") if path.is_dir()])
    return name if number == 1 else f"{name}-{number}"


def _facts_of(folder: Path) -> dict[str, Any]:
    return Run(folder, folder.name).facts()


def _save_config(trainer: Trainer, _: Any = None, *, folder: Path, text: str) -> None:
    if writes(trainer):
        write_text(folder / "config.yaml", text)


def _command(request: Request) -> str:
    """The command line as it can be typed again."""
    known = {path: name for name, path in {**recipe_paths(), **overlay_paths()}.items()}
    words = ["zoo", request.command, *(["--resume", str(request.resume)] if request.resume else [])]
    for path in request.configs:
        words += ["-c", str(known.get(path, path))]
    return shlex.join([*words, *request.overrides])


def describe(model: LightningModule, data: LightningDataModule, folder: Path) -> None:
    """Say in a line what is about to be trained, and where it goes."""
    num_params = count_parameters(model)
    _say(f"{type(model).__name__} with {num_params:,} parameters on {type(data).__name__}; everything goes to {folder}")


@rank_zero_only
def _say(line: str) -> None:
    print(line, flush=True)
