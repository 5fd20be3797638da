"""Settings: where they come from, what is refused and how it is named, and the page of them all."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from plexus.platform.settings import Settings, SettingsError, load_settings
from plexus.platform.settings.load import names, variable
from plexus.platform.settings.reference import page

ROOT = Path(__file__).parents[3]


def problems(env: dict[str, str], config: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(config, env=env)
    assert str(caught.value).startswith("The settings are wrong:")
    return caught.value.problems


def test_the_defaults_work() -> None:
    settings = load_settings(env={})
    assert settings == Settings()
    assert settings.embedded
    assert settings.signing_key_file == Path("data/signing.key")
    assert settings.rate_limits.enabled


def test_environment_over_file_over_default_and_overrides_over_all(tmp_path: Path) -> None:
    file = tmp_path / "plexus.toml"
    file.write_text('server_name = "file.org"\n[listeners.client]\nport = 1\naddresses = ["0.0.0.0"]\n')
    settings = load_settings(file, env={"PLEXUS_LISTENERS__CLIENT__PORT": "2"})
    assert (settings.server_name, settings.listeners.client.port) == ("file.org", 2)
    assert settings.listeners.client.addresses == ["0.0.0.0"]
    by_variable = load_settings(env={"PLEXUS_CONFIG": str(file)})
    assert by_variable.listeners.client.port == 1
    forced = load_settings(file, env={"PLEXUS_SERVER_NAME": "env.org"}, overrides={"server_name": "arg.org"})
    assert forced.server_name == "arg.org"


def test_lists_are_words_or_json() -> None:
    words = load_settings(env={"PLEXUS_HTTP__TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7,::1"})
    json = load_settings(env={"PLEXUS_HTTP__TRUSTED_PROXIES": '["10.0.0.0/8","192.0.2.7","::1"]'})
    assert words == json
    assert words.http.trusted_proxies[1] == ip_network("192.0.2.7/32")
    assert load_settings(env={"PLEXUS_HTTP__TRUSTED_PROXIES": ""}).http.trusted_proxies == []


def test_tables_are_json_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        """
        [discovery.client]
        "org.example.thing" = { url = "https://thing.example.org" }
        [[discovery.support_contacts]]
        matrix_id = "@admin:example.org"
        """
    )
    env = {
        "PLEXUS_DISCOVERY__CLIENT": '{"org.example.thing": {"url": "https://thing.example.org"}}',
        "PLEXUS_DISCOVERY__SUPPORT_CONTACTS": '[{"matrix_id": "@admin:example.org"}]',
    }
    by_file, by_variable = load_settings(file, env={}), load_settings(env=env)
    assert by_file.discovery == by_variable.discovery
    assert by_file.discovery.client["org.example.thing"] == {"url": "https://thing.example.org"}
    assert by_file.discovery.support_contacts[0].role == "m.role.admin"


def test_a_limit_can_be_changed_in_part() -> None:
    limit = load_settings(env={"PLEXUS_RATE_LIMITS__MESSAGE__BURST": "7"}).rate_limits.message
    assert (limit.per_second, limit.burst) == (10, 7)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PLEXUS_LISTENERS__CLIENT__PORT", "eighty", ["listeners.client.port", "integer"]),
        ("PLEXUS_LISTENERS__CLIENT__PORT", "70000", ["listeners.client.port", "65535"]),
        ("PLEXUS_SERVER_NAME", "not a name", ["server_name", "not a server name"]),
        ("PLEXUS_REGISTRATION__MODE", "everyone", ["registration.mode", "'open'"]),
        ("PLEXUS_OUTBOUND__ALLOWED_PRIVATE_RANGES", "10.0.0.0/33", ["outbound.allowed_private_ranges"]),
        ("PLEXUS_HTTP__TRUSTED_PROXIES", "[1", ["http.trusted_proxies", "list"]),
        ("PLEXUS_LISTENERS__FEDERATION__ENABLED", "true", ["listeners.federation", "certificate"]),
        ("PLEXUS_RATE_LIMITS__MESSAGE__BURST", "0", ["rate_limits.message.burst"]),
        ("PLEXUS_ROOMS__DEFAULT_VERSION", "13", ["rooms.default_version"]),
        ("PLEXUS_DISCOVERY__CLIENT", "{", ["discovery.client", "dictionary"]),
        ("PLEXUS_DISCOVERY__CLIENT", '{"m.homeserver": {}}', ["discovery.client", "Java package"]),
        ("PLEXUS_DISCOVERY__SUPPORT_CONTACTS", "[{}]", ["discovery.support_contacts", "email_address"]),
        ("PLEXUS_TURN__URIS", "turn:a.example.org", ["turn.uris needs turn.shared_secret"]),
        ("PLEXUS_TURN__URIS", "https://a.example.org", ["turn.uris"]),
        ("PLEXUS_RTC__TRANSPORTS", '[{"url": "x"}]', ["rtc.transports", "type"]),
    ],
)
def test_a_bad_value_is_named_with_its_variable(name: str, value: str, words: list[str]) -> None:
    [problem] = problems({name: value})
    for word in words:
        assert word in problem
    assert name.rpartition("__")[0] in problem


def test_an_unknown_variable_stops_the_start_and_a_near_one_is_suggested() -> None:
    found = problems({"PLEXUS_HTTP__TRUSTED_PROXY": "x", "PLEXUS_NONSENSE": "1", "HOME": "/"})
    assert found == [
        "PLEXUS_HTTP__TRUSTED_PROXY: there is no such setting; did you mean PLEXUS_HTTP__TRUSTED_PROXIES?",
        "PLEXUS_NONSENSE: there is no such setting",
    ]
    # A variable is found by its exact name only, so one in lower case would be ignored in silence.
    assert problems({"plexus_server_name": "x"})


def test_variables_that_kubernetes_adds_are_not_ours() -> None:
    env = {
        "PLEXUS_SERVICE_HOST": "10.0.0.1",
        "PLEXUS_SERVICE_PORT_HTTP": "8008",
        "PLEXUS_PORT": "tcp://10.0.0.1:8008",
        "PLEXUS_CLIENT_API_PORT_8008_TCP_ADDR": "10.0.0.1",
    }
    assert load_settings(env=env) == Settings()


def test_an_unknown_name_in_the_file_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "plexus.toml"
    file.write_text("[listeners.client]\nprot = 1\n[lisseners]\nx = 1\n")
    assert problems({}, file) == [
        "listeners.client.prot: there is no such setting",
        "lisseners: there is no such setting",
    ]


def test_a_file_that_is_not_there_or_not_toml(tmp_path: Path) -> None:
    assert "cannot be read" in problems({}, tmp_path / "none.toml")[0]
    broken = tmp_path / "broken.toml"
    broken.write_text("= 1")
    assert "is not TOML" in problems({}, broken)[0]


def test_every_secret_can_stand_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret of some length \n")
    found = 0
    for path, _ in names():
        if not path[-1].endswith("_file") or path[0] == "signing" or path[-1] == "ca_file":
            continue
        found += 1
        settings: object = load_settings(env={variable(path): str(secret)})
        for part in path[:-1]:
            settings = getattr(settings, part)
        value = getattr(settings, path[-1].removesuffix("_file"))
        # One line end is the editor's; the blank before it is part of the secret.
        assert value.get_secret_value() == "s3cret of some length "
    assert found == 12


def test_bad_secret_files_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    name = "PLEXUS_REGISTRATION__SHARED_SECRET_FILE"
    assert "shared_secret_file cannot be read" in problems({name: str(tmp_path / "none")})[0]
    assert "shared_secret_file is empty" in problems({name: str(empty)})[0]
    both = {name: str(empty), "PLEXUS_REGISTRATION__SHARED_SECRET": "x"}
    assert "both set" in problems(both)[0]


def test_secrets_are_in_no_message_and_no_repr(tmp_path: Path) -> None:
    env = {
        "PLEXUS_DATABASE__DSN": "postgresql://u:hunter2@h/d",
        "PLEXUS_REGISTRATION__SHARED_SECRET": "hunter2",
    }
    assert "hunter2" not in repr(load_settings(env=env))
    assert "hunter2" not in str(problems({**env, "PLEXUS_LISTENERS__CLIENT__PORT": "hunter2"}))


def test_the_page_is_current_and_names_every_setting() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert text == page(), "run: python -m plexus.platform.settings.reference > docs/settings.md"
    for path, _ in names():
        if path[-1].endswith("_file") and f"`{variable(path)}`" not in text:
            assert f"also `{path[-1]}`" in text
        else:
            assert f"`{variable(path)}`" in text
    assert "| none |  |" not in text
