"""What the network learns: the towers, the recipe, the trainer and what it tells."""
