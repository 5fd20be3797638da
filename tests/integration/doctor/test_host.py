"""What is wrong on the machine: files, keys, ports; and settings that may not be meant."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from plexus.platform.clock import SystemClock
from plexus.platform.doctor import disk, examine
from plexus.platform.settings import Settings
from plexus.platform.signing import SigningKeys
from plexus.protocol.signing_key_file import write_old_key

from tests.integration.doctor.conftest import NO_PORTS, Patient, told
from tests.support.server import PlexusServer, free_port


def embedded(folder: Path, **more: Any) -> Settings:
    listeners = {**NO_PORTS, **more.pop("listeners", {})}
    return Settings(server_name="here.example.org", data_dir=folder, listeners=listeners, **more)


async def test_a_signing_key_that_others_can_read(patient: Patient) -> None:
    key = patient.folder / "signing.key"
    for mode, level in ((0o604, "failure"), (0o640, "warning"), (0o400, None), (0o600, None)):
        key.chmod(mode)
        found = told(await examine(patient.settings()), "keys")
        assert [entry[0] for entry in found] == ([] if level is None else [level])


async def test_a_signing_key_that_is_none(patient: Patient) -> None:
    key = patient.folder / "signing.key"
    for text in ("", "ed25519 a_abcd", "ed25519 a_abcd tooshort", "rsa a_abcd AAAA", "\x00\xff"):
        key.write_text(text)
        [(level, _)] = told(await examine(patient.settings()), "keys")
        assert level == "failure"
    key.unlink()
    key.mkdir(mode=0o700)
    [(level, _)] = told(await examine(patient.settings()), "keys")
    assert level == "failure"


async def test_a_signing_key_that_is_gone(patient: Patient, tmp_path: Path) -> None:
    (patient.folder / "signing.key").unlink()
    [(level, says)] = told(await examine(patient.settings()), "keys")
    assert (level, "there is no signing key" in says) == ("failure", True)
    # Of a server that has a database already.
    (tmp_path / "used" / "postgres" / "data").mkdir(parents=True)
    [(level, says)] = told(await examine(embedded(tmp_path / "used")), "keys")
    assert (level, "is gone" in says) == ("failure", True)


async def test_a_signing_key_that_has_expired(patient: Patient) -> None:
    settings = patient.settings()
    current = SigningKeys(settings.signing_key_file, settings.old_keys_file, SystemClock()).current()
    settings.old_keys_file.write_text(write_old_key(current.verify_key, 1_500_000_000_000))
    [(level, says)] = told(await examine(settings), "keys")
    assert level == "failure"
    assert "expired on 2017-07-14" in says
    settings.old_keys_file.write_text("nonsense\n")
    [(level, says)] = told(await examine(settings), "keys")
    assert (level, "cannot be read" in says) == ("failure", True)


def make_certificate(folder: Path, begins: timedelta, ends: timedelta, name: str = "tls") -> dict[str, Any]:
    """The settings of a federation listener with such a certificate; times are from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here.example.org")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return {"enabled": True, "port": 0, "certificate": certificate, "private_key": private}


@pytest.mark.parametrize(
    ("begins", "ends", "level", "words"),
    [
        (-1, 90, None, ""),
        (-1, 7, "warning", "expires on"),
        (-90, -1, "failure", "expired on"),
        (1, 90, "failure", "is not valid before"),
    ],
)
async def test_the_dates_of_a_certificate(
    patient: Patient, tmp_path: Path, begins: int, ends: int, level: str | None, words: str
) -> None:
    listener = make_certificate(tmp_path, timedelta(days=begins), timedelta(days=ends))
    found = told(await examine(patient.settings(listeners={"federation": listener})), "tls")
    assert [entry[0] for entry in found] == ([] if level is None else [level])
    assert all(words in says for _, says in found)


async def test_certificates_that_cannot_be_used(patient: Patient, tmp_path: Path) -> None:
    good = make_certificate(tmp_path, timedelta(days=-1), timedelta(days=90))
    other = make_certificate(tmp_path, timedelta(days=-1), timedelta(days=90), "other")
    (tmp_path / "nonsense").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    for change in (
        {"private_key": other["private_key"]},
        {"certificate": tmp_path / "missing"},
        {"certificate": tmp_path / "nonsense"},
    ):
        settings = patient.settings(listeners={"federation": good | change})
        [(level, says)] = told(await examine(settings), "tls")
        assert (level, "cannot be used" in says) == ("failure", True)
    good["private_key"].chmod(0o644)
    [(level, says)] = told(await examine(patient.settings(listeners={"federation": good})), "tls")
    assert (level, "can pass for this server" in says) == ("failure", True)


