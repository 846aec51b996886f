"""Transfer learning: pretrained networks fine-tuned on other data."""
