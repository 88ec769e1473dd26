"""Wires data, method, loop and protocol from a config; the only folder that knows them all.

A run is a folder: `config.yaml`, `checkpoint.pt`, `metrics.jsonl`, `environment.json`, `results.json`, `tensorboard/`.
"""
