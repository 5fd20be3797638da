// The life of a community through matrix-js-sdk: its space and public room, talk, moderation, and an upgrade.
//
//   node community.mjs BASE_URL
//
// Prints the name of each step once its assertions hold; exits non-zero, with the reason, at the first that does not.

import assert from "node:assert/strict";
import * as sdk from "matrix-js-sdk";
import { done, login, next, register, start, suffix } from "./people.mjs";

const { RelationType, EventType } = sdk;

/** What `ask` answers when it does: nobody is promised to see at once what another has done. */
async function until(ask) {
    for (let i = 0; i < 100; i++) {
        const answer = await ask();
        if (answer) return answer;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`waited 10 s in vain for ${ask}`);
}

const forbidden = (promise) => assert.rejects(promise, (e) => e.errcode === "M_FORBIDDEN");

const people = [];
for (const name of ["alice", "bob", "carol"]) {
    const client = await login(await register(name));
    await start(client, { threadSupport: true });
    people.push(client);
}
const [alice, bob, carol] = people;
const [aliceId, bobId, carolId] = people.map((client) => client.getUserId());
const server = alice.getDomain();
done("three people");

const { room_id: space } = await alice.createRoom({
    name: "Gardeners",
    creation_content: { type: sdk.RoomType.Space },
    preset: sdk.Preset.PublicChat,
});
const { room_id: roomId } = await alice.createRoom({
    name: `Garden ${suffix}`,
    room_alias_name: `garden-${suffix}`,
    visibility: sdk.Visibility.Public,
    preset: sdk.Preset.PublicChat,
    room_version: "10",
});
const alias = `#garden-${suffix}:${server}`;
await alice.sendStateEvent(space, EventType.SpaceChild, { via: [server], suggested: true }, roomId);
await alice.sendStateEvent(roomId, EventType.SpaceParent, { via: [server], canonical: true }, space);
const found = await bob.publicRooms({ filter: { generic_search_term: `Garden ${suffix}` } });
assert.deepEqual(found.chunk.map((room) => room.room_id), [roomId]);
for (const client of [bob, carol]) {
    const room = await client.joinRoom(alias);
    assert.equal(room.roomId, roomId);
}
const tree = await carol.getRoomHierarchy(space, 10);
assert.deepEqual(tree.rooms.map((room) => [room.room_id, room.num_joined_members]), [[space, 1], [roomId, 3]]);
assert.equal(tree.rooms[0].children_state[0].state_key, roomId);
done("a space and its public room");

const { event_id: first } = await alice.sendTextMessage(roomId, "The tomatoes are gren");
const inRoom = await until(() => bob.getRoom(roomId)?.findEventById(first));
const edited = next(bob, sdk.MatrixEventEvent.Replaced, (event) => event.getId() === first);
await alice.sendMessage(roomId, {
    "msgtype": "m.text",
    "body": "* The tomatoes are green",
    "m.new_content": { msgtype: "m.text", body: "The tomatoes are green" },
    "m.relates_to": { rel_type: RelationType.Replace, event_id: first },
});
await edited;
assert.equal(inRoom.getContent().body, "The tomatoes are green");
done("an edit");

const tomato = { "m.relates_to": { rel_type: RelationType.Annotation, event_id: first, key: "🍅" } };
await bob.sendEvent(roomId, EventType.Reaction, tomato);
await assert.rejects(bob.sendEvent(roomId, EventType.Reaction, tomato), (e) => e.errcode === "M_DUPLICATE_ANNOTATION");
const reactions = await until(async () => {
    const answer = await carol.relations(roomId, first, RelationType.Annotation, EventType.Reaction);
    return answer.events.length ? answer.events : null;
});
assert.deepEqual(reactions.map((event) => event.getSender()), [bobId]);
done("a reaction");

// A thread by Carol: Alice is told of it in the thread, and not in the room.
// By a device that does not sync: the SDK gives up if its own event comes into a thread before the answer does.
const quiet = await login(carolId);
await quiet.sendMessage(roomId, first, { msgtype: "m.text", body: "Not for long" });
const room = alice.getRoom(roomId);
const unread = () => room.getThreadUnreadNotificationCount(first, sdk.NotificationCountType.Total);
await until(() => unread() === 1);
const thread = await until(() => room.getThread(first));
const reply = await until(() => thread.events.find((event) => event.getContent().body === "Not for long"));
await alice.sendReadReceipt(reply);
await until(() => unread() === 0);
const threads = await bob.createThreadListMessagesRequest(roomId, null, 10);
assert.deepEqual(threads.chunk.map((event) => event.event_id), [first]);
assert.equal(threads.chunk[0].unsigned["m.relations"]["m.thread"].count, 1);
done("a thread and its notifications");

await bob.sendTextMessage(roomId, "What about the beans?");
const results = await until(async () => {
    const answer = await carol.searchRoomEvents({ term: "beans" });
    return answer.results.length ? answer.results : null;
});
assert.deepEqual(
    results.map((result) => result.context.getEvent().getContent().body),
    ["What about the beans?"],
);
done("search");

await alice.setPowerLevel(roomId, bobId, 50);
const { event_id: spam } = await carol.sendTextMessage(roomId, "Buy my seeds");
await forbidden(carol.kick(roomId, bobId));
await bob.redactEvent(roomId, spam, undefined, { reason: "spam" });
assert.deepEqual((await carol.fetchRoomEvent(roomId, spam)).content, {});
const kicked = next(carol, sdk.RoomEvent.MyMembership, (at, to) => at.roomId === roomId && to === "leave");
await bob.kick(roomId, carolId, "no spam, please");
await kicked;
await carol.joinRoom(roomId);
const banned = next(carol, sdk.RoomEvent.MyMembership, (at, to) => at.roomId === roomId && to === "ban");
await bob.ban(roomId, carolId, "again");
await banned;
await forbidden(carol.joinRoom(roomId));
await bob.unban(roomId, carolId);
await carol.joinRoom(roomId);
await forbidden(bob.setPowerLevel(roomId, bobId, 100));
done("moderation");

await bob.setRoomTag(roomId, "u.plants", { order: 0.5 });
const closed = next(carol, sdk.RoomStateEvent.Events, (e) => e.getRoomId() === roomId && e.getType() === "m.room.tombstone");
const { replacement_room: newRoom } = await alice.upgradeRoom(roomId, "12");
const [tombstone] = await closed;
assert.equal(tombstone.getContent().replacement_room, newRoom);
for (const client of [bob, carol]) await client.joinRoom(alias);
const { joined } = await alice.getJoinedRoomMembers(newRoom);
assert.deepEqual(Object.keys(joined).sort(), [aliceId, bobId, carolId].sort());
assert.deepEqual(await carol.getStateEvent(newRoom, "m.room.name", ""), { name: `Garden ${suffix}` });
const predecessor = await until(() => carol.getRoom(newRoom)?.findPredecessor());
assert.equal(predecessor.roomId, roomId);
await until(() => bob.getRoom(newRoom)?.tags["u.plants"]);
await forbidden(carol.sendTextMessage(roomId, "Hello?"));
await bob.kick(newRoom, carolId, "moderators are so here too");
done("an upgrade");

process.exit(0);
