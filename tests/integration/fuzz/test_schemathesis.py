"""schemathesis over our own OpenAPI, good and bad by its schemas, as a member of the seeded room."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

from tests.integration.fuzz.world import ENDING, SERVICES, Call, Operation, World, fingerprint

EXAMPLES = int(os.environ.get("PLEXUS_FUZZ_EXAMPLES", "25"))
"""Calls for each operation and mode."""


@dataclass
class Outcome:
    """Of the calls of one operation: whether any could be made, and whether one was answered 2xx."""

    made: bool = False
    reached: bool = False


def hammer(
    world: World, operation: Operation, cases: st.SearchStrategy[Case[Any]], good: Call | None = None
) -> Outcome:
    """Make generated calls of one operation. None may be answered 5xx, and a refusal is a standard error.

    With ``good`` some calls are a variation of that one: its ids, its account, and its members laid over the
    generated body, so that a call comes further than the first 404.
    """
    outcome = Outcome()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases, st.booleans())
    def throw(case: Case[Any], seeded: bool) -> None:
        caller = world.alice
        if good is not None and good.account is not None and (seeded or operation.id in ENDING):
            caller = good.account
        headers = caller.headers
        if seeded:
            known = world.parameters() | (good.parameters if good else {})
            for name in set(case.path_parameters or {}) & set(known):
                # As they come they are encoded, and go into the path as they are.
                case.path_parameters[name] = quote(known[name], safe="", errors="surrogatepass")
            if good is not None:
                headers = headers | good.headers
                case.query = {**(case.query or {}), **good.query}
                if isinstance(case.body, dict) and isinstance(good.body, dict):
                    case.body = case.body | good.body
        if operation.id in ("sync", "getEvents"):
            case.query = {**(case.query or {}), "timeout": "0"}
        answer = case.call(base_url=world.server.base_url, headers=headers, timeout=30)
        said = f"{operation}: {answer.status_code} {answer.text[:300]}\n{case!r}"
        assert answer.status_code < 500, said
        outcome.made = True
        outcome.reached |= 200 <= answer.status_code < 300
        if answer.status_code >= 400 and not answer.headers["content-type"][0].startswith("text/html"):
            error = answer.json()
            asks_for_next_stage = answer.status_code == 401 and "flows" in error
            # A code of a proposal has its namespace before it.
            code = error.get("errcode", "").rpartition(".")[2]
            assert asks_for_next_stage or (code.startswith("M_") and error["error"]), said

    with contextlib.suppress(Unsatisfiable):  # the schema allows everything: no bad call can be made
        throw()
    return outcome


def described(world: World, service: str) -> Iterator[tuple[Operation, Any]]:
    """The operations of a service, and what schemathesis makes of them."""
    operations = {(operation.method, operation.path): operation for operation in world.operations()}
    for found in schemathesis.openapi.from_dict(world.specs[service]).get_all_operations():
        read = found.ok()  # type: ignore[union-attr]  # an Err has it too, and raises
        yield operations[read.method.lower(), read.path], read


@pytest.mark.timeout(400)
def test_nine_in_ten_operations_reach_success(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    for service in SERVICES:
        for operation, read in described(world, service):
            cases = read.as_strategy(generation_mode=GenerationMode.POSITIVE)
            outcomes[str(operation)] = hammer(world, operation, cases, world.good(operation))
    missed = [name for name, outcome in outcomes.items() if not outcome.reached]
    assert len(missed) <= len(outcomes) / 10, "\n".join(missed)


def cancel_delayed_events(world: World) -> None:
    """What Alice has scheduled is cancelled, or sent by now: it must not come in the middle of something
    else.
    """
    path = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
    while waiting := world.http.request("GET", path, None, world.alice.headers).ok()["delayed_events"]:
        for event in waiting:
            world.http.request("POST", f"{path}/{event['delay_id']}/cancel", b"{}", world.alice.headers)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("service", [service for service in SERVICES if service != "federation"])
def test_what_breaks_the_schema_is_refused_and_changes_nothing(world: World, service: str) -> None:
    """Federation is left out: nothing about its one operation can be wrong."""
    made = 0
    cancel_delayed_events(world)
    for operation, read in described(world, service):
        if operation.id in ENDING or operation.id == "leaveRoom":
            # They have their turn elsewhere. A wrong query of a leave is no error, and Alice would be gone.
            continue
        if not (operation.spec.get("parameters") or operation.spec.get("requestBody")):
            continue  # nothing about it can be wrong
        before = fingerprint(world)
        outcome = hammer(world, operation, read.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        made += outcome.made
        if operation.id == "scheduleDelayedEvent":
            cancel_delayed_events(world)
        if not outcome.reached:
            assert fingerprint(world) == before, f"{operation} refused every call, and something has changed"
    assert made
