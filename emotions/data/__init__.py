"""What every later stage reads: the manifest, images, and the splits as tensors."""
