"""Push rules. Client-Server API, "Push Rules: API"."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.push_rules import service
from plexus.client_api.push_rules.models import (
    ActionsBody,
    After,
    Before,
    EnabledBody,
    Kind,
    RuleBody,
    RuleId,
)
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3/pushrules", tags=["Push notifications"])

RULE = "/global/{kind}/{ruleId}"
Json = dict[str, Any]


@router.get("/", operation_id="getPushRules")
@router.get("", include_in_schema=False)
async def get_push_rules(api: Deps, requester: FullUser) -> Json:
    """All rulesets; there is only ``global``."""
    return await api.users.push_rules(requester.user_id)


@router.get("/global/", operation_id="getPushRulesGlobal")
@router.get("/global", include_in_schema=False)
async def get_push_rules_global(api: Deps, requester: FullUser) -> Json:
    """The ruleset ``global``."""
    ruleset: Json = (await api.users.push_rules(requester.user_id))["global"]
    return ruleset


@router.get(RULE, operation_id="getPushRule")
async def get_push_rule(api: Deps, requester: FullUser, kind: Kind, rule_id: RuleId) -> Json:
    """One rule."""
    return await service.get_rule(api, requester.user_id, kind, rule_id)


@router.put(RULE, operation_id="setPushRule")
async def set_push_rule(
    api: Deps,
    requester: FullUser,
    kind: Kind,
    rule_id: RuleId,
    body: RuleBody,
    before: Before = None,
    after: After = None,
) -> Json:
    """Make a rule, or change it."""
    await service.put_rule(api, requester.user_id, kind, rule_id, body, before, after)
    return {}


@router.delete(RULE, operation_id="deletePushRule")
async def delete_push_rule(api: Deps, requester: FullUser, kind: Kind, rule_id: RuleId) -> Json:
    """Delete a rule of one's own."""
    await service.delete_rule(api, requester.user_id, kind, rule_id)
    return {}


@router.get(RULE + "/enabled", operation_id="isPushRuleEnabled")
async def is_push_rule_enabled(api: Deps, requester: FullUser, kind: Kind, rule_id: RuleId) -> Json:
    """Whether a rule is enabled."""
    return {"enabled": (await service.get_rule(api, requester.user_id, kind, rule_id))["enabled"]}


@router.put(RULE + "/enabled", operation_id="setPushRuleEnabled")
async def set_push_rule_enabled(
    api: Deps, requester: FullUser, kind: Kind, rule_id: RuleId, body: EnabledBody
) -> Json:
    """Enable or disable a rule, also a default one."""
    await service.set_enabled(api, requester.user_id, kind, rule_id, body)
    return {}


@router.get(RULE + "/actions", operation_id="getPushRuleActions")
async def get_push_rule_actions(api: Deps, requester: FullUser, kind: Kind, rule_id: RuleId) -> Json:
    """The actions of a rule."""
    return {"actions": (await service.get_rule(api, requester.user_id, kind, rule_id))["actions"]}


@router.put(RULE + "/actions", operation_id="setPushRuleActions")
async def set_push_rule_actions(
    api: Deps, requester: FullUser, kind: Kind, rule_id: RuleId, body: ActionsBody
) -> Json:
    """Set the actions of a rule, also of a default one."""
    await service.set_actions(api, requester.user_id, kind, rule_id, body)
    return {}
