"""Networks that come with weights: published ones, backbones of other libraries, feature extractors, word vectors."""
