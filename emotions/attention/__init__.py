"""Where a network's heat falls, whether the maps are about it, and what it rests on."""
