"""SST-2: sentences of film reviews, positive or negative.

Socher et al., 2013, Recursive deep models for semantic compositionality over a sentiment treebank.
"""

from datamodules.text.text_set import TextSet


class SST2(TextSet):
    """6,920 training, 872 validation and 1,821 test sentences, lowercase, about 19 words each."""

    repo = "SetFit/sst2"
    paths = (("train", "train.jsonl"), ("val", "dev.jsonl"), ("test", "test.jsonl"))
    class_names = ("negative", "positive")
    num_classes = 2
