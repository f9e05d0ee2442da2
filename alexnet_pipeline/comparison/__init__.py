"""Compares downsampling methods: frequency responses, effects on images, and accuracy of trained networks."""
