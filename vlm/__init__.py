"""The second pipeline: a vision-language model asked about the images of the study (docs/vlm.md)."""
