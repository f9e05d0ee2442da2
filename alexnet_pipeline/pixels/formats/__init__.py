"""Image formats: recognise them, read their headers, and prove that a file is whole."""
