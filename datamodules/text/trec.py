"""TREC: questions, labelled by the kind of answer they ask for (Li & Roth, 2002, Learning question classifiers)."""

from datamodules.text.text_set import TextSet


class TREC(TextSet):
    """5,452 training and 500 test questions in six classes; `val_fraction` of the training part validates."""

    repo = "CogComp/trec"
    revision = "refs/convert/parquet"
    paths = (("train", "default/train/0000.parquet"), ("test", "default/test/0000.parquet"))
    columns = ("text", "coarse_label")
    local = "trec"
    class_names = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    num_classes = 6
