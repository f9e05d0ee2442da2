"""Raw images in: a path becomes classes and pictures, wherever their bytes lie."""
