"""What the network learns: the towers, the recipes, training and its report."""
