"""plexus.protocol.signing_key_file"""

from __future__ import annotations

from io import StringIO

import pytest
import signedjson.key
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol import SigningKey
from plexus.protocol.hashes import encode_base64
from plexus.protocol.signing_key_file import (
    read_old_keys,
    read_signing_keys,
    write_old_key,
    write_signing_keys,
)

KEY = SigningKey("ed25519:1", b"k" * 32)

signing_keys = st.builds(
    lambda version, seed: SigningKey(f"ed25519:{version}", seed),
    st.text("abcXYZ019_", min_size=1, max_size=8),
    st.binary(min_size=32, max_size=32),
)


@given(st.lists(signing_keys, max_size=4))
def test_what_we_write_signedjson_reads_and_the_other_way(keys: list[SigningKey]) -> None:
    text = write_signing_keys(keys)
    theirs = signedjson.key.read_signing_keys(StringIO(text))
    assert [(key.version, bytes(key)) for key in theirs] == [(key.version, key.seed) for key in keys]
    file = StringIO()
    signedjson.key.write_signing_keys(file, theirs)
    assert file.getvalue() == text
    ours = read_signing_keys(file.getvalue())
    assert [(key.key_id, key.seed) for key in ours] == [(key.key_id, key.seed) for key in keys]


def test_it_is_the_same_key() -> None:
    [theirs] = signedjson.key.read_signing_keys(StringIO(write_signing_keys([KEY])))
    assert encode_base64(theirs.sign(b"message").signature) == KEY.sign(b"message")


def test_the_format() -> None:
    assert write_signing_keys([KEY]) == "ed25519 1 a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s\n"
    padded = "# by hand\n\n  ed25519  1 a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=  \n\n"
    assert [key.seed for key in read_signing_keys(padded)] == [KEY.seed]


@pytest.mark.parametrize(
    "line",
    [
        "rsa 1 a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s",
        "ed25519 1",
        "ed25519 1 a2tr",
        "ed25519 1 a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2t!",
        "ed25519 1 sécret",
        "ed25519 1 a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s more",
    ],
)
def test_a_wrong_line_is_named_and_not_shown(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2: expected 'ed25519 <version> <seed>'$") as caught:
        read_signing_keys(write_signing_keys([KEY]) + line)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@given(signing_keys, st.integers(0, 2**53))
def test_old_keys(key: SigningKey, expired_ts: int) -> None:
    line = write_old_key(key.verify_key, expired_ts)
    [theirs] = signedjson.key.read_old_signing_keys(StringIO(line))
    assert (theirs.version, theirs.expired, bytes(theirs)) == (key.version, expired_ts, key.verify_key.public)
    [(ours, expired)] = read_old_keys("# retired\n" + line)
    assert (ours.key_id, ours.public, expired) == (key.key_id, key.verify_key.public, expired_ts)


@pytest.mark.parametrize("line", ["ed25519 a 1", "ed25519 a x AAAA", "rsa a 1 AAAA", "ed25519 a 1 AAAA"])
def test_a_wrong_old_key(line: str) -> None:
    with pytest.raises(ValueError, match="line 1: expected"):
        read_old_keys(line)
