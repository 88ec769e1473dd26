"""Images per second of `vireid embed` in one process and on Ray: `python benchmarks/bulk_speed.py --output FILE.json`.

Whole commands on the images of SynthVI-mini with the shipped model, in turns, from files to a Parquet file, with what
it takes to start: one process with a thread for each core, and Ray on this machine with an actor for each core.
"""

import argparse
import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from refusal import refusing

from vireid.atomic import require_writable, write_text
from vireid.bulk import embed_source, find_crops
from vireid.bulk_ray import embed_on_ray
from vireid.data import synthvi
from vireid.errors import InputError
from vireid.models.precision import device_name

ENGINES = {"plain": embed_source, "ray": embed_on_ray}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", type=Path, required=True, help="FILE.json")
    settings = parser.parse_args()
    with refusing("bulk_speed"):
        if settings.turns < 1:
            raise InputError(f"--turns {settings.turns}: expected 1 or more")
        require_writable(settings.output)
        source = synthvi.shipped()
        images = len(find_crops(source))
        seconds: dict[str, list[float]] = {name: [] for name in ENGINES}
        with TemporaryDirectory() as folder:
            for _ in range(settings.turns):
                for name, engine in ENGINES.items():
                    started = time.perf_counter()
                    engine(source, Path(folder) / f"{name}.parquet", device="cpu")
                    seconds[name].append(time.perf_counter() - started)
        rates = {name: images / float(np.median(times)) for name, times in seconds.items()}
        for name, rate in rates.items():
            print(f"{name:5} {rate:7.1f} images/s with start-up, {rate / rates['plain']:.2f} of one process")
        machine = {"cores": os.cpu_count(), "cpu": device_name("cpu")}
        write_text(
            settings.output,
            json.dumps({"images": images, "machine": machine, "rates": rates, "seconds": seconds}, indent=1) + "\n",
        )


if __name__ == "__main__":
    main()
