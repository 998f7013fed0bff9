"""What the API says of its answers in its own description, held against the answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.api.shop import Client, Shop
from tests.api.test_contract_accounts import is_like

OF_BUYING = {"Cart", "Orders", "Payments", "Shipping", "Promotions", "Reports", "Operations"}
"""Here nothing is answered that is not described; a product, say, may have fields that came with it."""


class Description:
    def __init__(self, shop: Shop) -> None:
        document = httpx.get(f"{shop.origin}/docs/json").json()
        self._paths: dict[str, dict[str, Any]] = document["paths"]
        self._components = {
            name: {"additionalProperties": False, **schema} if "properties" in schema else schema
            for name, schema in document["components"]["schemas"].items()
        }

    def check(self, response: httpx.Response) -> None:
        request = response.request
        operation = self._operation(request.method.lower(), request.url.path)
        at = f"{request.method} {request.url.path} {response.status_code}"
        if operation is None or not OF_BUYING & set(operation["tags"]):
            return
        assert str(response.status_code) in operation["responses"], at
        content = operation["responses"][str(response.status_code)].get("content", {})
        kind = response.headers.get("content-type", "").partition(";")[0]
        assert (kind in content) if response.content else not content, f"{at}: {kind}"
        if kind == "application/json" and "snake" not in request.headers.get("accept", ""):
            schema = {**content[kind]["schema"], "components": {"schemas": self._components}}
            faults = [
                f"{fault.json_path}: {fault.message[-300:]}"
                for fault in Draft202012Validator(schema).iter_errors(response.json())
            ]
            assert faults == [], at

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        found = {
            template: item[method]
            for template, item in self._paths.items()
            if method in item and is_like(path, template)
        }
        # What is spelt out comes before what has a name in it (C58).
        return found[min(found, key=lambda template: template.count("{"))] if found else None


@contextmanager
def described(shop: Shop) -> Iterator[None]:
    """Whatever is asked of the shop meanwhile, and by whom, is answered as it says itself."""
    description, ask = Description(shop), Client.__call__

    def checked(client: Client, method: str, path: str, **options: Any) -> httpx.Response:
        response = ask(client, method, path, **options)
        description.check(response)
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "__call__", checked)
        yield
