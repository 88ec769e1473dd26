"""What is asked and what is answered, as the OpenAPI description shows it."""

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from vireid.app.refusal import Refused
from vireid.app.uploads import Form
from vireid.data.manifest import MODALITIES
from vireid.errors import InputError
from vireid.search.where import Where, parse_time, show_time

MOST_HITS = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_WHEN = "expected ISO 8601 such as 2026-03-01T18:30:00 (UTC unless it names a zone) or seconds since 1970"


def _clean(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("expected text without control characters")
    return text


def _moment(told: Any) -> float | None:
    if told is None or told == "":
        return None
    try:
        seconds = parse_time(str(told))
        show_time(seconds)
    except (ValueError, OverflowError, OSError):
        raise ValueError(_WHEN) from None
    return seconds


Text = Annotated[str, Field(max_length=200), AfterValidator(_clean)]
Texts = Annotated[list[Text], Field(max_length=200)]
Moment = Annotated[
    float | None,
    BeforeValidator(_moment),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "description": _WHEN}),
]
QueryModality = Literal["visible", "infrared", "auto"]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchOptions(_Asked):
    """How to search, and among which crops: those that fulfil all that is given."""

    k: int = Field(20, ge=1, le=MOST_HITS, description="Crops to find.")
    modality: QueryModality = Field("auto", description="Of the query; auto is by an image's colours.")
    rerank: bool = Field(False, description="Sort by mutual neighbours among the nearest crops.")
    fmr: float | None = Field(
        None, gt=0, le=1, description="Only what reaches the threshold at this false match rate, such as 0.001."
    )
    ids: Texts = []
    cameras: Texts = []
    tracks: Texts = []
    pids: Texts = []
    of: Literal["visible", "infrared"] | None = Field(None, description="Of this modality.")
    after: Moment = None
    before: Moment = None

    def where(self) -> Where:
        """The filter."""
        try:
            return Where(
                ids=tuple(self.ids),
                cameras=tuple(self.cameras),
                start=self.after,
                end=self.before,
                modality=None if self.of is None else MODALITIES[self.of],
                tracks=tuple(self.tracks),
                pids=tuple(self.pids),
            )
        except InputError:
            raise Refused(422, "the time range is empty; expected after to be before before") from None


class Query(_Asked):
    """What is searched for, if it is no image: an embedding, or a crop of the gallery."""

    embedding: list[float] | None = Field(None, max_length=65536, description="Of this gallery's model, of length 1.")
    id: Text | None = Field(None, description="Of a crop of the gallery, which is then not among the hits.")


class SearchRequest(Query, SearchOptions):
    """A search without an image."""


class EmbedOptions(_Asked):
    """How to embed."""

    modality: QueryModality = "auto"


class AddOptions(EmbedOptions):
    """What is known of all images of a request."""

    camera: Text = ""
    time: Moment = None
    track: Text = ""
    pid: Text = ""


class Found(BaseModel):
    """A crop that was found."""

    id: str
    score: float = Field(description="Cosine similarity, -1 to 1.")
    probability: float | None = Field(
        description="That it is the same person, if before looking that was as likely as not; null if not calibrated."
    )
    distance: float | None = Field(description="After re-ranking, by which hits are sorted; null without it.")
    pid: str
    camera: str
    time: str | None
    modality: Literal["visible", "infrared"]
    track: str
    thumbnail: str = Field(description="Address of its picture on this server.")


class SearchAnswer(BaseModel):
    """Hits, best first."""

    hits: list[Found]
    modality: Literal["visible", "infrared"] | None = Field(
        description="Of the query, as told or as its colours say; null for an embedding of which it was not told."
    )


class HeatAnswer(BaseModel):
    """Where the similarity comes from."""

    cells: list[list[float]] = Field(
        description="Rows from top to bottom: how much lower the similarity is when this part of the crop is covered."
    )


class EmbedAnswer(BaseModel):
    """An embedding, and the fingerprint of the model whose it is."""

    embedding: list[float]
    modality: Literal["visible", "infrared"]
    model: str


class GalleryAnswer(BaseModel):
    """What a gallery holds. Crops whose camera is not known are counted under the empty name."""

    count: int
    model: str = Field(description="Fingerprint of the model whose embeddings it holds.")
    dimensions: int
    cameras: dict[str, int]
    first: str | None = Field(description="Earliest time of a crop.")
    last: str | None
    rates: list[float] = Field(description="False match rates that fmr may be; none if the model is not calibrated.")
    image_bytes: int = Field(description="Bytes that an image which is sent may have at most.")


class AddAnswer(BaseModel):
    """Names of the images, in their order; how many are new, and how many were there already."""

    ids: list[str]
    added: int
    known: int


class RemoveAnswer(BaseModel):
    """How many crops were removed."""

    removed: int


class Failure(BaseModel):
    """Why a request was not served: one sentence that says what was expected."""

    error: str


Asked = TypeVar("Asked", bound=_Asked)


def from_json(kind: type[Asked], body: bytes) -> Asked:
    """What a JSON body asks; raises `Refused` (400, 422)."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(kind, error) from None


def from_form(kind: type[Asked], form: Form) -> Asked:
    """What the texts of a form ask; a field that holds a list may be repeated. Raises `Refused` (422)."""
    told: dict[str, Any] = {}
    for name, texts in form.texts.items():
        several = name in kind.model_fields and kind.model_fields[name].default == []
        if not several and len(texts) > 1:
            raise Refused(422, f"{_shown(kind, name)}: expected once")
        told[name] = texts if several else texts[0]
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        raise _refusal(kind, error) from None


def _refusal(kind: type[_Asked], error: ValidationError) -> Refused:
    """The first fault in a sentence, without what was sent."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Refused(400, "the body is no JSON; expected an object in JSON")
    if first["type"] == "extra_forbidden":
        return Refused(422, f"a field is not known; expected some of {', '.join(kind.model_fields)}")
    told = first["msg"].removeprefix("Value error, ")
    return Refused(422, f"{_shown(kind, first['loc'][0])}: {told}" if first["loc"] else told)


def _shown(kind: type[_Asked], name: object) -> str:
    return str(name) if name in kind.model_fields else "a field"
