"""A seeded homeserver to throw things at: a room with three members, and for every operation a good call.

`GOOD` knows by `operationId` what a path, query and body must be for a 2xx. What is not in it gets the seeded
path parameters and an empty body. What ends a session or an account gets an account of its own each time;
what must be made first is made by Dora, so that Alice and the seeded room change only by the call itself.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from tests.integration.fuzz.plain import Answer, Plain
from tests.support.server import PlexusServer

SERVICES = ("client-api", "sync", "keys", "federation", "media")
METHODS = ("get", "put", "post", "delete", "patch")
ENDING = {"logout", "logout_all", "deactivateAccount", "changePassword", "deleteDevice", "deleteDevices"}
PASSWORD = "a long enough pass phrase"
SECRET = "shared by those who may register"


@dataclass(frozen=True)
class Operation:
    """One operation of a service's OpenAPI."""

    service: str
    method: str
    path: str
    id: str
    spec: dict[str, Any] = field(hash=False, compare=False)

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def writes(self) -> bool:
        return self.method in ("put", "post", "delete", "patch")


@dataclass
class Account:
    user_id: str
    access_token: str
    device_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


@dataclass
class Call:
    """What fills the holes of an operation. `body` is JSON, `raw` anything else."""

    parameters: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    account: Account | None = None


class World:
    """Seeded rooms and people on a running server, and the operations it says it has."""

    def __init__(self, server: PlexusServer) -> None:
        self.server = server
        self.http = Plain(server.base_url)
        internal = Plain(server.internal_url)
        self.specs = {
            service: internal.request("GET", f"/openapi/{service}.json").ok() for service in SERVICES
        }
        self.alice = self.account("alice")
        self.bob = self.account("bob")
        self.carol = self.account("carol")
        self.dora = self.account("dora")
        self.admin = self.administrator()
        self.alias = f"#seed-{secrets.token_hex(4)}:localhost"
        room = {"preset": "public_chat", "room_alias_name": self.alias[1:].split(":")[0], "name": "Seed"}
        self.room_id: str = self.post("/_matrix/client/v3/createRoom", room, self.alice)["room_id"]
        for member in (self.bob, self.carol):
            self.post(f"/_matrix/client/v3/join/{quote(self.room_id, safe='')}", {}, member)
        self.event_id = self.send(self.room_id, self.alice)

    def account(self, name: str) -> Account:
        body = {
            "username": f"{name}-{secrets.token_hex(4)}",
            "password": PASSWORD,
            "auth": {"type": "m.login.dummy"},
        }
        answer = self.json("POST", "/_matrix/client/v3/register", body, {})
        return Account(answer["user_id"], answer["access_token"], answer["device_id"])

    def administrator(self) -> Account:
        body = by_shared_secret(self, admin=True).body
        answer = self.json("POST", "/_synapse/admin/v1/register", body, {})
        return Account(answer["user_id"], answer["access_token"], answer["device_id"])

    def json(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        return self.http.request(method, path, json.dumps(body).encode(), headers).ok()

    def post(self, path: str, body: Any, account: Account | None = None) -> Any:
        return self.json("POST", path, body, (account or self.dora).headers)

    def put(self, path: str, body: Any, account: Account | None = None) -> Any:
        return self.json("PUT", path, body, (account or self.dora).headers)

    def send(self, room_id: str, account: Account) -> str:
        room, txn = quote(room_id, safe=""), secrets.token_hex(8)
        path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}"
        return str(self.put(path, {"msgtype": "m.text", "body": "a message"}, account)["event_id"])

    def room(self) -> str:
        """A fresh room of Dora's with Bob in it, for what cannot be done twice."""
        room_id: str = self.post("/_matrix/client/v3/createRoom", {"preset": "public_chat"})["room_id"]
        self.post(f"/_matrix/client/v3/join/{quote(room_id, safe='')}", {}, self.bob)
        return room_id

    def media_id(self) -> str:
        headers = self.alice.headers | {"Content-Type": "text/plain"}
        answer = self.http.request("POST", "/_matrix/media/v3/upload", b"a file", headers).ok()
        return str(answer["content_uri"]).rsplit("/", 1)[1]

    def operations(self) -> list[Operation]:
        return [
            Operation(
                service, method, path, item[method].get("operationId", f"{method} {path}"), item[method]
            )
            for service, spec in self.specs.items()
            for path, item in spec["paths"].items()
            for method in METHODS
            if method in item
        ]

    def parameters(self) -> dict[str, str]:
        """Good values for what paths and queries of the spec call their parameters."""
        return {
            "roomId": self.room_id,
            "roomIdOrAlias": self.room_id,
            "roomAlias": self.alias,
            "userId": self.alice.user_id,
            "eventId": self.event_id,
            "eventType": "m.room.message",
            "relType": "m.thread",
            "stateKey": "",
            "txnId": secrets.token_hex(8),
            "deviceId": self.alice.device_id,
            "type": "org.example.fuzz",
            "keyName": "displayname",
            "filterId": "0",
            "tag": "u.fuzz",
            "scope": "global",
            "kind": "override",
            "ruleId": ".m.rule.master",
            "serverName": "localhost",
            "fileName": "file.txt",
            "keyId": "ed25519:1",
        }

    def good(self, operation: Operation) -> Call:
        """A call of this operation that must work."""
        make = GOOD.get(operation.id)
        call = make(self) if make else Call(body={} if operation.writes else None)
        call.parameters = self.parameters() | call.parameters
        if operation.id in ENDING and call.account is None:
            call.account = self.account("mayfly")
        return call

    def url(self, operation: Operation, call: Call) -> str:
        path = operation.path
        for name, value in call.parameters.items():
            path = path.replace("{" + name + "}", quote(value, safe="", errors="surrogatepass"))
        assert "{" not in path, f"no value for a parameter of {path}"
        return path + ("?" + urlencode(call.query) if call.query else "")

    def perform(self, operation: Operation, call: Call) -> Answer:
        headers = (call.account or self.alice).headers | call.headers
        body = call.raw
        if body is None and call.body is not None:
            body = json.dumps(call.body).encode()
        return self.http.request(operation.method, self.url(operation, call), body, headers)


