"""ResNet-50 and its parts, weight files, and what becomes of a picture before the network sees it."""
