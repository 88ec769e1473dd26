"""Exported files: what they say of themselves, that they compute what the method computes, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import trees
import yaml

from vireid import export, load, onnx_embedder
from vireid.cli import main
from vireid.data.cache import decode
from vireid.data.pixels import resized
from vireid.embedder import load_run
from vireid.errors import InputError, Stopped
from vireid.evaluation.extract import extract
from vireid.methods import baseline, pmt
from vireid.methods.base import Method
from vireid.onnx_embedder import OnnxEmbedder
from vireid.sample import Modality

H, W = 48, 24
BATCHES = [[0], [1], [0, 1, 1], [1, 1, 1, 1], [0, 0], [1, 0, 0, 1, 0, 1, 1]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with random weights, one BatchNorm per modality and statistics that differ."""
    folder = tmp_path_factory.mktemp("run")
    config = {
        "method": {
            "name": "baseline",
            "backbone": "resnet18",
            "weights": "none",
            "split": 1,
            "bn_specific": ["layer1", "layer2", "layer3", "layer4", "neck"],
        },
        "data": {"name": "synthvi"},
        "images": {"height": H, "width": W},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(0)
    method = baseline.build(baseline.Config(**{k: v for k, v in config["method"].items() if k != "name"}), 4)
    for module in method.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    state = {"method": "baseline", "model": method.state_dict(), "num_identities": 4, "epoch": 1}
    torch.save(state, folder / "checkpoint.pt")
    return folder


@pytest.fixture(scope="module")
def file(run):
    output = run / "model.onnx"
    export.export_run(run, output)
    return output


def crops(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 3, H, W), dtype=np.uint8)


