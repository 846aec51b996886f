"""IMDb: film reviews, positive or negative (Maas et al., 2011, Learning word vectors for sentiment analysis)."""

from datamodules.text.text_set import TextSet


class IMDb(TextSet):
    """25,000 training and 25,000 test reviews of about 230 words, balanced; `val_fraction` of the training part validates."""

    repo = "stanfordnlp/imdb"
    paths = (("train", "plain_text/train-00000-of-00001.parquet"), ("test", "plain_text/test-00000-of-00001.parquet"))
    class_names = ("neg", "pos")
    num_classes = 2
