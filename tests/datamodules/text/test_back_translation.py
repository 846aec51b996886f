"""There and back: with a dictionary whose German is coarser than its English, and with a real (untrained) Marian model."""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from datamodules.text.back_translation import BackTranslation, MarianTranslator, model_folder
from datamodules.text.eda import TextAugment

GERMAN = {"the": "der", "film": "film", "movie": "film", "was": "war", "great": "grossartig", "terrific": "grossartig"}
ENGLISH = {german: english for english, german in reversed(GERMAN.items())}  # of two, the first


class WordForWord:
    """Translates by dictionary, unknown words as they are; counts what it is asked."""

    def __init__(self, dictionary: dict[str, str]) -> None:
        self.dictionary = dictionary
        self.batches: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> list[str]:
        self.batches.append(list(texts))
        return [" ".join(self.dictionary.get(word, word) for word in text.split()) for text in texts]


def there_and_back(p: float = 1.0, batch_size: int = 2) -> BackTranslation:
    return BackTranslation(WordForWord(GERMAN), WordForWord(ENGLISH), p=p, batch_size=batch_size)


def test_paraphrases_by_hand() -> None:
    texts = ["the movie was terrific", "the film was great", "movie movie", "unheard of"]
    expected = ["the film was great", "the film was great", "film film", "unheard of"]
    assert there_and_back().paraphrase(texts) == expected
    assert there_and_back(batch_size=32).paraphrase([*texts, texts[0]]) == [*expected, expected[0]]
    assert there_and_back().paraphrase([]) == []


def test_each_distinct_text_is_translated_once_in_batches() -> None:
    augment = there_and_back(batch_size=2)
    texts = ["terrific movie", "movie", "movie", "the movie", "the movie was", "movie"]
    augment.prepare(texts)
    augment.prepare(texts)
    assert augment.paraphrase(texts)[0] == "great film"
    assert augment("movie", random.Random(0)) == "film"
    assert augment.forward.batches == [["movie", "the movie"], ["the movie was", "terrific movie"]]  # like lengths together
    assert augment.backward.batches == [["film", "der film"], ["der film war", "grossartig film"]]


def test_an_unprepared_text_is_translated_on_the_spot() -> None:
    augment: TextAugment = there_and_back()
    assert augment("a terrific movie", random.Random(0)) == "a great film"


def test_paraphrases_with_its_probability() -> None:
    augment, draw, num = there_and_back(p=0.3), random.Random(0), 2000
    count = sum(augment("movie", draw) == "film" for _ in range(num))
    assert abs(count - num * 0.3) < 3.29 * (num * 0.3 * 0.7) ** 0.5  # by chance 1 in 1,000
    first, again = ([there_and_back(p=0.5)("movie", random.Random(seed)) for seed in range(30)] for _ in range(2))
    assert first == again
    assert set(first) == {"movie", "film"}


def test_probability_0_is_the_identity_and_translates_nothing() -> None:
    augment = there_and_back(p=0.0)
    assert all(augment("  the movie\n", random.Random(seed)) == "  the movie\n" for seed in range(50))
    assert augment.forward.batches == []


def test_no_text_becomes_empty() -> None:
    augment = BackTranslation(WordForWord({"movie": ""}), WordForWord({}), p=1.0)
    assert augment.paraphrase(["movie", "", " \n", "a movie"]) == ["movie", "", " \n", "a"]
    assert augment.forward.batches == [["movie", "a movie"]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: there_and_back(p=1.1), "p, the probability that a text is paraphrased, must be from 0 to 1, got 1.1"),
        (lambda: there_and_back(p=float("nan")), "p, .* got nan"),
        (lambda: there_and_back(batch_size=0), "batch_size must be 1 text or more, got 0"),
        (lambda: MarianTranslator("any", max_length=0), "max_length and num_beams must be 1 or more, got 0 and 4"),
        (lambda: MarianTranslator("any", num_beams=0), "max_length and num_beams must be 1 or more, got 512 and 0"),
        (
            lambda: BackTranslation(WordForWord({}), lambda texts: [*texts, "more"]).prepare(["a"]),
            "the backward translator gave 2 texts for 1: it must give one for each",
        ),
    ],
)
def test_refuses(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_without_the_extra_says_which() -> None:
    try:
        import sentencepiece  # noqa: F401  # is it there?
        import transformers  # noqa: F401  # likewise
    except ImportError:
        with pytest.raises(ImportError, match=r"translating needs \w+: pip install 'lightning-model-zoo\[translate\]'"):
            MarianTranslator("anywhere")(["a text"])
    else:
        pytest.skip("the extra [translate] is installed")


def test_a_model_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no Marian model 'nobody/has-this': no such folder, and the hub did not give it"
    ):
        model_folder("nobody/has-this")
    with pytest.raises(FileNotFoundError, match=r"no Marian model '/no/such/folder'"):
        model_folder("/no/such/folder")
    (tmp_path / "config.json").touch()
    with pytest.raises(
        FileNotFoundError, match=r"it has no vocab.json, source.spm, target.spm, model.safetensors: set `model`"
    ):
        model_folder(str(tmp_path))
    for name in ("vocab.json", "source.spm", "target.spm", "pytorch_model.bin"):
        (tmp_path / name).touch()
    assert model_folder(str(tmp_path)) == tmp_path


