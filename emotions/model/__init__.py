"""ResNet-50 and its parts, weight files, and the preprocessing of images."""
