"""Methods outside of the package: `vireid method new` writes one, `vireid method check` finds its faults."""

import re
import runpy
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from vireid import testing
from vireid.ablation.sweep import load_sweep
from vireid.cli import app
from vireid.config import from_dict, load
from vireid.errors import InputError
from vireid.testing import CHECKS, CheckFailed, Outcome, drawn_batch, outcomes, small

TEMPLATE = (files("vireid") / "assets" / "method" / "mymethod.py").read_text()
TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorials" / "write_a_method.md").read_text()
ALIGNED = "return (centers[pairs] - centers[pairs + 1]).square().sum(1).mean()"
NORMALISED = "F.normalize(embeddings.float())"
NECK = "        self.neck = BNNeck("
# What is changed in the template, which check finds it, and what it says.
FAULTS = {
    "keys": (
        'model_config = ConfigDict(frozen=True, extra="forbid")\n\n    identity',
        "identity",
        "config_refuses_what_it_does_not_know",
        "LossWeights would let a mistyped key",
    ),
    "nan": (ALIGNED, 'return embeddings.sum() * float("nan")', "losses_are_finite_scalars", "loss 'alignment' is nan"),
    "vector": (ALIGNED, "return embeddings[0]", "losses_are_finite_scalars", r"is \(512,\) float32"),
    "root": (
        ALIGNED,
        "return (0 * embeddings).sum().sqrt()",
        "gradients_reach_every_parameter",
        "look for a root",
    ),
    "idle": (
        NECK,
        f"        self.spare = BNNeck(2, 2)\n{NECK}",
        "gradients_reach_every_parameter",
        r"no loss depends on spare\.\S+ and 1 more",
    ),
    "groups": (
        "self.config.trunk_lr_scale)",
        "self.config.trunk_lr_scale)[:1]",
        "groups_hold_every_parameter_once",
        r"lacks neck\.\S+ and 1 more",
    ),
    "chance": (
        ALIGNED,
        "import random\n    return embeddings.mean() * random.random()",
        "same_seed_gives_same_losses",
        "after the same torch.manual_seed",
    ),
    "position": (
        ALIGNED,
        "return (embeddings[::2] - embeddings[1::2]).square().mean()",
        "order_of_the_batch_does_not_matter",
        "with the rows of the batch shuffled; group by",
    ),
    "one_modality": (
        "    if not len(pairs):\n",
        "    if False:\n",
        "batch_of_one_modality_trains",
        "nan for visible images only .*nothing_to_compare",
    ),
    "length": (NORMALISED, "embeddings.float()", "embeddings_have_length_one", "return F.normalize"),
    "batch": (
        NORMALISED,
        "F.normalize(embeddings.float() - embeddings.float().mean(0))",
        "embedding_depends_on_its_image_only",
        "when images are embedded alone",
    ),
    "unsaved": (
        "self.pool = AveragePool()",
        "import torch\n        shift = torch.rand(512)\n        self.pool = lambda x: AveragePool()(x) + shift",
        "saved_weights_give_the_same_embeddings",
        "register_buffer",
    ),
    "bf16": (ALIGNED, "return (embeddings @ embeddings.T).mean()", "trains_in_bf16", "is .* bfloat16 under bf16"),
    "still": (
        "return trunk_and_rest(self, [self.backbone], self.config.trunk_lr_scale)",
        'return [{"params": [p for p in self.parameters() if p.requires_grad], "lr_scale": 1e-9}]',
        "learns_four_people_by_heart",
        "Rank-1 is .* after 40 steps",
    ),
}


def write(folder, name, text):
    path = folder / name / "mymethod.py"
    path.parent.mkdir()
    path.write_text(text)
    return f"{name}.mymethod"


@pytest.fixture
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_told_with_how_to_mend_it(fault, here):
    old, new, check, message = FAULTS[fault]
    assert TEMPLATE.count(old) == 1
    name = write(here, f"fault_{fault}", TEMPLATE.replace(old, new))
    with pytest.raises(CheckFailed, match=message):
        getattr(testing, check)(small(name))


def test_an_error_in_the_file_is_told_with_its_line(here, monkeypatch):
    monkeypatch.setattr(testing, "CHECKS", (testing.losses_are_finite_scalars,))
    line = TEMPLATE.splitlines().index("        logits = self.neck.classify(self.neck(pooled, batch.modalities))") + 1
    name = write(here, "broken", TEMPLATE.replace("self.neck(pooled, batch", "self.neck(pooled.T, batch"))
    (found,) = outcomes(small(name))
    assert re.search(rf"^RuntimeError: .*mymethod\.py, line {line}\)$", found.fault)


