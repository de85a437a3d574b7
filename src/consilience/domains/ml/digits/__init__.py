"""Digits: classify 8 x 8 images of handwritten digits with a small network, within a fixed number of examples."""