def fingerprint(world: World) -> Any:
    """What a refused write must leave as it was: the seeded room, and the account of who asked."""
    headers = world.alice.headers
    room, user = quote(world.room_id, safe=""), quote(world.alice.user_id, safe="")
    paths = (
        f"rooms/{room}/messages?dir=b&limit=1",
        f"rooms/{room}/joined_members",
        f"rooms/{room}/state",
        f"profile/{user}",
        "joined_rooms",
        "pushrules/",
        "devices",
    )
    seen = [world.http.request("GET", f"/_matrix/client/v3/{path}", None, headers).ok() for path in paths]
    seen[0] = [event["event_id"] for event in seen[0]["chunk"]]
    seen[2] = sorted(event["event_id"] for event in seen[2])
    seen[4] = sorted(seen[4]["joined_rooms"])
    seen[6] = sorted(device["device_id"] for device in seen[6]["devices"])
    return seen


def of_dora(world: World, **parameters: str) -> Call:
    return Call({"userId": world.dora.user_id, **parameters}, account=world.dora)


def state_of(event_type: str, content: dict[str, Any]) -> Callable[[World], Call]:
    return lambda world: Call({"eventType": event_type, "stateKey": ""}, body=content)


def about(who: str, **room: str) -> Callable[[World], Call]:
    """A body that names a member, in a room where that can be done."""
    return lambda world: Call(
        {"roomId": world.room(), **room},
        body={"user_id": getattr(world, who).user_id},
        account=world.dora,
    )


