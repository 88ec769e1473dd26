"""The demo: what an untrained, the shipped and a fine-tuned model find among the people of SynthVI-mini."""

import time
from importlib.resources import files
from pathlib import Path

import torch

from vireid import config as configuration
from vireid.atomic import write_text
from vireid.config import ExperimentConfig
from vireid.embedder import Run, load_run
from vireid.errors import InputError
from vireid.evaluation.results import RerankChoice, Result, rerank_states, save_results, table
from vireid.experiment.embedded import EmbeddedTest, embed_tests
from vireid.experiment.evaluate import score_test
from vireid.experiment.train import complete_run
from vireid.report.page import build_page

MODELS = UNTRAINED, SHIPPED, TUNED = "untrained", "default", "fine-tuned"


def run_demo(output: Path, *, device: str = "auto") -> Path:
    """Evaluate, fine-tune, evaluate again and write `output/report.html`; returns its path.

    An interrupted demo goes on where it stopped; a finished one is only reported again.

    Raises:
        InputError: the folder holds something else, or the package lacks its assets.
    """
    started = time.perf_counter()
    config = configuration.load(Path(str(files("vireid"))) / "assets" / "demo.yaml")
    if output.exists() and any(output.iterdir()) and not (output / "run").is_dir():
        raise InputError(f"{output} is not empty and holds no demo; choose another --output")
    output.mkdir(parents=True, exist_ok=True)
    shipped = load_run("default")
    rows, tests = {}, {}
    _say("1/4  untrained network")
    rows[UNTRAINED], _ = _score(_untrained(shipped), "off", device)
    _say("\n2/4  shipped model (trained on other people)")
    rows[SHIPPED], tests[SHIPPED] = _score(shipped, "off", device)
    _say(f"\n3/4  fine-tuning on the {_training_identities(config)} training people of SynthVI-mini")
    tuned = load_run(complete_run(config, output / "run", device=device))
    _say("\n4/4  fine-tuned model, without and with re-ranking")
    rows[TUNED], tests[TUNED] = _score(tuned, "both", device)
    for name, part in rows.items():
        save_results(output / f"results-{name}.json", part)
    save_results(tuned.path / "results.json", rows[TUNED])
    path = output / "report.html"
    runs = {SHIPPED: shipped, TUNED: tuned}
    sets = [dict(zip(tests, each, strict=True)) for each in zip(*tests.values(), strict=True)]
    intro = (
        "Searching people across cameras of different light on SynthVI-mini, a rendered data set. Each number is "
        "measured, in percent, on people no model here was trained on. 'fine-tuned' starts from the shipped model, "
        f"'default', and trains {config.train.epochs} epochs on SynthVI-mini's training people; its last epoch is "
        "reported."
    )
    write_text(path, build_page("vireid demo", intro, runs, rows, sets, seed=config.train.seed))
    _say(f"\nreport: {path.absolute()}  ({time.perf_counter() - started:.0f} s)")
    _say(f"model:  {tuned.path}, for example: vireid evaluate {tuned.path}")
    return path


def _score(run: Run, rerank: RerankChoice, device: str) -> tuple[list[Result], list[EmbeddedTest]]:
    """The rows of both parts of SynthVI-mini, which are printed, and the parts as the model embeds them."""
    tests = embed_tests(run, root=Path("mini"), device=device)
    rows = [row for test in tests for row in score_test(test, run.config, test.protocols(), rerank_states(rerank))]
    _say(table(rows))
    return rows, tests


def _untrained(run: Run) -> Run:
    """The same network with the random weights it would start from."""
    torch.manual_seed(run.config.train.seed)
    options = run.config.method.options.model_copy(update={"weights": "none"})
    method = run.config.method.module.build(options, 1)
    return Run(run.path, run.config, method.state_dict(), num_identities=1, epoch=0)


def _training_identities(config: ExperimentConfig) -> int:
    samples = config.data.module.load(config.data.options)
    return len({sample.pid for sample in samples if sample.split == "train"})


def _say(text: str) -> None:
    print(text, flush=True)
