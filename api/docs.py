"""The API's documentation: the OpenAPI document, and a page that shows it, with everything it needs from here."""

from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from api.openapi.describe import describe
from api.wire import answer, not_modified, tag_matches
from engine.errors import Refusal

WEB = Path(__file__).parent / "web"
SWAGGER_UI = WEB / "vendor" / "swagger-ui-5.35.0"
ASSETS = {
    "docs.js": (WEB, "text/javascript"),
    "swagger-ui-bundle.js": (SWAGGER_UI, "text/javascript"),
    "swagger-ui.css": (SWAGGER_UI, "text/css"),
}
"""Name -> its folder and media type; nothing else is served."""
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@describe({200: "application/json"}, tagged=True)
async def read_openapi(request: Request) -> Response:
    """Give the OpenAPI document."""
    document = request.app.state.document
    headers = {"ETag": document.tag, "Cache-Control": "public, no-cache"}
    if tag_matches(request, document.tag):
        return not_modified(headers)
    return answer(document.encoded, headers=headers)


@describe({200: "text/html"})
async def read_docs(request: Request) -> Response:
    """Show the document in a browser."""
    headers = {"Content-Security-Policy": CONTENT_POLICY, "Cache-Control": "public, max-age=300"}
    return Response(_content(WEB / "docs.html"), headers=headers, media_type="text/html")


@describe({200: ("text/css", "text/javascript")})
async def read_asset(request: Request) -> Response:
    """Give a file of the page."""
    name = request.path_params["asset"]
    folder, media_type = ASSETS.get(name, (None, ""))
    if folder is None:
        raise Refusal("not_found")
    return Response(_content(folder / name), headers={"Cache-Control": "public, max-age=86400"}, media_type=media_type)


@lru_cache(maxsize=len(ASSETS) + 1)
def _content(path: Path) -> bytes:
    return path.read_bytes()
