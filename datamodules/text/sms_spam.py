"""SMS Spam Collection: text messages, of which 13 % are spam (Almeida, Gomez Hidalgo & Yamakami, 2011)."""

from datamodules.text.text_set import TextSet


class SMSSpam(TextSet):
    """5,574 messages without an official split: `test_fraction` is held out, per class, then `val_fraction` of the rest.

    Some messages occur many times, and so do in more than one part, as in every published score of a random split.
    """

    repo = "ucirvine/sms_spam"
    paths = (("train", "plain_text/train-00000-of-00001.parquet"),)
    columns = ("sms", "label")
    class_names = ("ham", "spam")
    num_classes = 2
