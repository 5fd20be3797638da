// What the stories told through matrix-js-sdk have in common: people, and waiting for what they see.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

export const baseUrl = process.argv[2];
export const suffix = randomBytes(4).toString("hex");
const password = "a long enough pass phrase";
logger.setLevel?.("error");

export const done = (step) => console.log(`step ${step}`);

/** Resolve with the first value for which `test` is true, of what `emitter` emits as `event`; reject after 20 s. */
export function next(emitter, event, test) {
    return new Promise((resolve, reject) => {
        const listener = (...values) => {
            if (!test(...values)) return;
            clearTimeout(timer);
            emitter.off(event, listener);
            resolve(values);
        };
        const timer = setTimeout(() => {
            emitter.off(event, listener);
            reject(new Error(`waited 20 s in vain for ${event}`));
        }, 20_000);
        emitter.on(event, listener);
    });
}

export async function register(name) {
    const anonymous = sdk.createClient({ baseUrl });
    const username = `${name}-${suffix}`;
    const answer = await anonymous.registerRequest({ username, password, auth: { type: "m.login.dummy" } });
    assert.match(answer.user_id, new RegExp(`^@${username}:`));
    assert.ok(answer.access_token && answer.device_id);
    return answer.user_id;
}

export async function login(userId) {
    const anonymous = sdk.createClient({ baseUrl });
    const answer = await anonymous.loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: userId },
        password,
        initial_device_display_name: "js-sdk",
    });
    assert.equal(answer.user_id, userId);
    const client = sdk.createClient({
        baseUrl,
        userId,
        accessToken: answer.access_token,
        deviceId: answer.device_id,
    });
    assert.deepEqual((await client.whoami()).device_id, answer.device_id);
    return client;
}

export async function start(client, options = {}) {
    const prepared = next(client, sdk.ClientEvent.Sync, (state) => state === "PREPARED");
    await client.startClient({ initialSyncLimit: 20, ...options });
    await prepared;
}
