"""A trained network in use: predictions, a demo page, exports."""
