"""Numbers and outcomes: metrics, intervals, probes, verdicts, claims. Words are made in `reporting`."""
