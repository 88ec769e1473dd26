"""The REST API of a gallery.

Bodies are read here and not by FastAPI, which would read them before it knows who asks, and would write larger ones to
temporary files.
"""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response
from fastapi.responses import JSONResponse

from vireid.app import messages as m
from vireid.app.audit import Audit, note
from vireid.app.desk import Desk
from vireid.app.guard import Guard, tell_failures
from vireid.app.page import mount_page
from vireid.app.refusal import Refused
from vireid.app.security import Door, Tokens
from vireid.app.service import Service
from vireid.app.uploads import MEGABYTE, Form, Limits, read_body, read_form
from vireid.bulk import content_id
from vireid.search.gallery import Gallery
from vireid.version import __version__

FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": m.Failure} for status in (400, 401, 403, 404, 408, 413, 415, 422, 503)
}
CropId = Annotated[str, Path(max_length=200, description="Of a crop of the gallery.")]
_FILE = {"type": "string", "format": "binary"}


def create_app(
    gallery: Gallery, *, tokens: Tokens | None, audit: Audit | None = None, limits: Limits | None = None
) -> FastAPI:
    """The application that serves a gallery.

    Args:
        gallery: an opened one; its model is loaded when first needed.
        tokens: who may ask. None lets in everyone who reaches the server by a name of this machine.
        audit: where each request gets its line; None for nowhere.
        limits: of requests.
    """
    limits = limits or Limits()
    # The pages that FastAPI has for descriptions load scripts from elsewhere.
    app = FastAPI(title="vireid", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = Service(gallery, limits)
    app.state.desk = Desk(1, limits.waiting)
    app.state.light = Desk(2, 100)  # for what needs no model: a page of hits asks for many pictures at once
    app.add_middleware(Guard, audit=audit)
    tell_failures(app)
    app.include_router(_routes(app, limits), prefix="/v1", dependencies=[Depends(Door(tokens))], responses=FAILURES)
    mount_page(app)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the server answers; needs no token."""
        return {"status": "ok"}

    return app


def _routes(app: FastAPI, limits: Limits) -> APIRouter:
    router = APIRouter()
    service: Service = app.state.service
    desk: Desk = app.state.desk
    light: Desk = app.state.light

    @router.post("/search", openapi_extra=_body(m.SearchOptions, "image", json=m.SearchRequest))
    async def search(request: Request) -> m.SearchAnswer:
        """The crops most similar to an image, an embedding, or a crop of the gallery; best first."""
        with desk.place():
            if _kind(request) == "application/json":
                asked = m.from_json(m.SearchRequest, await read_body(request, 2 * MEGABYTE, limits.seconds))
                options: m.SearchOptions = asked
                query = _query(asked)
                if asked.id is not None:
                    work = partial(service.search_crop, asked.id, asked)
                else:
                    work = partial(service.search_embedding, asked.embedding or [], asked)
            else:
                form = await read_form(request, limits.image_bytes + MEGABYTE, limits)
                options = m.from_form(m.SearchOptions, form)
                image = _one_image(form)
                query, work = {"image": content_id(image)}, partial(service.search_image, image, options)
            told = options.model_dump(exclude_defaults=True, exclude={"embedding", "id"})
            note(request, action="search", query=query, options={"k": options.k, **told})
            answer: m.SearchAnswer = await desk.run(work)
        note(request, found=[hit.id for hit in answer.hits])
        return answer

    @router.post("/embed", openapi_extra=_body(m.EmbedOptions, "image"))
    async def embed(request: Request) -> m.EmbedAnswer:
        """The embedding of an image by the gallery's model."""
        with desk.place():
            form = await read_form(request, limits.image_bytes + MEGABYTE, limits)
            options, image = m.from_form(m.EmbedOptions, form), _one_image(form)
            note(request, action="embed", query={"image": content_id(image)})
            return await desk.run(partial(service.embed, image, options.modality))

    @router.get("/gallery")
    async def describe(request: Request) -> m.GalleryAnswer:
        """What the gallery holds."""
        note(request, action="describe")
        with light.place():
            return await light.run(service.describe)

    @router.post("/gallery", openapi_extra=_body(m.AddOptions, "images", several=True))
    async def add(request: Request) -> m.AddAnswer:
        """Add images. All of them are added or, if one cannot be decoded, none; a small picture of each is kept."""
        with desk.place():
            form = await read_form(request, limits.body_bytes, limits)
            options, images = m.from_form(m.AddOptions, form), _files(form, "images")
            note(request, action="add", options=options.model_dump(exclude_defaults=True))
            added = await desk.run(partial(service.add, images, options))
        note(request, ids=added.ids, added=added.added)
        return added

    @router.delete("/gallery/{crop_id}")
    async def remove(request: Request, crop_id: CropId) -> m.RemoveAnswer:
        """Remove a crop."""
        note(request, action="remove", ids=[crop_id])
        with light.place():
            return m.RemoveAnswer(removed=await light.run(partial(service.remove, crop_id)))

    @router.get(
        "/gallery/{crop_id}/image",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {"schema": _FILE}}}},
    )
    async def picture(request: Request, crop_id: CropId) -> Response:
        """A small picture of a crop."""
        note(request, action="look", ids=[crop_id])
        with light.place():
            return Response(await light.run(partial(service.picture, crop_id)), media_type="image/jpeg")

    @router.post("/gallery/{crop_id}/heat", openapi_extra=_json_body(m.Query))
    async def heat(request: Request, crop_id: CropId) -> m.HeatAnswer:
        """Where in a crop its similarity to a query comes from."""
        with desk.place():
            if _kind(request) != "application/json":
                raise Refused(415, "expected a body of application/json")
            asked = m.from_json(m.Query, await read_body(request, 2 * MEGABYTE, limits.seconds))
            note(request, action="heat", query=_query(asked), ids=[crop_id])
            work = partial(service.heat, crop_id, embedding=asked.embedding, query_id=asked.id)
            return await desk.run(work)

    @router.get("/openapi.json", include_in_schema=False)
    async def description() -> JSONResponse:
        """The description of this API."""
        return JSONResponse(app.openapi())

    return router


