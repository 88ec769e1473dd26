"""Galleries: person crops with their embeddings, kept, filtered and searched."""

from vireid.search.gallery import Added, Gallery, Hit
from vireid.search.where import Where

__all__ = ["Added", "Gallery", "Hit", "Where"]
