"""Augmentation of batches of images, with one set of random draws per image: geometry, colour, policies, erasing, mixing."""
