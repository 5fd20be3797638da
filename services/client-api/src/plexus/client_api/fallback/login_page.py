"""The page for clients that know none of the ways to log in: it logs in by itself, and tells the client what
it was answered. Nothing comes from elsewhere; the one script is known by its hash.

Client-Server API, "Login Fallback".
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Final

# What the address gives beside the credentials goes along as it is, numbers and booleans as such.
_SCRIPT: Final = """
"use strict";
const form = document.querySelector("form"), said = document.querySelector("p[role=alert]");
const credentials = ["type", "identifier", "user", "medium", "address", "password", "token"];
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = form.elements.user.value.trim();
  const identifier = /^[^@]+@[^@]+$/.test(name)
    ? { type: "m.id.thirdparty", medium: "email", address: name }
    : { type: "m.id.user", user: name };
  const request = { type: "m.login.password", identifier, password: form.elements.password.value };
  for (const [key, value] of new URLSearchParams(location.search)) {
    if (!credentials.includes(key)) {
      request[key] = value === "true" || value === "false" ? value === "true" : value;
    }
  }
  said.textContent = "";
  let response;
  try {
    const answer = await fetch("/_matrix/client/v3/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(request),
    });
    response = await answer.json();
    if (!answer.ok) {
      said.textContent = response.error || "You could not be logged in";
      return;
    }
  } catch {
    said.textContent = "The server cannot be reached";
    return;
  }
  form.hidden = true;
  said.textContent = "You are logged in. Go on in your client.";
  if (window.matrixLogin && window.matrixLogin.onLogin) {
    window.matrixLogin.onLogin(response);
  }
});
"""

_HASH: Final = b64encode(sha256(_SCRIPT.encode()).digest()).decode()

HEADERS: Final = {
    "content-security-policy": f"default-src 'none'; script-src 'sha256-{_HASH}'; connect-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

PAGE: Final = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width">'
    "<title>Log in</title></head><body><h1>Log in</h1><form>"
    '<p><label>User name or email address <input name="user" autocomplete="username" required></label></p>'
    '<p><label>Password <input name="password" type="password" autocomplete="current-password" required>'
    "</label></p><p><button>Log in</button></p></form>"
    f'<p role="alert"></p><script>{_SCRIPT}</script></body></html>'
).encode()