async def test_authorities_that_are_none(patient: Patient, tmp_path: Path) -> None:
    good = make_certificate(tmp_path, timedelta(days=-1), timedelta(days=90))["certificate"]
    assert told(await examine(patient.settings(outbound={"extra_ca": good})), "tls") == []
    for path in (tmp_path / "missing", patient.folder / "signing.key"):
        [(level, says)] = told(await examine(patient.settings(outbound={"extra_ca": path})), "tls")
        assert (level, "outbound.extra_ca" in says) == ("failure", True)


async def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", Path("/proc/plexus")):  # also for root
        found = told(await examine(embedded(folder)), "disk")
        assert found[0][0] == "failure"
        assert found[0][1].startswith("nothing can be written into ")


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    settings = embedded(tmp_path)
    free = disk.space(settings)[0]
    assert "GiB are free" in free.says
    everything = 1 << 62
    assert [finding.level for finding in disk.space(settings, short=everything)] == ["warning"]
    assert [finding.level for finding in disk.space(settings, short=everything, out=everything)] == [
        "failure"
    ]


async def test_a_port_that_somebody_has(patient: Patient) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"server":{"name":"Other"}}')
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        found = told(await examine(patient.settings(listeners={"client": {"port": port}})), "ports")
    assert found == [("failure", f"127.0.0.1 port {port} is taken by another program")]


async def test_a_port_whose_holder_says_nothing(patient: Patient) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        listeners = {"internal": {"port": port, "addresses": ["127.0.0.1"]}}
        found = told(await examine(patient.settings(listeners=listeners)), "ports")
    assert found == [("failure", f"127.0.0.1 port {port} is taken by another program")]


async def test_an_address_of_another_machine(patient: Patient) -> None:
    listeners = {"client": {"port": free_port(), "addresses": ["192.0.2.1"]}}
    found = told(await examine(patient.settings(listeners=listeners)), "ports")
    assert found == [("failure", "192.0.2.1 is not an address of this machine")]


async def test_the_port_of_another_plexus(plexus: PlexusServer, tmp_path: Path) -> None:
    for name, port in (("client", plexus.port), ("internal", plexus.internal_port)):
        found = told(await examine(embedded(tmp_path / "mine", listeners={name: {"port": port}})), "ports")
        assert found == [
            (
                "failure",
                f"127.0.0.1 port {port} is taken by another Plexus, not the one of this data folder",
            )
        ]


async def test_registration_open_to_the_world(tmp_path: Path) -> None:
    opened: dict[str, Any] = {"registration": {"mode": "open"}}
    assert told(await examine(embedded(tmp_path / "data", **opened)), "registration") == []
    for more in (
        {"listeners": {"client": {"addresses": ["0.0.0.0"], "port": 0}}},
        {"listeners": {"client": {"addresses": ["127.0.0.1", "::"], "port": 0}}},
        {"http": {"public_base_url": "https://matrix.example.org"}},
        {"http": {"trusted_proxies": ["127.0.0.1/32"]}},
    ):
        [(level, _)] = told(await examine(embedded(tmp_path / "data", **opened, **more)), "registration")
        assert level == "warning"
        for mode in ("token", "closed"):
            settings = embedded(tmp_path / "data", registration={"mode": mode}, **more)
            assert told(await examine(settings), "registration") == []


async def test_rate_limits_off(tmp_path: Path) -> None:
    [(level, _)] = told(await examine(embedded(tmp_path / "data", rate_limits={"enabled": False})), "limits")
    assert level == "warning"


async def test_plain_http_to_the_world(tmp_path: Path) -> None:
    listeners = {"client": {"addresses": ["0.0.0.0"], "port": 0}}
    [(level, _)] = told(await examine(embedded(tmp_path / "data", listeners=listeners)), "proxy")
    assert level == "warning"
    behind = embedded(tmp_path / "data", listeners=listeners, http={"trusted_proxies": ["10.0.0.0/8"]})
    assert told(await examine(behind), "proxy") == []
    assert told(await examine(embedded(tmp_path / "data")), "proxy") == []
