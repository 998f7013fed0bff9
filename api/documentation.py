"""The API's own description: OpenAPI, as Litestar draws it from the handlers, and what it cannot know beside."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.metadata import distribution
from inspect import getdoc
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Router, get
from litestar._openapi.plugin import OpenAPIPlugin
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.params import FromPath
from litestar.response import File, Response
from litestar.routes import HTTPRoute
from litestar.status_codes import HTTP_404_NOT_FOUND

from api.cookies import ACCESS
from api.models import Problem
from api.problems import validation_status

_MEANINGS: Final = {
    301: "It has another slug now: `Location` says where it is",
    304: "Nothing has changed since the answer with the `ETag` that was sent as `If-None-Match`",
    400: "The input is refused; `details` names the fields",
    401: "No token, or not a good one",
    403: "Not allowed, or sent with cookies but without their `X-CSRF-Token`",
    404: "There is no such thing",
    409: "It exists already, or somebody else changed it first",
    413: "The body is too large",
    415: "The body is of a kind that is not understood here",
    422: "A rule of the business stands in the way, or the `Idempotency-Key` was used for another request",
    423: "Locked for now; try again after `Retry-After` seconds",
    429: "Asked for too often; try again after `Retry-After` seconds",
    503: "Something that is needed does not answer; try again after `Retry-After` seconds",
}

_DESCRIPTION: Final = """
An event-sourced commerce backend. Input may be camelCase or snake_case; `Accept: application/json; case=snake` gives
answers in snake_case. Every change takes an `Idempotency-Key`, and answers with `X-Log-Position`: a reader who sends it
back as `X-Min-Log-Position` sees that change, whatever happens. What is the same for everybody (products, lists of
them, categories, collections) has an `ETag`: sent back as `If-None-Match` it is answered with 304 while nothing has
changed. `HEAD` is answered wherever `GET` is.
"""

_BODILESS: Final = {301, 304}
_MUTATING: Final = {"post", "put", "patch", "delete"}
_REFERENCE: Final = "#/components/schemas/{name}"

_PIECE: Final = {"total", "skip", "limit", "nextCursor"}
_PAGINATION: Final = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in ("total", "page", "limit", "pages")},
    "required": ["total", "page", "limit", "pages"],
}

_HEADERS: Final = {
    "Idempotency-Key": "Carries out a request once, however often it is sent with this key; up to 255 characters",
    "X-Min-Log-Position": "Wait until this position of the log can be seen",
}

_START: Final = """
SwaggerUIBundle({
  url: "/docs/json",
  dom_id: "#swagger-container",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
})
"""

START_HASH: Final = "sha256-" + b64encode(sha256(_START.encode()).digest()).decode()
"""By which the page's Content-Security-Policy knows its one script."""

_ASSETS: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-standalone-preset.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


class SelfHostedSwagger(SwaggerRenderPlugin):
    """Swagger UI from our own origin: no reader is sent to a CDN, and none is needed to read.

    The files are those of ``swagger-ui-py``, of which nothing is imported. Their version is in their addresses, so
    that browsers may keep them for ever.
    """

    def __init__(self) -> None:
        bundle = distribution("swagger-ui-py")
        self._files = Path(str(bundle.locate_file("swagger_ui/static")))
        self._version = bundle.version
        super().__init__(
            path="/",
            js_url=self._url("swagger-ui-bundle.js"),
            standalone_preset_js_url=self._url("swagger-ui-standalone-preset.js"),
            css_url=self._url("swagger-ui.css"),
            favicon=f'<link rel="icon" type="image/png" href="{self._url("favicon-32x32.png")}">',
        )

    def receive_router(self, router: Router) -> None:
        @get("/assets/{name:str}", sync_to_thread=False)
        def asset(name: FromPath[str]) -> File:
            if name not in _ASSETS:
                raise NotFoundException
            return File(
                self._files / name,
                media_type=_ASSETS[name],
                content_disposition_type="inline",
                headers={"Cache-Control": "public, max-age=31536000, immutable"},
            )

        super().receive_router(router)
        router.register(asset)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The framework's page has the whole description in its script, which no hash could know beforehand."""
        return (
            "<!DOCTYPE html><html><head>"
            f"<title>{openapi_schema['info']['title']}</title>{self.favicon}"
            '<meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link href="{self.css_url}" rel="stylesheet">'
            f'<script src="{self.js_url}"></script>'
            f'<script src="{self.standalone_preset_js_url}"></script>'
            "</head><body>"
            f'<div id="swagger-container"></div><script>{_START}</script>'
            "</body></html>"
        ).encode()

    def _url(self, name: str) -> str:
        return f"/docs/assets/{name}?v={self._version}"


