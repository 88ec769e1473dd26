"""Export a model once, then embed with ONNX Runtime alone: small, quick to start, without torch.

Run: pip install 'vireid[onnx]'
     python 08_onnx_without_torch.py [FILE.onnx]    (if it is not there it is written, which takes half a minute;
                                                    default: a temporary file)
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import vireid

with tempfile.TemporaryDirectory() as folder:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "default.onnx"
    if not file.exists():
        # Where torch is installed; the exporter compares the file with torch on real crops before it says it is done.
        subprocess.run([sys.executable, "-m", "vireid", "export", "default", "--output", str(file)], check=True)

    embedder = vireid.load(file)  # the same calls as for a run folder
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 255, (160, 60, 3), np.uint8) for _ in range(4)]  # arrays or paths, of any size
    rows = embedder.embed(crops, "visible")
    print(f"{len(rows)} embeddings of {rows.shape[1]} numbers, lengths {np.linalg.norm(rows, axis=1).round(4)}")
    print(f"the file says: {embedder.metadata.method}, input {embedder.height}x{embedder.width}")
    print("torch was needed:", "torch" in sys.modules)
