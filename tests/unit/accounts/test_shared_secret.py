import hashlib
import hmac

import pytest
from plexus.client_api.accounts.models import SharedSecretRegistration
from plexus.client_api.accounts.shared_secret import (
    NONCE_LIFE_MS,
    check_mac,
    check_nonce,
    make_mac,
    make_nonce,
)
from plexus.protocol.errors import Forbidden, MatrixError

SECRET = "shared"
NOW = 1_700_000_000_000


def test_a_nonce_lives_a_minute() -> None:
    nonce = make_nonce(SECRET, NOW)
    check_nonce(SECRET, nonce, NOW)
    check_nonce(SECRET, nonce, NOW + NONCE_LIFE_MS - 1)
    for when in (NOW + NONCE_LIFE_MS, NOW - 1):
        with pytest.raises(MatrixError, match="nonce"):
            check_nonce(SECRET, nonce, when)


@pytest.mark.parametrize("nonce", ["", ".", "abc", "1.2.3", f"{NOW}.aa.bb", "é.é.é"])
def test_what_we_did_not_make(nonce: str) -> None:
    with pytest.raises(MatrixError, match="nonce"):
        check_nonce(SECRET, nonce, NOW)


def test_a_nonce_of_another_secret_is_none_of_ours() -> None:
    with pytest.raises(MatrixError, match="nonce"):
        check_nonce(SECRET, make_nonce("other", NOW), NOW)


def test_the_mac_is_the_one_that_tools_compute() -> None:
    # As synapse's register_new_matrix_user documents it.
    mac = hmac.new(SECRET.encode(), digestmod=hashlib.sha1)
    mac.update(b"n\x00alice\x00wonderland\x00notadmin")
    assert make_mac(SECRET, "n", "alice", "wonderland", admin=False) == mac.hexdigest()
    mac.update(b"\x00bot")
    assert make_mac(SECRET, "n", "alice", "wonderland", admin=False, user_type="bot") == mac.hexdigest()


@pytest.mark.parametrize(
    "change", [{"admin": True}, {"username": "bob"}, {"password": "x"}, {"nonce": "m"}, {"mac": "é"}]
)
def test_a_mac_covers_everything(change: dict[str, object]) -> None:
    sent = {
        "nonce": "n",
        "username": "alice",
        "password": "wonderland",
        "mac": make_mac(SECRET, "n", "alice", "wonderland", admin=False),
    }
    check_mac(SECRET, SharedSecretRegistration.model_validate(sent))
    with pytest.raises(Forbidden):
        check_mac(SECRET, SharedSecretRegistration.model_validate({**sent, **change}))