def _no_page_of_its_own(response: Response[Any]) -> Response[Any]:
    """What is not there is answered like everywhere else, rather than with the framework's own page."""
    if response.status_code == HTTP_404_NOT_FOUND:
        raise NotFoundException
    return response


def openapi_config(version: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Tradelog",
        version=version,
        description=_DESCRIPTION.strip(),
        openapi_router=Router(
            path="/docs", route_handlers=[], include_in_schema=False, after_request=_no_page_of_its_own
        ),
        use_handler_docstrings=True,
        render_plugins=[SelfHostedSwagger(), JsonRenderPlugin(path="/json")],
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
                "cookie": SecurityScheme(
                    type="apiKey",
                    name=ACCESS,
                    security_scheme_in="cookie",
                    description="Set by signing in. What changes something needs `X-CSRF-Token`, too: "
                    "what the cookie `csrfToken` and `GET /auth/csrf` say.",
                ),
            }
        ),
        tags=[
            Tag(name=name)
            for name in (
                "Accounts",
                "Media",
                "Categories",
                "Collections",
                "Products",
                "Reviews",
                "Wishlist",
                "Sellers",
                "Promotions",
                "Cart",
                "Shipping",
                "Orders",
                "Payments",
                "Reports",
                "Audit",
                "Operations",
            )
        ],
    )


def answers(model: Any, status: int, *others: int) -> dict[int, ResponseSpec]:
    """What a handler answers with, and with what else than that and refusals of bad input."""
    specs = {
        code: ResponseSpec(
            None if code in _BODILESS else Problem, generate_examples=False, description=_MEANINGS[code]
        )
        for code in sorted({400, 429, 503, *others})
    }
    specs[status] = ResponseSpec(model, generate_examples=False, description="Success")
    return specs


def document(app: Litestar) -> dict[str, Any]:
    """The whole description, also while no server runs."""
    schema: dict[str, Any] = app.plugins.get(OpenAPIPlugin).provide_openapi_schema()
    return schema


def complete(app: Litestar) -> None:
    """Add to the description what handlers read by themselves: the query, and the headers that all share."""
    schema = document(app)  # kept by the plugin, which serves it
    components: dict[str, Any] = schema["components"]["schemas"]
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        operations = schema["paths"].get(route.path_format, {})
        for handler in route.route_handlers:
            for method in map(str.lower, handler.http_methods):
                if method in operations:
                    _describe_body(handler, operations[method], components)
                    _describe_forms(handler, operations[method])
                    if method in _MUTATING:
                        _describe_refusals(operations[method])
                    described = operations[method].setdefault("parameters", [])
                    described.extend(_parameters(handler, method, components))
                    _describe_query(handler, operations[method])
                    _describe_styles(operations[method], components)
                    _describe_readers(operations[method])
                    if handler.opt.get("table"):
                        operations[method]["responses"]["200"]["content"]["text/csv"] = {
                            "schema": {"type": "string"}
                        }
                    if "204" in operations[method]["responses"]:
                        # A handler that answers by itself may not declare this to the framework.
                        operations[method]["responses"].pop("200", None)
                    if validation_status(route.path_format) == 422:
                        _refuse_with_422(operations[method]["responses"])
    _drop_illegal_defaults(components)


def _drop_illegal_defaults(components: dict[str, Any]) -> None:
    """By an empty text we know that a field was not sent; where it must not be empty, nobody may send that."""
    for component in components.values():
        for described in component.get("properties", {}).values():
            if described.get("default") == "" and described.get("minLength", 0):
                del described["default"]


def _add(components: dict[str, Any], found: dict[str, Any]) -> None:
    """Of two things of one name, all that is said of either would be said of the one that comes last."""
    for name, schema in found.items():
        there = components.get(name, schema)
        if there.get("properties", {}).keys() != schema.get("properties", {}).keys():
            raise ValueError(f"two things that are described are called {name}")
        components[name] = schema


