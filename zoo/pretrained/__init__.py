"""Networks with pretrained weights: published weights of the zoo, backbones, feature extractors, word vectors."""
