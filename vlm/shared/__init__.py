"""A vision-language model on the images of the study: asked, read, scored like a run."""
