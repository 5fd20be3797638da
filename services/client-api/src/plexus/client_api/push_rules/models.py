"""Bodies and parameters of push rules: the rules themselves are checked by `plexus.protocol.push_rules`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body as JsonBody
from fastapi import Path, Query

Kind = Annotated[str, Path(description="The kind of rule.")]
RuleId = Annotated[str, Path(alias="ruleId", description="The rule's ID.")]
Before = Annotated[str | None, Query(description="Insert before this rule.")]
After = Annotated[str | None, Query(description="Insert after this rule.")]
RuleBody = Annotated[dict[str, Any], JsonBody(description="What to set.")]
