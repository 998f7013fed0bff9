"""The adapters are what handlers and workers ask for; mypy is the test, this is where it looks."""

from __future__ import annotations

from application import ports
from application.adapters.appending import CommandLog
from application.adapters.event_store import EventStore
from application.adapters.keys import PersonKeys
from application.adapters.numbers import Numbers
from projections.ports import Log
from tests.application.log.conftest import World


def test_the_adapters_have_the_shape_of_their_ports(world: World) -> None:
    log: Log[ports.StoredEvent] = world.log
    command_log: CommandLog = world.log
    store: ports.EventStore = world.store
    keys: ports.Keys = world.keys
    numbers: ports.Numbers = world.numbers
    assert {type(log), type(command_log)} == {type(world.log)}
    assert isinstance(store, EventStore)
    assert isinstance(keys, PersonKeys)
    assert isinstance(numbers, Numbers)
