"""Nothing is half there: every command has a handler, every handler a command, and both are found by type."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any, get_type_hints

import application
from application.adapters.event_store import PERSONS
from domain.accounts.account import Account
from domain.kernel import personal_fields
from domain.registry import DECIDERS, EVENTS
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


def test_whoever_is_forgotten_is_found_in_all_that_tells_of_them() -> None:
    """By one of the names by which the store looks for them, or because the stream is their own."""
    tell = [DECIDERS[tag] for tag, event in EVENTS.items() if personal_fields(event)]
    states = {get_type_hints(decider.evolve)["return"] for decider in tell}
    assert [state for state in states - {Account} if not set(state.__struct_fields__) & set(PERSONS)] == []
