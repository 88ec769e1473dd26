"""Galleries: person crops with their embeddings, kept, filtered and searched."""
