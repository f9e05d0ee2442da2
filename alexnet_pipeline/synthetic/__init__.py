"""The embedded default: a generated, trainable image set of variable sizes."""
