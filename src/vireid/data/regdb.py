"""RegDB (Nguyen et al., Sensors 2017): 412 people, ten visible and ten thermal images of each.

Layout: `Visible/<identity>/*.bmp`, `Thermal/<identity>/*.bmp` and, for each of ten trials,
`idx/{train,test}_{visible,thermal}_<trial>.txt` with lines `Visible/7/female_front_v_09355_7.bmp 0`.
A trial halves the identities: a model trained in one trial has seen test people of the others.
A sample reads `Sample(path=.../Thermal/7/x.bmp, pid=7, modality=INFRARED, camid=2, split="test")`.
"""

from itertools import chain
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vireid.data.files import image_files, numbered_folders, read_index, rendered_counts, require_folder
from vireid.data.report import Report
from vireid.errors import InputError
from vireid.sample import Modality, Sample

TRIALS = range(1, 11)
CAMERA = {Modality.VISIBLE: 1, Modality.INFRARED: 2}
FOLDER = {Modality.VISIBLE: "Visible", Modality.INFRARED: "Thermal"}
CONTACT = (
    "Dongguk University, `Dongguk Body-based Person Recognition Database (DBPerson-Recog-DB1)`, "
    "dm.dongguk.edu/link.html (copyright form; often unanswered); "
    "github.com/mangye16/Cross-Modal-Re-ID-baseline tells where else to ask"
)


class Config(BaseModel):
    """Where RegDB lies and which of its ten trials is trained and tested."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    trial: int = Field(1, ge=1, le=10, description="train one model per trial and report the mean of ten")


def load(config: Config) -> list[Sample]:
    """Training and test images of the trial in the order of its index files, visible before infrared.

    Raises:
        InputError: a folder or index file is missing, a row is malformed or names a file that does not exist,
            or an identity is both trained on and tested, or lacks one of the modalities.
    """
    require_folder(config.root, "Visible, Thermal and idx of RegDB; see `vireid data check regdb`")
    for modality in Modality:
        require_folder(config.root / FOLDER[modality], "its images of RegDB; half of the data set is missing")
    samples = [
        sample
        for split in ("train", "test")
        for modality in Modality
        for sample in _read(config.root, split, modality, config.trial)
    ]
    _require_disjoint(config, samples)
    return samples


def check(root: Path) -> Report:
    """Count identities and images against the official numbers; `InputError` if `root` is no folder.

    A rendered folder of this layout is held against its own `dataset.json`.
    """
    require_folder(root, f"Visible, Thermal and idx of RegDB; to get it: {CONTACT}")
    report = Report("RegDB", root, CONTACT)
    about = rendered_counts(root)
    people = 412 if about is None else sum(about["identities"].values())
    halves = people // 2, people - people // 2
    images: list[Path] = []
    for modality in Modality:
        found = [image_files(folder) for folder in numbered_folders(root / FOLDER[modality]).values()]
        counts = [len(paths) for paths in found]
        images += chain.from_iterable(found)
        report.expect(f"{FOLDER[modality]} identities", len(found), people)
        report.expect(f"{FOLDER[modality]} images", sum(counts), 10 * people)
        report.expect(f"{FOLDER[modality]} identities without 10 images", sum(n != 10 for n in counts), 0)
    whole = 0
    for trial in TRIALS:
        try:
            samples = load(Config(root=root, trial=trial))
        except InputError as error:
            report.notes.append(f"trial {trial}: {error}")
            continue
        train = {sample.pid for sample in samples if sample.split == "train"}
        test = {sample.pid for sample in samples if sample.split == "test"}
        if sorted((len(train), len(test))) == sorted(halves) and len(samples) == 20 * people:
            whole += 1
        elif not report.notes:
            report.notes.append(
                f"trial {trial}: {len(train)} training and {len(test)} test identities with {len(samples)} "
                f"images, expected {halves[0]} and {halves[1]} with {20 * people}"
            )
    report.expect("complete trials", whole, len(TRIALS))
    report.expect_readable("unreadable images", images)
    if about is not None:
        report.notes.append("rendered by `vireid synth`; the expected counts are those of its dataset.json")
    return report


def _read(root: Path, split: str, modality: Modality, trial: int) -> list[Sample]:
    file = root / "idx" / f"{split}_{FOLDER[modality].lower()}_{trial}.txt"
    return [Sample(path, pid, modality, CAMERA[modality], split) for path, pid, _ in read_index(file, root)]


def _require_disjoint(config: Config, samples: list[Sample]) -> None:
    pids = {
        (split, modality): {s.pid for s in samples if s.split == split and s.modality is modality}
        for split in ("train", "test")
        for modality in Modality
    }
    for split in ("train", "test"):
        odd = sorted(pids[split, Modality.VISIBLE] ^ pids[split, Modality.INFRARED])
        if odd:
            raise InputError(
                f"{config.root / 'idx'}: identity {odd[0]} is in only one of the {split} lists of trial "
                f"{config.trial} ({len(odd)} such identities); expected the same identities in both "
                "modalities"
            )
    shared = sorted(pids["train", Modality.VISIBLE] & pids["test", Modality.VISIBLE])
    if shared:
        raise InputError(
            f"{config.root / 'idx'}: identity {shared[0]} is in the training and the test lists of trial "
            f"{config.trial} ({len(shared)} such identities); expected two separate halves"
        )
