"""The contract of the stores and what galleries do, on a real Milvus server: only the address is another.

Needs `pip install milvus` (a server, version 2.3) and the right to make a network namespace; about three minutes.
"""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def can_be_cut_off():
    try:
        return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(find_spec("milvus") is None, reason="no Milvus server: pip install milvus")
def test_the_same_tests_pass_on_a_server(tmp_path):
    if not can_be_cut_off():
        pytest.skip("no network namespace can be made here")
    tests = [str(HERE / name) for name in ("test_stores.py", "test_gallery.py")]
    options = ["-rs", "-v", "-p", "no:cacheprovider", "-k", "milvus and not lite and not large_thumbnails"]
    beside = ["unshare", "--net", sys.executable, str(HERE / "milvus_server.py"), str(tmp_path / "server")]
    command = [*beside, sys.executable, "-m", "pytest", *tests, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "SKIPPED" not in done.stdout
    assert len(re.findall(r"\[milvus.*PASSED", done.stdout)) > 25
