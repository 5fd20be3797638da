// One conversation of two people through matrix-js-sdk, as a user's client would hold it.
//
//   node conversation.mjs BASE_URL ROOM_VERSION
//
// Prints the name of each step once its assertions hold; exits non-zero, with the reason, at the first that does not.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as sdk from "matrix-js-sdk";
import { baseUrl, done, login, next, register, start } from "./people.mjs";

const roomVersion = process.argv[3];

const aliceId = await register("alice");
const bobId = await register("bob");
done("register");

const alice = await login(aliceId);
const bob = await login(bobId);
done("login");

await start(alice);
await start(bob);
done("first sync");

const { room_id: roomId } = await alice.createRoom({
    room_version: roomVersion,
    name: "The foundation",
    preset: sdk.Preset.PrivateChat,
});
const create = await alice.getStateEvent(roomId, "m.room.create", "");
assert.equal(create.room_version, roomVersion);
done("create room");

const invited = next(bob, sdk.RoomEvent.MyMembership, (room, to) => room.roomId === roomId && to === "invite");
await alice.invite(roomId, bobId);
await invited;
done("invite");

const joinSeen = next(
    alice,
    sdk.RoomMemberEvent.Membership,
    (event, member) => member.userId === bobId && member.membership === "join",
);
await bob.joinRoom(roomId);
await joinSeen;
const members = await alice.getJoinedRoomMembers(roomId);
assert.deepEqual(Object.keys(members.joined).sort(), [aliceId, bobId].sort());
done("join");

// Bob's /sync is held open when Alice sends.
const received = next(
    bob,
    sdk.RoomEvent.Timeline,
    (event, room) => room?.roomId === roomId && event.getContent().body === "Can you hear me, Bob? äöü 🙂",
);
const { event_id: messageId } = await alice.sendTextMessage(roomId, "Can you hear me, Bob? äöü 🙂");
const [event] = await received;
assert.equal(event.getId(), messageId);
assert.equal(event.getSender(), aliceId);
done("send and receive");

const bodies = Array.from({ length: 25 }, (_, i) => `line ${i}`);
for (const body of bodies) await alice.sendTextMessage(roomId, body);
const seen = [];
let from = null;
for (let page = 0; page < 20; page++) {
    const answer = await bob.createMessagesRequest(roomId, from, 7, sdk.Direction.Backward);
    seen.push(...answer.chunk);
    from = answer.end;
    if (!from) break;
}
assert.equal(new Set(seen.map((e) => e.event_id)).size, seen.length, "no event comes twice");
const lines = seen.filter((e) => e.type === "m.room.message").map((e) => e.content.body);
assert.deepEqual(lines.reverse(), ["Can you hear me, Bob? äöü 🙂", ...bodies]);
assert.equal(seen.at(-1).type, "m.room.create", "the way back ends where the room began");
done("paginate backwards");

// A timeline of five of the lines: what the room is must come as its state.
const tablet = await login(bobId);
await start(tablet, { initialSyncLimit: 5, lazyLoadMembers: true });
const there = tablet.getRoom(roomId);
assert.deepEqual(there.getLiveTimeline().getEvents().map((e) => e.getContent().body), bodies.slice(-5));
assert.equal(there.name, "The foundation");
assert.equal(there.getVersion(), roomVersion);
const stateThere = there.currentState;
assert.equal(stateThere.getStateEvents("m.room.create", "").getContent().room_version, roomVersion);
assert.deepEqual(
    stateThere.getStateEvents("m.room.power_levels", "").getContent(),
    await alice.getStateEvent(roomId, "m.room.power_levels", ""),
);
assert.deepEqual(there.getJoinedMembers().map((member) => member.userId).sort(), [aliceId, bobId].sort());
tablet.stopClient();
done("the state of a room with more than its timeline shows");

const redacted = next(bob, sdk.RoomEvent.Redaction, (e, room) => room.roomId === roomId);
const { event_id: redactionId } = await alice.redactEvent(roomId, messageId, undefined, { reason: "said too loud" });
await redacted;
const bare = await bob.fetchRoomEvent(roomId, messageId);
assert.deepEqual(bare.content, {});
assert.equal(bare.unsigned.redacted_because.event_id, redactionId);
done("redact");

const echoed = next(alice, sdk.ClientEvent.AccountData, (e) => e.getType() === "org.example.mood");
await alice.setAccountData("org.example.mood", { mood: "cheerful", level: 3 });
await echoed;
assert.deepEqual(await alice.getAccountDataFromServer("org.example.mood"), { mood: "cheerful", level: 3 });
await bob.setRoomAccountData(roomId, "org.example.colour", { colour: "green" });
done("account data");

const renamed = next(bob, sdk.RoomMemberEvent.Name, (e, member) => member.userId === aliceId && member.name === "Alice A.");
await alice.setDisplayName("Alice A.");
await renamed;
assert.equal((await bob.getProfileInfo(aliceId)).displayname, "Alice A.");
done("profile");

const bytes = randomBytes(200_000);
const { content_uri: uri } = await alice.uploadContent(new Blob([bytes]), { type: "image/png", name: "noise.png" });
const url = bob.mxcUrlToHttp(uri, undefined, undefined, undefined, false, true, true);
assert.match(url, /\/_matrix\/client\/v1\/media\/download\//);
const answer = await fetch(url, { headers: { Authorization: `Bearer ${bob.getAccessToken()}` } });
assert.equal(answer.status, 200);
assert.equal(answer.headers.get("content-type"), "image/png");
assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes));
assert.equal((await fetch(url)).status, 401, "no download without a token");
done("upload and download");

const left = next(bob, sdk.RoomEvent.MyMembership, (room, to) => room.roomId === roomId && to === "leave");
await bob.leave(roomId);
await left;
await assert.rejects(bob.sendTextMessage(roomId, "one more thing"), (e) => e.errcode === "M_FORBIDDEN");
done("leave");

const token = alice.getAccessToken();
for (const client of [alice, bob]) await client.logout(true);
const afterwards = await fetch(`${baseUrl}/_matrix/client/v3/account/whoami`, {
    headers: { Authorization: `Bearer ${token}` },
});
assert.equal(afterwards.status, 401);
assert.equal((await afterwards.json()).errcode, "M_UNKNOWN_TOKEN");
done("log out");

process.exit(0);
