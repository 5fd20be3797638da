"""Bodies and parameters of push rules: the rules themselves are checked by `plexus.protocol.push_rules`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body as JsonBody
from fastapi import Path, Query
from plexus.protocol.push_rules import KINDS
from pydantic import WithJsonSchema

Kind = Annotated[
    str, Path(description="The kind of rule."), WithJsonSchema({"type": "string", "enum": list(KINDS)})
]


def _object_with(required: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [required], "properties": properties}


_ACTIONS = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "string", "enum": ["notify", "dont_notify", "coalesce"]},
            _object_with("set_tweak", {"set_tweak": {"type": "string"}}),
        ]
    },
}

RuleId = Annotated[str, Path(alias="ruleId", description="The rule's ID.")]
Before = Annotated[str | None, Query(description="Insert before this rule.")]
After = Annotated[str | None, Query(description="Insert after this rule.")]
RuleBody = Annotated[
    dict[str, Any],
    JsonBody(description="What to set."),
    WithJsonSchema(
        _object_with(
            "actions",
            {
                "actions": _ACTIONS,
                "conditions": {"type": "array", "items": _object_with("kind", {"kind": {"type": "string"}})},
                "pattern": {"type": "string"},
            },
        )
    ),
]
EnabledBody = Annotated[
    dict[str, Any],
    JsonBody(description="Whether the rule is enabled."),
    WithJsonSchema(_object_with("enabled", {"enabled": {"type": "boolean"}})),
]
ActionsBody = Annotated[
    dict[str, Any],
    JsonBody(description="What the rule does."),
    WithJsonSchema(_object_with("actions", {"actions": _ACTIONS})),
]
