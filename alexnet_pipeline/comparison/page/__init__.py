"""The comparison as an HTML report and as a figure for papers."""