LINES = ["the film was great", "a terrific movie", "der film war gut", "ein grosser film", "what a surprise this plot is"]


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny Marian model with random weights, in the files that a published one has."""
    transformers = pytest.importorskip("transformers")
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("marian")
    (folder / "lines.txt").write_text("\n".join(LINES * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "lines.txt"),
        model_prefix=str(folder / "source"),
        vocab_size=48,
        hard_vocab_limit=False,  # so few lines may hold fewer pieces
        minloglevel=2,
    )
    (folder / "source.model").rename(folder / "source.spm")
    shutil.copy(folder / "source.spm", folder / "target.spm")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    names = ["</s>", "<unk>", *(pieces.id_to_piece(i) for i in range(3, len(pieces))), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    config = transformers.MarianConfig(
        vocab_size=len(names),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        pad_token_id=len(names) - 1,
        decoder_start_token_id=len(names) - 1,
        eos_token_id=0,
        forced_eos_token_id=0,
        init_std=1.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.MarianMTModel(config).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"source_lang": "en", "target_lang": "de", "model_max_length": 64})
    )
    return str(folder)


def test_marian_translates_by_beam_search_alone(marian: str) -> None:
    state = torch.get_rng_state()
    translator = MarianTranslator(marian, max_length=20, num_beams=3)
    together = translator(LINES)
    assert [len(together), all(together), len(set(together)) > 1] == [5, True, True]
    assert together == translator(LINES) == [translator([line])[0] for line in LINES]  # padding has no say either
    assert translator([]) == []
    assert torch.equal(torch.get_rng_state(), state)


def test_one_beam_is_the_greedy_loop_by_hand(marian: str) -> None:
    transformers = pytest.importorskip("transformers")
    translator = MarianTranslator(marian, max_length=24, num_beams=1)
    tokenizer, _ = translator._loaded
    net = transformers.MarianMTModel.from_pretrained(marian).eval()
    for line in LINES:
        ids, out = tokenizer(line, return_tensors="pt").input_ids, [net.config.decoder_start_token_id]
        while len(out) < 23 and out[-1] != net.config.eos_token_id:
            scores = net(input_ids=ids, decoder_input_ids=torch.tensor([out])).logits[0, -1]
            out.append(int(scores.argmax()))
        assert translator([line]) == [tokenizer.decode(out, skip_special_tokens=True)]


def test_marian_there_and_back(marian: str) -> None:
    translator = MarianTranslator(marian, max_length=20)
    augment = BackTranslation(translator, translator, p=1.0, batch_size=2)
    augment.prepare(LINES)
    assert [augment(line, random.Random(0)) for line in LINES] == [translator(translator([line]))[0] for line in LINES]


def test_marian_cuts_what_is_too_long(marian: str) -> None:
    translator = MarianTranslator(marian, max_length=10)
    tokenizer, _ = translator._loaded
    long = " ".join(LINES)
    assert len(tokenizer(long).input_ids) > 10
    assert len(tokenizer(translator([long])[0], add_special_tokens=False).input_ids) <= 10
    with pytest.raises(ValueError, match=r"max_length 65: .* supports 64 at most"):
        MarianTranslator(marian, max_length=65)(["a"])
