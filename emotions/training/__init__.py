"""Training: knobs, the loop and its components."""
