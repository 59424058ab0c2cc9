"""relatum puts embeddings from different encoders into one common space."""
from relatum.projection import inverse_relative_projection, relative_projection
