"""plexus.protocol.suspension"""

import pytest
from plexus.protocol.suspension import PERMITTED, is_permitted

from tests.support import spec


def test_reading_is_permitted_and_writing_only_by_name() -> None:
    assert is_permitted("GET", "getRoomEvents")
    assert is_permitted("POST", "leaveRoom")
    assert not is_permitted("POST", "knockRoom")
    assert not is_permitted("PUT", "not built yet")
    assert not is_permitted("PUT", None)


def test_the_names_are_operations_of_the_specification() -> None:
    place = spec.folder() / "ENDPOINTS.md"
    if not place.is_file():
        pytest.skip(f"the specification is not in {spec.folder()}")
    text = place.read_text()
    assert {name for name in PERMITTED if f"`{name}`" not in text} == set()
