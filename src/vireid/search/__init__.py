"""Galleries: person crops with their embeddings, kept, filtered and searched."""

from vireid.search.gallery import Added, Gallery
from vireid.search.hits import Hit
from vireid.search.where import Where

__all__ = ["Added", "Gallery", "Hit", "Where"]
