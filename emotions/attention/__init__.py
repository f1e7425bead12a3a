"""Where a network's heat falls, whether the maps depend on it, and what its answers rest on."""
