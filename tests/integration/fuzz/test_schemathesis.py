"""schemathesis over our own OpenAPI, good and bad by its schemas, as a member of the seeded room: no 5xx."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

from tests.integration.fuzz.world import ENDING, SERVICES, Operation, World

EXAMPLES = int(os.environ.get("PLEXUS_FUZZ_EXAMPLES", "25"))
"""Calls for each operation and mode."""


def hammer(world: World, operation: Operation, cases: st.SearchStrategy[Case[Any]]) -> bool:
    """Make generated calls of one operation; none may be answered 5xx.

    False if its schema allows everything, so that no bad call can be made.
    """

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases, st.booleans())
    def throw(case: Case[Any], seeded: bool) -> None:
        if seeded:  # with the ids of what is there, so that a call comes further than the first 404
            known = world.parameters()
            for name in set(case.path_parameters or {}) & set(known):
                case.path_parameters[name] = known[name]
        if operation.id == "sync":
            case.query = {**(case.query or {}), "timeout": "0"}
        answer = case.call(base_url=world.server.base_url, headers=world.alice.headers, timeout=30)
        assert answer.status_code < 500, f"{operation}: {answer.status_code} {answer.text[:300]}\n{case!r}"

    try:
        throw()
    except Unsatisfiable:
        return False
    return True


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
@pytest.mark.parametrize("service", SERVICES)
def test_no_server_error(world: World, service: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(world.specs[service])
    operations = {(operation.method, operation.path): operation for operation in world.operations()}
    hammered = 0
    for found in schema.get_all_operations():
        described = found.ok()  # type: ignore[union-attr]  # an Err has it too, and raises
        operation = operations[described.method.lower(), described.path]
        if operation.id in ENDING:
            continue  # they have their turn in the other tests, with accounts of their own
        if mode is GenerationMode.NEGATIVE and not (
            operation.spec.get("parameters") or operation.spec.get("requestBody")
        ):
            continue  # nothing about it can be wrong
        hammered += hammer(world, operation, described.as_strategy(generation_mode=mode))
    assert hammered or (service == "federation" and mode is GenerationMode.NEGATIVE)
