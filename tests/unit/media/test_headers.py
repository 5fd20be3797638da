"""What is believed of an upload, and what is said of it later."""

import pytest
from plexus.media.headers import DEFAULT_TYPE, INLINE_TYPES, SECURITY, disposition, label_of
from plexus.media.models import Label, check_mxc, new_media_id, new_object_key
from plexus.protocol.errors import InvalidParam


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (b"image/png", "image/png"),
        (b"text/plain; charset=UTF-8", "text/plain; charset=UTF-8"),
        (b'text/plain;charset="utf 8"', 'text/plain;charset="utf 8"'),
        (None, DEFAULT_TYPE),
        (b"", DEFAULT_TYPE),
        (b"nonsense", DEFAULT_TYPE),
        (b"text/html\r\nSet-Cookie: a=b", DEFAULT_TYPE),
        ("text/ü".encode(), DEFAULT_TYPE),
        (b"a/" + b"b" * 300, DEFAULT_TYPE),
    ],
)
def test_a_content_type_is_kept_if_it_is_one(header: bytes | None, kept: str) -> None:
    assert label_of(header, None) == Label(kept, None)


def test_an_empty_name_is_none_and_a_long_one_is_refused() -> None:
    assert label_of(None, "").filename is None
    assert label_of(None, "ü" * 512).filename == "ü" * 512
    with pytest.raises(InvalidParam):
        label_of(None, "ü" * 513)


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/pdf", "application/xml"])
def test_what_a_browser_might_run_is_an_attachment(content_type: str) -> None:
    assert disposition(Label(content_type, None)) == b"attachment"


def test_harmless_types_are_inline_whatever_their_case_and_parameters() -> None:
    assert all(disposition(Label(harmless, None)) == b"inline" for harmless in INLINE_TYPES)
    assert disposition(Label("Text/Plain; charset=utf-8", None)) == b"inline"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat.png", b'inline; filename="cat.png"'),
        ("a b.png", b'inline; filename="a b.png"'),
        ('quo"te.png', b"inline; filename*=utf-8''quo%22te.png"),
        ("back\\slash", b"inline; filename*=utf-8''back%5Cslash"),
        ("Büro/é.png", b"inline; filename*=utf-8''B%C3%BCro%2F%C3%A9.png"),
        ("a\r\nb: c", b"inline; filename*=utf-8''a%0D%0Ab%3A%20c"),
    ],
)
def test_names_come_back_as_they_were_and_break_no_header(name: str, shown: bytes) -> None:
    assert disposition(Label("image/png", name)) == shown


def test_everything_is_sandboxed_and_may_be_embedded_elsewhere() -> None:
    headers = dict(SECURITY)
    assert headers[b"content-security-policy"] == (
        b"sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; "
        b"style-src 'unsafe-inline'; object-src 'self';"
    )
    assert headers[b"cross-origin-resource-policy"] == b"cross-origin"
    assert headers[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize(
    ("server", "media_id"),
    [
        ("x.org", "../../etc/passwd"),
        ("x.org", ""),
        ("x.org", "a.b"),
        ("x.org", "é"),
        ("a/b", "a"),
        ("a b", "a"),
    ],
)
def test_what_is_no_mxc_uri_is_refused(server: str, media_id: str) -> None:
    with pytest.raises(InvalidParam):
        check_mxc(server, media_id)


def test_our_own_ids_are_mxc_uris_and_no_two_uploads_share_an_object() -> None:
    check_mxc("x.org", new_media_id())
    assert len({new_media_id() for _ in range(100)}) == 100
    assert len({new_object_key() for _ in range(100)}) == 100
