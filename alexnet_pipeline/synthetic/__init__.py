"""The embedded sample: a generated image set of variable sizes, which networks can be trained on."""
