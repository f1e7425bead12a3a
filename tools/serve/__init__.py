"""A trained network for use: predictions, a page, exports."""
