"""Text data sets, tokenization and text augmentation."""
