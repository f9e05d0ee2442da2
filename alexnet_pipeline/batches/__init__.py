"""What the network sees: batches of augmented images from shards."""
