"""What a run may set, the loop, and what the loop is made of."""