def banned(world: World) -> Call:
    room_id = world.room()
    world.post(f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/ban", {"user_id": world.carol.user_id})
    return Call({"roomId": room_id}, body={"user_id": world.carol.user_id}, account=world.dora)


def left(world: World) -> Call:
    room_id = world.room()
    world.post(f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/leave", {}, world.bob)
    return Call({"roomId": room_id}, body={}, account=world.bob)


def redactable(world: World) -> Call:
    room_id = world.room()
    event_id = world.send(room_id, world.dora)
    return Call({"roomId": room_id, "eventId": event_id}, body={"reason": "a test"}, account=world.dora)


def knockable(world: World) -> Call:
    rules = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
    body = {"preset": "private_chat", "initial_state": [rules]}
    room_id = world.post("/_matrix/client/v3/createRoom", body)["room_id"]
    return Call({"roomIdOrAlias": room_id}, body={}, account=world.carol)


def fresh_alias(world: World) -> Call:
    alias = f"#fuzz-{secrets.token_hex(4)}:localhost"
    return Call({"roomAlias": alias}, body={"room_id": world.room()}, account=world.dora)


def made_alias(world: World) -> Call:
    call = fresh_alias(world)
    world.put(f"/_matrix/client/v3/directory/room/{quote(call.parameters['roomAlias'], safe='')}", call.body)
    return Call(call.parameters, account=world.dora)


def delayed(world: World) -> Call:
    """An event of Dora's that waits."""
    room, txn = quote(world.room(), safe=""), secrets.token_hex(8)
    path = f"/_matrix/client/unstable/org.matrix.msc4140/rooms/{room}/delayed_event/m.room.message/{txn}"
    answer = world.put(path, {"delay_ms": 3_600_000, "content": {"msgtype": "m.text", "body": "later"}})
    return Call({"delayId": answer["delay_id"]}, account=world.dora)


def followed_thread(world: World) -> Call:
    room_id = world.room()
    root = world.send(room_id, world.dora)
    place = f"{quote(room_id, safe='')}/thread/{quote(root, safe='')}"
    world.put(f"/_matrix/client/unstable/io.element.msc4306/rooms/{place}/subscription", {})
    return Call({"roomId": room_id, "eventId": root}, account=world.dora)


def stored_filter(world: World) -> Call:
    user = quote(world.dora.user_id, safe="")
    answer = world.post(f"/_matrix/client/v3/user/{user}/filter", {"room": {"timeline": {"limit": 5}}})
    return of_dora(world, filterId=answer["filter_id"])


def stored_data(in_room: bool) -> Callable[[World], Call]:
    def make(world: World) -> Call:
        room_id = world.room()
        user, room = quote(world.dora.user_id, safe=""), quote(room_id, safe="")
        place = f"{user}/rooms/{room}" if in_room else user
        world.put(f"/_matrix/client/v3/user/{place}/account_data/org.example.fuzz", {"a": 1})
        return of_dora(world, roomId=room_id)

    return make


def named(world: World) -> Call:
    user = quote(world.dora.user_id, safe="")
    world.put(f"/_matrix/client/v3/profile/{user}/displayname", {"displayname": "Dora"})
    return of_dora(world)


def own_rule(world: World) -> Call:
    rule = f"fuzz-{secrets.token_hex(4)}"
    body = {"actions": ["notify"], "conditions": [{"kind": "event_match", "key": "type", "pattern": "m.x"}]}
    world.put(f"/_matrix/client/v3/pushrules/global/override/{rule}", body)
    return of_dora(world, ruleId=rule)


def pusher() -> dict[str, Any]:
    return {
        "kind": "http",
        "app_id": "org.example.app",
        "pushkey": secrets.token_hex(8),
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": "https://push.example.org/_matrix/push/v1/notify"},
    }


def with_body(make: Callable[[World], Call], body: Any) -> Callable[[World], Call]:
    def complete(world: World) -> Call:
        call = make(world)
        call.body = body
        return call

    return complete


def refreshable(world: World) -> Call:
    account = world.account("refresher")
    user = {"type": "m.id.user", "user": account.user_id}
    body = {"type": "m.login.password", "identifier": user, "password": PASSWORD, "refresh_token": True}
    return Call(body={"refresh_token": world.post("/_matrix/client/v3/login", body)["refresh_token"]})


def confirmed(body: dict[str, Any]) -> Callable[[World], Call]:
    """A body with the password stage of user-interactive authentication done, for an account of its own."""

    def make(world: World) -> Call:
        account = world.account("mayfly")
        user = {"type": "m.id.user", "user": account.user_id}
        auth = {"type": "m.login.password", "identifier": user, "password": PASSWORD}
        return Call({"deviceId": account.device_id}, body={**body, "auth": auth}, account=account)

    return make


def media(world: World) -> Call:
    return Call({"mediaId": world.media_id()})


def pending_media(world: World) -> Call:
    account = world.account("mayfly")
    answer = world.post("/_matrix/media/v1/create", {}, account)
    media_id = str(answer["content_uri"]).rsplit("/", 1)[1]
    return Call({"mediaId": media_id}, raw=b"late", headers={"Content-Type": "text/plain"}, account=account)


def login(world: World) -> Call:
    account = world.account("visitor")
    user = {"type": "m.id.user", "user": account.user_id}
    return Call(body={"type": "m.login.password", "identifier": user, "password": PASSWORD})


def registration(world: World) -> Call:
    name = f"new-{secrets.token_hex(4)}"
    return Call(body={"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}})


def by_shared_secret(world: World, *, admin: bool = False) -> Call:
    nonce = world.http.request("GET", "/_synapse/admin/v1/register").ok()["nonce"]
    name = f"new-{secrets.token_hex(4)}"
    said = "\0".join([nonce, name, PASSWORD, "admin" if admin else "notadmin"]).encode()
    mac = hmac.new(SECRET.encode(), said, hashlib.sha1).hexdigest()
    return Call(body={"nonce": nonce, "username": name, "password": PASSWORD, "admin": admin, "mac": mac})


def of_admin(body: Any = None) -> Callable[[World], Call]:
    return lambda world: Call({"userId": world.account("mayfly").user_id}, body=body, account=world.admin)


def by_email(world: World) -> Call:
    secret = secrets.token_hex(8)
    email = f"{secret}@example.org"
    return Call(body={"client_secret": secret, "email": email, "send_attempt": 1})


def page_of_a_stage(world: World) -> Call:
    body = json.dumps({"username": f"new-{secrets.token_hex(4)}", "password": PASSWORD}).encode()
    asked = world.http.request("POST", "/_matrix/client/v3/register", body).json
    return Call({"authType": "m.login.dummy"}, query={"session": asked["session"]}, raw=b"")


GOOD: dict[str, Callable[[World], Call]] = {
    # accounts
    "register": registration,
    "login": login,
    "registerBySharedSecret": by_shared_secret,
    "registrationTokenValidity": lambda world: Call(query={"token": "any"}),
    "refresh": refreshable,
    "checkUsernameAvailability": lambda world: Call(query={"username": f"free-{secrets.token_hex(4)}"}),
    "changePassword": confirmed({"new_password": "another long pass phrase"}),
    "deactivateAccount": confirmed({}),
    "generateLoginToken": confirmed({}),
    "deleteDevice": confirmed({}),
    "deleteDevices": confirmed({"devices": ["NOSUCHONE"]}),
    "updateDevice": lambda world: Call(body={"display_name": "fuzzed"}),
    "delete3pidFromAccount": lambda world: Call(body={"medium": "email", "address": "none@example.org"}),
    "unbind3pidFromAccount": lambda world: Call(body={"medium": "email", "address": "none@example.org"}),
    "sendServerNotice": lambda world: Call(
        {"key": secrets.token_hex(4)}, body={"body": "a notice"}, account=world.admin
    ),
    "requestTokenToRegisterEmail": by_email,
    "requestTokenToResetPasswordEmail": by_email,
    "requestTokenTo3PIDEmail": by_email,
    "showAuthFallback": page_of_a_stage,
    "completeAuthFallback": page_of_a_stage,
    # administration
    "getAdminLockUser": of_admin(),
    "setAdminLockUser": of_admin({"locked": True}),
    "getAdminSuspendUser": of_admin(),
    "setAdminSuspendUser": of_admin({"suspended": True}),
    # profile, account data, filters, push rules
    "getUserProfile": named,
    "getProfileField": named,
    "setProfileField": with_body(of_dora, {"displayname": "Dora"}),
    "deleteProfileField": named,
    "setAccountData": lambda world: Call(body={"a": 1}),
    "getAccountData": stored_data(in_room=False),
    "getAccountDataPerRoom": stored_data(in_room=True),
    "setAccountDataPerRoom": lambda world: Call(body={"a": 1}),
    "setRoomTag": lambda world: Call(body={"order": 0.5}),
    "defineFilter": lambda world: Call(body={"room": {"timeline": {"limit": 5}}}),
    "getFilter": stored_filter,
    "setPushRule": with_body(own_rule, {"actions": ["notify"], "conditions": []}),
    "deletePushRule": own_rule,
    "setPushRuleEnabled": with_body(own_rule, {"enabled": False}),
    "setPushRuleActions": with_body(own_rule, {"actions": []}),
    "postPusher": lambda world: Call(body=pusher()),
    # rooms
    "createRoom": lambda world: Call(body={"name": "made by a test"}),
    "inviteUser": about("carol"),
    "kick": about("bob"),
    "ban": about("bob"),
    "unban": banned,
    "leaveRoom": with_body(lambda world: Call({"roomId": world.room()}, account=world.bob), {}),
    "forgetRoom": left,
    "joinRoomById": lambda world: Call({"roomId": world.room()}, body={}, account=world.carol),
    "joinRoom": lambda world: Call({"roomIdOrAlias": world.room()}, body={}, account=world.carol),
    "knockRoom": knockable,
    "postReceipt": lambda world: Call({"receiptType": "m.read"}, body={}),
    "setReadMarker": lambda world: Call(body={"m.read": world.event_id, "m.fully_read": world.event_id}),
    "setTyping": lambda world: Call(body={"typing": True, "timeout": 1000}),
    "setPresence": lambda world: Call(body={"presence": "online", "status_msg": "fuzzed"}),
    "sendMessage": lambda world: Call(body={"msgtype": "m.text", "body": "hello"}),
    "redactEvent": redactable,
    "scheduleDelayedEvent": lambda world: Call(body={"delay_ms": 3_600_000, "content": {"body": "later"}}),
    "getDelayedEvent": delayed,
    "sendDelayedEvent": with_body(delayed, {}),
    "cancelDelayedEvent": with_body(delayed, {}),
    "restartDelayedEvent": with_body(delayed, {}),
    "updateDelayedEvent": with_body(delayed, {"action": "cancel"}),
    "setRoomStateWithKey": state_of("m.room.topic", {"topic": "fuzz"}),
    "setRoomState": state_of("m.room.topic", {"topic": "fuzz"}),
    "getRoomStateWithKey": state_of("m.room.name", {}),
    "getRoomStateWithEmptyKey": state_of("m.room.name", {}),
    "getEventByTimestamp": lambda world: Call(query={"ts": "0", "dir": "f"}),
    "getThreadSubscription": followed_thread,
    "deleteThreadSubscription": followed_thread,
    "getThreadSubscriptions": lambda world: Call(query={"dir": "b"}),
    "getRoomEvents": lambda world: Call(query={"dir": "b"}),
    "setRoomAlias": fresh_alias,
    "deleteRoomAlias": made_alias,
    "upgradeRoom": lambda world: Call(
        {"roomId": world.room()}, body={"new_version": "11"}, account=world.dora
    ),
    "searchUserDirectory": lambda world: Call(body={"search_term": "alice"}),
    "search": lambda world: Call(
        body={"search_categories": {"room_events": {"search_term": "message", "include_state": True}}}
    ),
    "getMutualRooms": lambda world: Call(query={"user_id": world.bob.user_id}),
    "reportRoom": lambda world: Call(body={"reason": "fuzz"}),
    "reportUser": lambda world: Call(body={"reason": "fuzz"}),
    "setRoomVisibilityOnDirectory": lambda world: Call(body={"visibility": "public"}),
    # sync
    "slidingSync": lambda world: Call(
        body={
            "conn_id": "fuzz",
            "lists": {"all": {"timeline_limit": 1, "required_state": {"include": [{}]}, "range": [0, 9]}},
            "extensions": {
                "e2ee": {"enabled": True},
                "receipts": {"enabled": True},
                "io.element.msc4308.thread_subscriptions": {"enabled": True, "limit": 1},
            },
        }
    ),
    "slidingSyncUnstable": lambda world: Call(
        body={"lists": {"all": {"timeline_limit": 1, "required_state": [["*", "*"]], "ranges": [[0, 9]]}}}
    ),
    # keys
    "uploadKeys": lambda world: Call(body={"one_time_keys": {}}),
    "queryKeys": lambda world: Call(body={"device_keys": {world.bob.user_id: []}}),
    "claimKeys": lambda world: Call(body={"one_time_keys": {}}),
    # media
    "createContent": lambda world: Call(body={}, account=world.account("mayfly")),
    "uploadContent": lambda world: Call(raw=b"a file", headers={"Content-Type": "text/plain"}),
    "uploadContentToMXC": pending_media,
    "getContent": media,
    "getContentOverrideName": media,
    "getContentAuthed": media,
    "getContentOverrideNameAuthed": media,
}