def test_an_option_without_a_default_is_refused(here):
    name = write(here, "no_default", TEMPLATE.replace('backbone: str = "resnet50"', "backbone: str"))
    with pytest.raises(InputError, match="no default for backbone"):
        small(name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("no_build", TEMPLATE[: TEMPLATE.index("def build")], "no_build.mymethod"),
        ("no_syntax", "def build(:\n", "SyntaxError.*line 1"),
        ("no_import", "import nothing_of_that_name\n", "nothing_of_that_name"),
    ],
)
def test_a_file_that_is_no_method_is_refused(name, text, message, here):
    with pytest.raises(InputError, match=message):
        small(write(here, name, text))


def test_options_are_set_by_their_keys_of_a_config(here):
    name = write(here, "options", TEMPLATE)
    assert small(name, {"method.dfw.enabled": True}).options.dfw.enabled
    with pytest.raises(InputError, match=r"unknown key 'method.dfv'"):
        small(name, {"method.dfv": 1})


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """A folder in which `vireid method new` was called."""
    folder = tmp_path_factory.mktemp("new")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(app, ["method", "new", "newlab.fresh"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_template_passes(check, new, monkeypatch):
    monkeypatch.chdir(new)
    check(small("newlab.fresh"))


def test_new_writes_a_config_an_ablation_and_a_test_that_fit(new, monkeypatch):
    monkeypatch.chdir(new)
    written = {str(path.relative_to(new)) for path in new.rglob("*.*") if "__pycache__" not in str(path)}
    assert written == {"newlab/fresh.py", "fresh.yaml", "fresh_ablation.yaml", "test_fresh.py"}
    assert load(new / "fresh.yaml").method.name == "newlab.fresh"
    rows = load_sweep(new / "fresh_ablation.yaml").rows
    assert [row.name for row in rows] == ["baseline", "mine without alignment", "mine", "mine with DFW"]
    small("newlab.fresh")  # puts the folder on the path, as pytest does
    runpy.run_path(str(new / "test_fresh.py"))["test_alignment_loss_by_hand"]()


def test_without_its_own_loss_the_template_is_the_baseline(new, monkeypatch):
    monkeypatch.chdir(new)
    losses = []
    for name, loss in (("newlab.fresh", {"alignment": 0}), ("baseline", {})):
        options = {"name": name, "backbone": "resnet18", "weights": "none", "loss": loss}
        method = from_dict({"method": options, "data": {"name": "synthvi"}}).method
        torch.manual_seed(0)
        losses.append(method.module.build(method.options, 4).train()(drawn_batch()))
    own, baseline = losses
    assert {key: loss.item() for key, loss in own.items()} == {key: loss.item() for key, loss in baseline.items()}


@pytest.mark.parametrize("name", ["mymethod", "my-lab.mymethod", "mylab.class", "torch.mymethod", "newlab.fresh"])
def test_new_refuses_names_that_cannot_be_or_are_taken(name, new, monkeypatch):
    monkeypatch.chdir(new)
    before = sorted(new.rglob("*.yaml"))
    result = CliRunner().invoke(app, ["method", "new", name])
    assert isinstance(result.exception, InputError)
    assert sorted(new.rglob("*.yaml")) == before


def test_check_prints_each_property_and_fails_if_one_does(new, monkeypatch):
    monkeypatch.chdir(new)
    found = [Outcome("it learns", ""), Outcome("it is short", "it is long; shorten it"), *[Outcome("more", "")] * 10]
    monkeypatch.setattr(testing, "outcomes", lambda method: iter(found))
    result = CliRunner().invoke(app, ["method", "check", "newlab.fresh", "--set", "method.dfw.enabled=true"])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[:3] == ["ok     it learns", "FAILED it is short", "       it is long; shorten it"]
    assert lines[-1] == "newlab.fresh: 11 of 12 checks passed"


def test_the_tutorial_shows_the_files_that_new_writes():
    blocks = re.findall(r"```(?:py|yaml)\n(.*?)```", TUTORIAL, re.DOTALL)
    for name in ("mymethod.py", "mymethod.yaml", "ablation.yaml", "test_mymethod.py"):
        assert (files("vireid") / "assets" / "method" / name).read_text() in blocks, name