def _describe_body(handler: HTTPRouteHandler, operation: dict[str, Any], components: dict[str, Any]) -> None:
    """What a handler reads by itself, because it may be absent."""
    body = handler.opt.get("body")
    if body is not None:
        (reference,), found = msgspec.json.schema_components([body], ref_template=_REFERENCE)
        _add(components, found)
        operation["requestBody"] = {"required": False, "content": {"application/json": {"schema": reference}}}


def _describe_forms(handler: HTTPRouteHandler, operation: dict[str, Any]) -> None:
    """What a body is in each of its forms: ``forms`` maps what is meant to what is in it then and what is not."""
    forms = handler.opt.get("forms")
    if forms is not None:
        content = operation["requestBody"]["content"]["application/json"]
        content["schema"] = {
            "oneOf": [{"title": meant, "allOf": [content["schema"]], **told} for meant, told in forms.items()]
        }


def _describe_query(handler: HTTPRouteHandler, operation: dict[str, Any]) -> None:
    """What no parameter says of itself: which are one, and what they mean together."""
    told = getdoc(handler.opt["query"]) if "query" in handler.opt else None
    if told:
        operation["description"] = "\n\n".join(filter(None, (operation.get("description"), told)))


def _describe_styles(operation: dict[str, Any], components: dict[str, Any]) -> None:
    """A list comes in three shapes, as its parameters choose (C8): the model is that of DummyJSON."""
    content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    properties = components.get(name, {}).get("properties", {})
    if not properties.keys() >= _PIECE:
        return
    entries = next(schema for schema in properties.values() if schema.get("type") == "array")
    beside = {
        field: schema
        for field, schema in properties.items()
        if field not in _PIECE and schema.get("type") != "array"
    }
    by_cursor = {field: schema for field, schema in properties.items() if field not in {"total", "skip"}}
    components[f"{name}Numbered"] = {
        "title": f"{name}Numbered",
        "type": "object",
        "properties": {"data": entries, "pagination": _PAGINATION, **beside},
        "required": ["data", "pagination"],
    }
    components[f"{name}ByCursor"] = {
        "title": f"{name}ByCursor",
        "type": "object",
        "properties": by_cursor,
        "required": [field for field in components[name]["required"] if field in by_cursor],
    }
    # Whatever has the first one's fields has the last one's, too.
    content["schema"] = {
        "anyOf": [
            {"$ref": _REFERENCE.format(name=f"{name}{style}")} for style in ("", "Numbered", "ByCursor")
        ]
    }


def _describe_readers(operation: dict[str, Any]) -> None:
    """What one reader sees can be as much as another one does: to be both is no fault of an answer."""
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            if "oneOf" in content["schema"]:
                content["schema"] = {"anyOf": content["schema"]["oneOf"]}


def _describe_refusals(operation: dict[str, Any]) -> None:
    """How every change may be refused, whatever it is about."""
    refusal = operation["responses"]["400"]
    statuses = [409, 422]
    if "requestBody" in operation:
        statuses += [413, 415]
    if operation.get("security"):
        statuses += [403]
    for status in statuses:
        operation["responses"].setdefault(str(status), {**refusal, "description": _MEANINGS[status]})


def _refuse_with_422(responses: dict[str, Any]) -> None:
    """What S0 alone names refuses its input with 422, and keeps 400 for what cannot be read (C4)."""
    refusal = responses["400"]
    responses["422"] = {**refusal, "description": _MEANINGS[400]}
    responses["400"] = {**refusal, "description": "The body is not JSON"}


def _parameters(handler: HTTPRouteHandler, method: str, components: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    query = handler.opt.get("query")
    if query is not None:
        _, found = msgspec.json.schema_components([query], ref_template=_REFERENCE)
        own = found.pop(query.__name__)
        _add(components, found)
        for name, described in own["properties"].items():
            # ``attributes[size]=M``
            nested = {"style": "deepObject", "explode": True} if described.get("type") == "object" else {}
            required = name in own["required"]
            parameters.append(
                {"name": name, "in": "query", "required": required, "schema": described, **nested}
            )
    header = "Idempotency-Key" if method in _MUTATING else "X-Min-Log-Position"
    parameters.append(
        {
            "name": header,
            "in": "header",
            "required": False,
            "description": _HEADERS[header],
            "schema": {"type": "string"},
        }
    )
    return parameters
