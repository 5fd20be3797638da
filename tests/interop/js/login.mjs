// The page of "Login Fallback", by its own script: the document is as small as the script needs it, the server is real.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import vm from "node:vm";

const done = (step) => console.log(`step ${step}`);

const base = process.argv[2];
const path = "/_matrix/static/client/login/?device_id=PHONE&refresh_token=true&password=of-the-address";
const user = "fallback" + Date.now();
const password = "a long enough pass phrase";

async function post(path, body) {
  const answer = await fetch(base + path, { method: "POST", body: JSON.stringify(body) });
  assert.ok(answer.ok, await answer.clone().text());
  return answer.json();
}

await post("/_matrix/client/v3/register", {
  username: user,
  password,
  inhibit_login: true,
  auth: { type: "m.login.dummy" },
});

const page = await fetch(base + path);
assert.match(page.headers.get("content-type"), /^text\/html/);
const html = await page.text();
const [, script] = html.match(/<script>([^]*)<\/script>/);
const hash = createHash("sha256").update(script).digest("base64");
assert.ok(page.headers.get("content-security-policy").includes(`script-src 'sha256-${hash}'`));
done("the page");

async function submitted(user, password) {
  let submit;
  const said = { textContent: "" };
  const form = {
    elements: { user: { value: user }, password: { value: password } },
    hidden: false,
    addEventListener: (name, listener) => (submit = listener),
  };
  const told = [];
  const window = { matrixLogin: { onLogin: (response) => told.push(response) } };
  vm.runInNewContext(script, {
    document: { querySelector: (name) => (name === "form" ? form : said) },
    location: new URL(base + path),
    window,
    URLSearchParams,
    fetch: (address, options) => fetch(new URL(address, base), options),
  });
  await submit({ preventDefault() {} });
  return { told, said: said.textContent };
}

const refused = await submitted(user, "wrong");
assert.deepEqual(refused.told, []);
assert.equal(refused.said, "Wrong user name or password");
done("a wrong password");

const { told } = await submitted(` ${user} `, password);
assert.equal(told.length, 1);
assert.equal(told[0].device_id, "PHONE");
assert.ok(told[0].refresh_token);
const me = await fetch(base + "/_matrix/client/v3/account/whoami", {
  headers: { Authorization: `Bearer ${told[0].access_token}` },
});
assert.equal((await me.json()).user_id, told[0].user_id);
done("logged in");
