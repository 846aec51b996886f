"""Image data sets and folders of images."""
