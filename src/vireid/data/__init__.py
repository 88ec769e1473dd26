"""Data sets: folders on disk to lists of `Sample`, decoded caches, samplers and augmentation."""
