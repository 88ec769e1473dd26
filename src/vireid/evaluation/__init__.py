"""Metrics, protocols, embedding extraction and re-ranking."""