def refused(capfd, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    err = capfd.readouterr().err
    assert stop.value.code == 2 and "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("vireid: ")]
    return line


def test_metadata_and_report(run, file):
    embedder, torch_embedder = OnnxEmbedder(file), load(run, device="cpu")
    assert embedder.fingerprint == torch_embedder.fingerprint
    assert (embedder.height, embedder.width) == (H, W)
    assert embedder.dimensions == torch_embedder.dimensions == 512
    told = {prop.key: prop.value for prop in onnx.load(file).metadata_props}
    steps = json.loads(told["vireid.preprocessing"])
    assert steps["normalize"]["in_graph"] and not steps["resize"]["in_graph"]
    assert steps["channel_order"] == "RGB"
    assert json.loads(told["vireid.modalities"]) == {"visible": 0, "infrared": 1}
    assert told["vireid.method"] == "baseline" and "do not normalise" in told["vireid.preprocessing_in_words"]
    report = json.loads(file.with_suffix(".parity.json").read_text())
    assert report["batch_sizes"][0] == 1 and report["visible"] and report["infrared"]
    assert report["runtimes"]["onnx"]["smallest_cosine"] >= 0.9999
    onnx.checker.check_model(onnx.load(file), full_check=True)


def test_shared_weights_are_stored_once(run, file):
    once = sum(value.nbytes for name, value in load_run(run).weights.items() if "classifier" not in name)
    shared = len({v.data_ptr() for v in load_run(run).weights.values()}) < len(load_run(run).weights)
    assert shared and file.stat().st_size < 0.6 * once


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_batches_of_any_size_and_mixture(run, file, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    embedder, torch_embedder = OnnxEmbedder(file, runtime, threads=1), load(run, device="cpu", precision="32-true")
    for number, kinds in enumerate(BATCHES):
        pixels, kinds = crops(len(kinds), number), np.array(kinds)
        got, expected = embedder.embed_pixels(pixels, kinds), torch_embedder.embed_pixels(torch.tensor(pixels), kinds)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, atol=1e-5)
        assert np.abs(got - embedder.embed_pixels(pixels, 1 - kinds)).max() > 1e-3  # the modality counts
    assert embedder.embed_pixels(crops(0), []).shape == (0, 512)


def test_a_method_without_layers_of_one_modality():
    method = pmt.build(pmt.Config(backbone="vit_tiny_patch16_224", weights="none"), 4).eval()
    model = export.export_method(method, H, W)
    assert not [node for node in model.graph.node if node.op_type == "If"]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for count in (1, 3):
        pixels, kinds = crops(count), np.arange(count) % 2
        (got,) = session.run(None, {"images": pixels, "modalities": kinds})
        np.testing.assert_allclose(got, extract(method, pixels, kinds, progress=False), atol=1e-5)


class Undecided(Method):
    """Its graph depends on the numbers in the images."""

    def forward(self, batch):
        raise NotImplementedError

    def embed(self, images, modalities):
        return images.flatten(1) if images.sum() > 0 else images.flatten(1) + 1

    def parameter_groups(self):
        return []


def test_a_method_that_is_no_graph():
    with pytest.raises(InputError, match=r"cannot be exported to ONNX \(.*--runtime torch"):
        export.export_method(Undecided().eval(), H, W)


def test_the_embedder_takes_paths_and_arrays(run, file, tmp_path):
    pictures = [trees.person(i, i % 2 == 1, 0, 70, 31) for i in range(4)]
    paths = [trees.save(tmp_path / f"{i}.png", picture) for i, picture in enumerate(pictures)]
    embedder = load(file)
    rows = embedder.embed(paths, "auto")
    np.testing.assert_array_equal(rows, embedder.embed(pictures, [Modality(i % 2) for i in range(4)]))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert ((rows * load(run, device="cpu").embed(paths, "auto")).sum(1) > 0.9999).all()
    assert embedder.embed([], "auto").shape == (0, 512)
    with pytest.raises(InputError, match="expected uint8"):
        embedder.embed_pixels(crops(1).astype(np.float32), [0])
    with pytest.raises(InputError, match="give 0 or 1"):
        embedder.embed_pixels(crops(1), [2])


@pytest.mark.parametrize("size", [(96, 48), (20, 10), (70, 31), (48, 24)])
def test_pillow_resizes_as_torch_does(tmp_path, size):
    picture = np.random.default_rng(1).integers(0, 256, (70, 31, 3), dtype=np.uint8)
    here, there = resized(picture, *size).astype(int), decode(picture, *size).numpy().astype(int)
    assert np.abs(here - there).max() <= 2
    assert np.abs(here - there).mean() < 0.3  # of noise, the worst case


def test_without_torch(file, tmp_path):
    path = trees.save(tmp_path / "crop.png", trees.person(1, False, 0))
    code = (
        "import sys\nsys.modules['torch'] = None\nimport vireid\n"
        f"embedder = vireid.load({str(file)!r})\nprint(embedder.embed([{str(path)!r}], 'auto').shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "(1, 512)", done.stderr


def test_ctrl_c_after_several_embedders(file):
    pytest.importorskip("openvino")
    # OpenVINO changes the stack that signals are handled on; put back wrongly, the next signal ends the process.
    code = f"""
import os, signal
from vireid.onnx_embedder import OnnxEmbedder
first = OnnxEmbedder({str(file)!r}, "openvino")
second = OnnxEmbedder({str(file)!r}, "openvino")
del first, second
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs without it
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_the_command_embeds(capfd, file, tmp_path, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    for i in range(3):
        trees.save(tmp_path / "crops" / f"{i}.png", trees.person(i, i == 1, 0))
    (tmp_path / "crops" / "broken.png").write_bytes(b"no image")
    output = tmp_path / "out.npz"
    with pytest.raises(SystemExit) as stop:
        main(["embed", str(tmp_path / "crops"), "--model", str(file), "--runtime", runtime, "--output", str(output)])
    assert stop.value.code == 0 and "1 skipped" in capfd.readouterr().err
    found = np.load(output)
    assert found["embeddings"].shape == (3, 512) and found["modality"].tolist() == ["visible", "infrared", "visible"]
    assert str(found["fingerprint"]) == load(file).fingerprint


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
class TestRefused:
    @pytest.fixture(autouse=True)
    def installed(self, runtime):
        pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))

    def embed(self, capfd, tmp_path, runtime, model):
        crop = trees.save(tmp_path / "crop.png", trees.person(1, False, 0))
        output = tmp_path / "out.npz"
        line = refused(capfd, "embed", crop, "--model", model, "--runtime", runtime, "--output", output)
        assert not output.exists()
        return line

    def test_missing(self, capfd, tmp_path, runtime):
        assert "no such file" in self.embed(capfd, tmp_path, runtime, tmp_path / "none.onnx")

    def test_truncated(self, capfd, file, tmp_path, runtime):
        (tmp_path / "half.onnx").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        assert "damaged or no ONNX model" in self.embed(capfd, tmp_path, runtime, tmp_path / "half.onnx")

    def test_not_a_model(self, capfd, tmp_path, runtime):
        (tmp_path / "text.onnx").write_text("no model")
        assert "damaged or no ONNX model" in self.embed(capfd, tmp_path, runtime, tmp_path / "text.onnx")

    def test_foreign(self, capfd, tmp_path, runtime):
        value = onnx.helper.make_tensor_value_info
        ends = [value(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
        node = onnx.helper.make_node("Relu", ["x"], ["y"])
        graph = onnx.helper.make_graph([node], "other", ends[:1], ends[1:])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
        onnx.save(model, tmp_path / "other.onnx")
        assert "no model of vireid" in self.embed(capfd, tmp_path, runtime, tmp_path / "other.onnx")

    def test_a_run_instead_of_a_file(self, capfd, run, tmp_path, runtime):
        assert "vireid export" in self.embed(capfd, tmp_path, runtime, run)

    def test_a_later_format(self, capfd, file, tmp_path, runtime):
        model = onnx.load(file)
        next(prop for prop in model.metadata_props if prop.key == "vireid.format").value = "2"
        onnx.save(model, tmp_path / "later.onnx")
        assert "format 2" in self.embed(capfd, tmp_path, runtime, tmp_path / "later.onnx")


def test_a_file_with_torch_or_on_a_gpu(capfd, file, tmp_path):
    words = ["embed", tmp_path, "--model", file, "--output", tmp_path / "out.npz"]
    trees.save(tmp_path / "crop.png", trees.person(1, False, 0))
    assert "exported file" in refused(capfd, *words, "--runtime", "torch")
    assert "on the CPU" in refused(capfd, *words, "--device", "cuda")


def test_a_missing_package(file, run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'vireid\[onnx\]'"):
        load(file)
    monkeypatch.setattr(onnx_embedder, "_openvino_core", onnx_embedder._openvino_core.__wrapped__)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InputError, match=r"pip install 'vireid\[openvino\]'"):
        load(file, runtime="openvino")


def test_a_file_that_disagrees_is_not_left(run, file, tmp_path, monkeypatch):
    model = onnx.load(file)
    numbers = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name in ("visible", "infrared")}
    numbers["visible"].name, numbers["infrared"].name = "infrared", "visible"
    monkeypatch.setattr(export, "export_method", lambda *_: model)
    with pytest.raises(Stopped, match="disagrees with PyTorch"):
        export.export_run(run, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_output_that_cannot_be(capfd, run, tmp_path):
    assert "ending in .onnx" in refused(capfd, "export", run, "--output", tmp_path / "model.pt")
    assert "does not exist" in refused(capfd, "export", run, "--output", tmp_path / "no" / "model.onnx")
    assert "run not found" in refused(capfd, "export", tmp_path / "none", "--output", tmp_path / "model.onnx")
