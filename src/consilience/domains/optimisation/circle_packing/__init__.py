"""Circle packing: 26 circles in the unit square, the sum of their radii as large as it can be."""
