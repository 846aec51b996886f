"""Convolutional networks (LeCun et al., 1989): a small one, ResNets for small images, and any timm or torchvision network."""
