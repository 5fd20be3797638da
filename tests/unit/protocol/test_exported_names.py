"""The public face: what it names exists, is sorted, and is written down here so that a change is meant."""

from __future__ import annotations

import subprocess
import sys

import plexus.protocol


def test_every_name_exists_and_none_is_forgotten() -> None:
    named = set(plexus.protocol.__all__)
    assert len(named) == len(plexus.protocol.__all__)
    present = {
        name
        for name, value in vars(plexus.protocol).items()
        if not name.startswith("_") and type(value).__name__ != "module"
    }
    assert present == named


FACE = """
    DEFAULT_ROOM_VERSION ROOM_VERSIONS RoomVersion get_room_version
    Event Draft build_event add_signature redact redact_event redact_raw
    client_event client_event_prefix stripped_state
    SigningKey VerifyKey sign_json verify_json
    auth_types_for_event check_auth check_auth_events may_redact PowerLevels
    resolve_states MissingEvents
    Filter RoomFilter EventFilter
    ProtocolError MatrixError AuthRejected BadJson Forbidden InvalidParam LimitExceeded MissingParam NotFound
    NotJson TooLarge Unavailable RemoteFault InvalidEvent BadSignature BadHash
"""


def test_the_names() -> None:
    assert set(plexus.protocol.__all__) == set(FACE.split())


FOREIGN = {"asyncio", "fastapi", "pydantic", "psycopg", "aiokafka", "redis", "httpx", "aiohttp", "signedjson"}


def test_importing_it_needs_no_framework_database_or_event_loop() -> None:
    code = f"import sys, plexus.protocol; print(sorted({FOREIGN!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
