"""AG News: headlines and first sentences of news, labelled by section (Zhang, Zhao & LeCun, 2015, arXiv:1509.01626)."""

from datamodules.text.text_set import TextSet


class AGNews(TextSet):
    """120,000 training and 7,600 test items in four classes of equal size; `val_fraction` of the training part validates."""

    repo = "fancyzhx/ag_news"
    paths = (("train", "data/train-00000-of-00001.parquet"), ("test", "data/test-00000-of-00001.parquet"))
    class_names = ("World", "Sports", "Business", "Sci/Tech")
    num_classes = 4
