"""Methods side by side: how they respond, what they do to pictures, and whether a network notices."""
