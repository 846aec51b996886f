"""SMS Spam Collection: text messages, 13 % of them spam (Almeida, Gomez Hidalgo & Yamakami, 2011)."""

from datamodules.text.text_set import TextSet


class SMSSpam(TextSet):
    """5,574 messages without an official split: `test_fraction` is held out by class, then `val_fraction` of the rest.

    Some messages occur many times and therefore in several parts, as in all published scores on random splits. The report
    before training says how many.
    """

    keep_duplicates_together = False
    repo = "ucirvine/sms_spam"
    paths = (("train", "plain_text/train-00000-of-00001.parquet"),)
    columns = ("sms", "label")
    class_names = ("ham", "spam")
    num_classes = 2
