"""Where jobs run; nothing else in the package knows."""
