"""Charts and style that both reports share."""
