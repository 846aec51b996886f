"""Convolutional networks (LeCun et al., 1989): of the reference, of He et al. for small images, and any backbone by name."""
