"""Raw images: recognise the layout of a source, list its classes and images, and read their bytes."""
