"""Pure Matrix: identifiers, canonical JSON, events, room versions, auth rules. No I/O.."""
