"""The report of a run as one HTML page: its charts, images, configuration and data."""
