// A room list and a timeline by matrix-js-sdk's SlidingSync.
//
//   node sliding.mjs BASE_URL
//
// Prints the name of each step once its assertions hold; exits non-zero, with the reason, at the first that does not.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";

const [baseUrl] = process.argv.slice(2);
const suffix = randomBytes(4).toString("hex");
const password = "a long enough pass phrase";
logger.setLevel?.("error");

const done = (step) => console.log(`step ${step}`);

async function register(name) {
    const anonymous = sdk.createClient({ baseUrl });
    const answer = await anonymous.registerRequest({
        username: `${name}-${suffix}`,
        password,
        auth: { type: "m.login.dummy" },
    });
    return sdk.createClient({
        baseUrl,
        userId: answer.user_id,
        accessToken: answer.access_token,
        deviceId: answer.device_id,
    });
}

/** Resolve once `test` gives something true; reject after 20 s. */
async function until(what, test) {
    for (const end = Date.now() + 20_000; Date.now() < end; ) {
        const found = await test();
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`waited 20 s in vain for ${what}`);
}

const alice = await register("alice");
const bob = await register("bob");
const rooms = [];
for (const name of ["first", "second", "third"]) {
    const { room_id } = await alice.createRoom({ name, preset: "public_chat" });
    await bob.joinRoom(room_id);
    rooms.push(room_id);
}
await alice.sendTextMessage(rooms[0], "the newest");
done("rooms");

const requiredState = [
    ["m.room.name", ""],
    ["m.room.create", ""],
    ["m.room.member", "$LAZY"],
    ["m.room.member", "$ME"],
];
const list = { ranges: [[0, 1]], timeline_limit: 1, required_state: requiredState, filters: {} };
const sliding = new SlidingSync(
    baseUrl,
    new Map([["all", list]]),
    { timeline_limit: 20, required_state: requiredState },
    bob,
    10_000,
);
await bob.startClient({ slidingSync: sliding });

const named = (name) => bob.getRooms().find((room) => room.name === name);
await until("the room list", () => named("first") && named("third"));
assert.equal(named("second"), undefined);
assert.equal(sliding.getListData("all").joinedCount, 3);
const texts = (name) =>
    named(name)
        .getLiveTimeline()
        .getEvents()
        .map((event) => event.getContent().body);
assert.deepEqual(texts("first"), ["the newest"]);
done("room list");

sliding.setListRanges("all", [[0, 9]]);
await until("the rest of the list", () => named("second"));
done("scroll");

await alice.sendTextMessage(rooms[1], "are you there?");
await until("a message", () => texts("second").includes("are you there?"));
assert.equal(named("second").getMember(alice.getUserId()).name, alice.getUserId());
done("timeline");

for (let number = 0; number < 5; number++) await alice.sendTextMessage(rooms[2], `history ${number}`);
sliding.modifyRoomSubscriptions(new Set([rooms[2]]));
await until("a subscription", () => texts("third").includes("history 0") && texts("third").includes("history 4"));
done("subscription");

const { room_id: invitedTo } = await alice.createRoom({ name: "invited", preset: "private_chat", invite: [bob.getUserId()] });
await until("an invite", () => bob.getRoom(invitedTo)?.getMyMembership() === "invite");
await bob.joinRoom(invitedTo);
await until("to be in", () => bob.getRoom(invitedTo)?.getMyMembership() === "join");
done("invite");

await bob.setAccountData("org.example.test", { n: 1 });
await until("account data", () => bob.getAccountData("org.example.test")?.getContent().n === 1);
await alice.sendReadReceipt((await until("an event", () => named("second").getLastLiveEvent())));
await until("a receipt", () =>
    named("second").getReceiptsForEvent(named("second").getLastLiveEvent()).some((each) => each.userId === alice.getUserId()),
);
await alice.sendTyping(rooms[1], true, 20_000);
await until("typing", () => named("second").getMember(alice.getUserId())?.typing);
done("extensions");

bob.stopClient();
process.exit(0);
