"""Raw images: recognises a source, and lists its classes and images wherever their bytes lie."""
