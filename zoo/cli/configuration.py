"""Parse settings with `LightningCLI`, and build data, model and trainer from them."""

import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionYesNo, ArgumentError, Namespace, set_parsing_settings
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_only

from datamodules.core.base import DataModule
from zoo.cli.compare import check_against_checkpoint, check_classes, check_preparation
from zoo.cli.explain import explain, not_set
from zoo.cli.settings import as_yaml, class_paths, read_settings, with_current_names
from zoo.errors import UsageError, ZooError
from zoo.public import current_name
from zoo.tasks.abilities import Decodes
from zoo.training.boundary import building_trainer, in_one_line
from zoo.training.compilation import compile_networks
from zoo.training.ema import EMA
from zoo.training.epochs import default_epochs
from zoo.training.facts import facts_of
from zoo.training.gradient_checkpointing import checkpoint_gradients
from zoo.training.initial_weights import without_initial_weights
from zoo.training.links import expected_input, import_class, resolve_links, resolve_preparation, user_packages
from zoo.training.precision import FP16_MIXED, default_precision, precision_plugin
from zoo.training.quiet import keep_quiet
from zoo.training.run import Run
from zoo.training.tracking import Wandb
from zoo.training.unsupported import check_callbacks

_IMPORTS = [
    "zoo",
    "datamodules",
    *(f"lightning.pytorch.{part}" for part in ("callbacks", "loggers", "strategies", "profilers", "plugins")),
]
_COUNTS = {  # settings that Lightning divides by, each with what to do instead
    "log_every_n_steps": "to log nothing, set trainer.logger to false",
    "accumulate_grad_batches": "1 updates the weights after every batch",
    "check_val_every_n_epoch": "to skip validation, set trainer.limit_val_batches to 0",
}
_HALF = ("bf16-true", "16-true", "transformer-engine", "transformer-engine-float16")  # they round the weights


