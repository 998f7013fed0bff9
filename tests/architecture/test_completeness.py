"""Nothing is half there: every command has a handler, every handler a command, and both are found by type."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any, get_type_hints

import application
from tests.application.shop import Shop

CONTEXTS = (
    "accounts",
    "carts",
    "categories",
    "collections",
    "follows",
    "jobs",
    "listings",
    "media",
    "orders",
    "payments",
    "promotions",
    "reports",
    "reviews",
    "sellers",
    "wishlists",
)


def handled_commands() -> Iterator[type]:
    """The command that each handler function takes."""
    for context in CONTEXTS:
        package = importlib.import_module(f"{application.__name__}.{context}")
        for module_info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(module_info.name)
            for _, function in inspect.getmembers(module, inspect.iscoroutinefunction):
                takes = list(inspect.signature(function).parameters)[:2]
                if function.__module__ == module.__name__ and takes == ["command", "metadata"]:
                    hints: dict[str, Any] = get_type_hints(function)
                    yield hints["command"]


def test_every_handler_is_on_the_bus_and_nothing_else_is() -> None:
    handled = list(handled_commands())
    assert len(handled) == len(set(handled))
    assert set(handled) == set(Shop().bus.commands)
