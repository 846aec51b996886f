"""Back-translation: paraphrase by translating into another language and back.

Sennrich et al., 2016, https://arxiv.org/abs/1511.06709, introduced it for training translators. Edunov et al., 2018,
https://arxiv.org/abs/1808.09381, compare decoding methods.
"""

import contextlib
import functools
import importlib
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from zoo.errors import MissingFileError, MissingPackageError, ZooError

_FILES = ("config.json", "vocab.json", "source.spm", "target.spm")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # one of these


class Translator(Protocol):
    """A translator from one language to another."""

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Translate each text, in order."""


class BackTranslation:
    """Replace a text by its paraphrase with probability `p`: a `TextAugment`.

    Translation is slow, so call `prepare` with the training texts first: texts that are not prepared are translated one at a
    time when they are needed, and each worker process remembers only its own translations. A text whose translation is blank
    stays as it is.

    Raises:
        ZooError: if `p` is not in [0, 1], `batch_size` is not positive, or a translator drops or adds texts.
    """

    def __init__(self, forward: Translator, backward: Translator, p: float = 0.5, batch_size: int = 32) -> None:
        if not 0 <= p <= 1:
            raise ZooError(f"p, the probability that a text is paraphrased, must be from 0 to 1, got {p}")
        if batch_size < 1:
            raise ZooError(f"batch_size must be 1 text or more, got {batch_size}")
        self.forward, self.backward, self.p, self.batch_size = forward, backward, p, batch_size
        self._paraphrases: dict[str, str] = {}

    def __call__(self, text: str, draw: random.Random) -> str:
        return text if draw.random() >= self.p else self.paraphrase([text])[0]

    def paraphrase(self, texts: Sequence[str]) -> list[str]:
        """Translate each text into the other language and back."""
        self.prepare(texts)
        return [self._paraphrases.get(text, text) for text in texts]

    def prepare(self, texts: Sequence[str]) -> None:
        """Translate and store each distinct text that is not stored yet."""
        new = [text for text in dict.fromkeys(texts) if text.strip() and text not in self._paraphrases]
        new.sort(key=len)  # The texts of a batch are padded to its longest, so batch similar lengths.
        for start in range(0, len(new), self.batch_size):
            batch = new[start : start + self.batch_size]
            there = _translate("forward", self.forward, batch)
            back = _translate("backward", self.backward, there)
            self._paraphrases.update(
                (text, result if result.strip() else text) for text, result in zip(batch, back, strict=True)
            )


def _translate(name: str, translator: Translator, texts: list[str]) -> list[str]:
    translated = translator(texts)
    if len(translated) != len(texts):
        raise ZooError(f"the {name} translator gave {len(translated)} texts for {len(texts)}: it must give one for each")
    return translated


class MarianTranslator:
    """A Marian model (Junczys-Dowmunt et al., 2018, https://arxiv.org/abs/1804.00344) with deterministic beam search.

    `model` is a folder, or a name on the Hugging Face hub such as "Helsinki-NLP/opus-mt-en-de". It is loaded at the first text,
    onto torch's default device. Texts and translations are cut at `max_length` tokens.

    Raises:
        MissingPackageError: at the first text, without the extra [translate].
        MissingFileError: at the first text, if the model is not available.
        ZooError: if `max_length` or `num_beams` is not positive, or if `max_length` is more than the model supports.
    """

    def __init__(self, model: str, max_length: int = 512, num_beams: int = 4) -> None:
        if max_length < 1 or num_beams < 1:
            raise ZooError(f"max_length and num_beams must be 1 or more, got {max_length} and {num_beams}")
        self.model, self.max_length, self.num_beams = model, max_length, num_beams

    def __call__(self, texts: Sequence[str]) -> list[str]:
        if not texts:
            return []
        tokenizer, net = self._loaded
        tokens = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True, max_length=self.max_length)
        with torch.inference_mode():
            ids = net.generate(**tokens.to(net.device), max_length=self.max_length, num_beams=self.num_beams, do_sample=False)
        return tokenizer.batch_decode(ids, skip_special_tokens=True)

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Tokenizer and network, loaded on first use."""
        try:
            importlib.import_module("sentencepiece")  # Without it, transformers fails later with a less clear error.
            library = importlib.import_module("transformers")
        except ImportError as error:
            raise MissingPackageError(
                f"translating needs {error.name}: pip install 'lightning-model-zoo[translate]'"
            ) from error
        folder = model_folder(self.model)
        with warnings.catch_warnings():
            # This optional package normalises punctuation: transformers/models/marian/tokenization_marian.py
            warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
            tokenizer = library.MarianTokenizer.from_pretrained(folder)
        # transformers draws initial weights before it loads those of the file; the run's random numbers stay unaffected.
        with torch.random.fork_rng(devices=[]):
            net = library.MarianMTModel.from_pretrained(folder)
        if self.max_length > net.config.max_position_embeddings:
            raise ZooError(f"max_length {self.max_length}: {self.model} supports {net.config.max_position_embeddings} at most")
        return tokenizer, net.to(torch.get_default_device()).eval()


def model_folder(name: str) -> Path:
    """Return the folder of a Marian model: `name` itself, else the copy in the hub's cache, downloaded if necessary.

    Raises:
        MissingFileError: if the model is not available or lacks files.
    """
    folder = Path(name) if Path(name).is_dir() else _from_hub(name)
    if lacking := _lacking(folder):
        raise MissingFileError(
            f"no Marian model in {folder}, it has no {', '.join(lacking)}: set `model` to a folder that has them"
        )
    return folder


def _lacking(folder: Path) -> list[str]:
    weights = _WEIGHTS[1:] if (folder / _WEIGHTS[1]).is_file() else _WEIGHTS[:1]
    return [file for file in (*_FILES, *weights) if not (folder / file).is_file()]


def _from_hub(name: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    wanted = [*_FILES, *_WEIGHTS, "*.json"]
    failures = (OSError, ValueError, *HfHubHTTPError.__bases__)  # The bases depend on the HTTP library.
    with contextlib.suppress(*failures):
        folder = Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
        if not _lacking(folder):
            return folder
    try:
        # One request first: without a network, the download itself retries for minutes.
        HfApi().model_info(name, timeout=10)
        return Path(snapshot_download(name, allow_patterns=wanted))
    except failures as error:  # type: ignore[misc]  # classes that are known only at run time
        raise MissingFileError(
            f"no Marian model {name!r}: no such folder, and the hub did not give it ({type(error).__name__}). "
            f"Without a network set `model` to a folder that holds one"
        ) from error