def _query(asked: m.Query) -> dict[str, str]:
    """What is searched for, as the audit log names it; raises `Refused` (422) unless it is told in one way."""
    if (asked.embedding is None) == (asked.id is None):
        raise Refused(422, "expected either embedding or id; images are sent as multipart/form-data")
    if asked.id is not None:
        return {"crop": asked.id}
    return {"embedding": content_id(repr(asked.embedding).encode())}


def _kind(request: Request) -> str:
    """The media type of a body, which must be one of two."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "multipart/form-data"):
        raise Refused(415, "expected a body of multipart/form-data, or to search by embedding or id application/json")
    return kind


def _one_image(form: Form) -> bytes:
    images = _files(form, "image")
    if len(images) > 1:
        raise Refused(422, "image: expected one file")
    return images[0]


def _files(form: Form, name: str) -> list[bytes]:
    if set(form.files) != {name}:
        raise Refused(422, f"expected an image as a file in the field {name}, and no other file")
    return form.files[name]


def _json_body(kind: type[m.Query]) -> Any:
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def _body(form: type[m.SearchOptions | m.EmbedOptions], file: str, *, several: bool = False, json: Any = None) -> Any:
    """The description of a body that FastAPI does not read."""
    schema = form.model_json_schema()
    files = {"type": "array", "items": _FILE, "minItems": 1} if several else _FILE
    schema = {**schema, "properties": {file: files, **schema["properties"]}, "required": [file]}
    content = {"multipart/form-data": {"schema": schema}}
    if json is not None:
        content["application/json"] = {"schema": json.model_json_schema()}
    return {"requestBody": {"required": True, "content": content}}