class Configuration(LightningCLI):
    """The settings of one command, and the `datamodule`, `model` and `trainer` that are built from them.

    Unlike plain `LightningCLI`, it builds each part on request, and refuses values that contradict the data.

    Args:
        configs: YAML files; later files override earlier ones.
        overrides: settings as typed on the command line.
    """

    def __init__(self, configs: list[Path], overrides: list[str] | None = None) -> None:
        keep_quiet()
        _allow_imports()
        read = [(path, read_settings(path, note=True)) for path in configs]
        overrides = with_current_names(overrides or [], read)
        self._classes = class_paths(read, overrides)
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
            args=[*(f"--config={as_yaml(settings)}" for _, settings in read), *overrides],
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--checkpoint_every_n_steps", type=int | None, default=None, help="interval of additional checkpoints"
        )
        parser.add_argument("--wandb", type=Wandb, default={}, help="settings of the Weights & Biases run")
        parser.add_argument("--ema", type=float | None, default=None, help="decay of an average of the weights")
        parser.add_argument("--compile", action=ActionYesNo, nargs="?", default=False, help="compile the networks")
        parser.add_argument(
            "--gradient_checkpointing", action=ActionYesNo, nargs="?", default=False, help="recompute activations"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            raise UsageError(explain(str(error), self._classes, parser)) from error
        if missing := [group for group in ("model", "data") if self.config[group] is None]:
            raise UsageError(not_set(missing))
        for group in ("model", "data"):  # a class whose constructor takes no arguments
            if "init_args" not in self.config[group]:
                self.config[group]["init_args"] = Namespace()  # type: ignore[no-untyped-call]  # jsonargparse's
        seed = self.config.seed_everything
        if not isinstance(seed, bool) and not 0 <= seed < 2**32:
            raise UsageError(f"seed_everything must lie in 0..{2**32 - 1}, got {seed}")

    def instantiate_classes(self) -> None:
        """Build nothing: commands call `build_data`, `build_model` and `build_trainer` themselves."""

    def build_data(self) -> LightningDataModule:
        """Build the datamodule. What pretrained weights expect of images fills in settings that are null.

        Texts are tokenised by the tokenizer of pretrained weights.
        """
        arguments, seed, model = self.config.data.init_args, self.config.seed_everything, self.config.model
        expected = expected_input(import_class(model.class_path), model.init_args)
        for name, value in resolve_preparation(expected, arguments).items():
            arguments[name] = value
        if "seed" in arguments and arguments.seed is None and not isinstance(seed, bool):
            arguments.seed = seed
        self.datamodule = import_class(self.config.data.class_path)(**arguments.as_dict())
        if "tokenizer_json" in expected and isinstance(self.datamodule, DataModule):
            self.datamodule.adopt({"tokenizer_json": expected["tokenizer_json"]})
        return self.datamodule

    def build_model(self, checkpoint: dict[str, Any] | None = None, path: Path | str = "") -> LightningModule:
        """Build the model from its settings and the shapes of the data.

        Args:
            checkpoint: the checkpoint that will be loaded into the model; the settings have to fit it.
            path: the file of the checkpoint, for error messages.

        Raises:
            ZooError: if the settings contradict the data or the checkpoint.
        """
        model = self.config.model
        model_class = import_class(model.class_path)
        for name, value in resolve_links(model_class, model.init_args, self.datamodule).items():
            model.init_args[name] = value
        if checkpoint is not None:
            check_against_checkpoint(model_class, model.init_args, checkpoint, path)
            check_classes(self.datamodule, checkpoint, path)
            check_preparation(self.datamodule, checkpoint, path)
        # The arguments are plain values. The class is called directly, so that its errors reach the user unchanged.
        with without_initial_weights() if checkpoint is not None else nullcontext():
            self.model = model_class(**model.init_args.as_dict())
        for name, value in self.model.hparams.items():  # what the model chose itself, such as a network named by its weights
            if name in model.init_args and model.init_args[name] is None:
                model.init_args[name] = value
        return self.model

    def prepare_networks(self) -> None:
        """Prepare the networks for training: compile them, or let them recompute activations, if the settings say so.

        Raises:
            ZooError: if the model does not allow it, or if both are asked for.
        """
        if self.config.gradient_checkpointing and self.config.compile:
            raise ZooError("torch cannot compile networks with gradient_checkpointing: choose one of the two")
        if self.config.gradient_checkpointing:
            num_blocks = checkpoint_gradients(self.model)
            say(f"gradient checkpointing: {num_blocks} blocks compute their activations again in the backward pass")
        if self.config.compile:
            networks = ", ".join(compile_networks(self.model))
            say(f"compiles {networks}: the first training step and the first validation step take longer")

    def build_trainer(self, run: Run) -> None:
        """Build the trainer from its settings and the default callbacks, loggers and plugins of a run.

        Raises:
            ZooError: if Lightning does not accept the settings.
        """
        settings = self._trainer_settings()
        own = _as_list(settings.pop("callbacks"))
        check_callbacks(own)
        parts = run.trainer_arguments(self.model, self.config.checkpoint_every_n_steps, own)
        logger: bool | list[Logger] = parts["logger"]
        if settings["logger"] is False:
            logger = False
        elif settings["logger"] not in (None, True):
            logger = [*_as_list(settings["logger"]), parts["logger"][-1]]  # keep the CSV file
        plugins = [*parts["plugins"], *_as_list(settings.pop("plugins"))]
        defaults = [callback for callback in parts["callbacks"] if callback not in own]
        average = [] if self.config.ema is None else [EMA(self.config.ema)]
        if settings["enable_checkpointing"] is False:
            defaults = [callback for callback in defaults if not isinstance(callback, Checkpoint)]
        if settings["enable_progress_bar"] is False:
            defaults = [callback for callback in defaults if not isinstance(callback, ProgressBar)]
        if settings["enable_model_summary"] is None:
            settings["enable_model_summary"] = False  # a run prints the number of parameters itself
        settings.update(logger=logger, callbacks=[*average, *own, *defaults], plugins=plugins)
        settings.update(default_root_dir=parts["default_root_dir"])
        if settings["profiler"] == "simple":
            from lightning.pytorch.profilers import SimpleProfiler

            settings["profiler"] = SimpleProfiler(run.folder, "profile")
        with building_trainer():
            self.trainer = self.trainer_class(**settings)

    def build_bare_trainer(self, callback: Callback | None = None, max_epochs: int | None = None) -> Trainer:
        """Build a trainer for an experiment before a run: one device, at most one callback, no validation, and no files.

        Precision, gradient clipping and accumulation are those of the settings, and so is the length without `max_epochs`.

        Raises:
            ZooError: if Lightning does not accept the settings.
        """
        bare = {name: None for name in ("callbacks", "plugins", "profiler", "max_time", "min_epochs", "min_steps")}
        off = dict.fromkeys(
            ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "fast_dev_run"), False
        )
        limits = {"limit_val_batches": 0, "num_sanity_val_steps": 0}
        if max_epochs is not None:
            limits.update(max_epochs=max_epochs, max_steps=-1)
        place = {"devices": 1, "num_nodes": 1, "strategy": "auto", "log_every_n_steps": sys.maxsize}
        self.config.trainer.update(Namespace(**bare, **off, **limits, **place))  # type: ignore[no-untyped-call]  # jsonargparse's
        with building_trainer():
            self.trainer = self.trainer_class(**{**self._trainer_settings(), "callbacks": [callback] if callback else []})
        return self.trainer

    def _trainer_settings(self) -> dict[str, Any]:
        """Return the arguments of the trainer, with their classes built.

        Raises:
            ZooError: if a class does not accept its arguments, or a setting does not fit.
        """
        self._check_trainer()
        try:
            settings = self.parser.instantiate(Namespace(trainer=self.config.trainer)).trainer.as_dict()  # type: ignore[no-untyped-call]  # jsonargparse's
        except MisconfigurationException as error:  # raised by a callback or a strategy in the settings
            raise ZooError(f"a class in the trainer settings does not accept its arguments: {in_one_line(error)}") from error
        if settings["precision"] in FP16_MIXED and isinstance(settings["strategy"], ModelParallelStrategy):
            raise ZooError(
                "trainer.precision 16-mixed cannot scale the loss of weights that are divided between processes: choose "
                "bf16-mixed, or trainer/ddp"
            )
        if (plugin := precision_plugin(settings["precision"], settings["accelerator"])) is not None:
            settings.update(precision=None, plugins=[*_as_list(settings["plugins"]), plugin])
        return settings

    def _check_trainer(self) -> None:
        """Refuse settings that the run determines or that fail later; choose a precision if none is set."""
        trainer = self.config.trainer
        if trainer.default_root_dir is not None:
            raise ZooError("trainer.default_root_dir cannot be set: it is the run directory, so give --run_dir")
        for name, way_out in _COUNTS.items():
            if trainer[name] is not None and trainer[name] < 1:
                raise ZooError(f"trainer.{name} must be at least 1, got {trainer[name]}: {way_out}")
        if trainer.precision in _HALF:
            raise ZooError(
                f"trainer.precision {trainer.precision} rounds the weights themselves, so that small updates are lost: "
                "choose bf16-mixed"
            )
        if trainer.precision in ("64", "64-true") and (
            isinstance(self.model, Decodes) or not self.model.automatic_optimization
        ):
            raise ZooError(
                f"trainer.precision {trainer.precision} does not fit a {type(self.model).__name__}, whose reports generate in "
                "fp32: choose 32-true"
            )
        if trainer.max_epochs is None and trainer.max_steps == -1:
            trainer.max_epochs, reason = default_epochs(facts_of(self.datamodule).num_train_expected)
            say(f"trainer.max_epochs {trainer.max_epochs}: {reason} (set trainer.max_epochs to choose)")
        if trainer.precision is None:
            accelerator = trainer.accelerator
            trainer.precision, reason = default_precision(accelerator if isinstance(accelerator, str) else "auto")
            say(f"precision {trainer.precision}: {reason} (set trainer.precision to choose)")

    def text(self) -> str:
        """Return the whole resolved configuration as YAML that `-c` can read."""
        text = self.parser.dump(self.config, skip_unset=False)
        return re.sub(r"(?<=class_path: )\S+", lambda found: current_name(found[0]), text)

    def plain(self) -> dict[str, Any]:
        """Return the resolved configuration as a nested dict, without settings that are None."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_unset=True))
        config.pop("config", None)
        return config


def _allow_imports() -> None:
    """Allow configurations to name classes of the zoo, of Lightning and of the packages in `ZOO_IMPORTS` only."""
    set_parsing_settings(
        config_read_mode_fsspec_enabled=False,  # settings are passed as text, in which a URL is not a file to open
        import_path_denylist=["*"],
        import_path_allowlist=[*_IMPORTS, *user_packages()],
    )


def _as_list(value: Any) -> list[Any]:
    """Convert a trainer argument (None, one object or a list) to a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


@rank_zero_only
def say(line: str) -> None:
    """Print a line in the first process only."""
    print(line, flush=True)
