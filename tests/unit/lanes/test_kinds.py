from __future__ import annotations

from enum import IntEnum
from typing import Any

import pytest
from plexus.platform.lanes import RoomFact, UserFact
from plexus.proto.lanes.v1 import kinds_pb2


@pytest.mark.parametrize(
    ("kinds", "message"), [(RoomFact, kinds_pb2.RoomFactKind), (UserFact, kinds_pb2.UserFactKind)]
)
def test_the_numbers_are_those_of_the_messages(kinds: type[IntEnum], message: Any) -> None:
    prefix = "ROOM_FACT_KIND_" if kinds is RoomFact else "USER_FACT_KIND_"
    named = {name.removeprefix(prefix): number for name, number in message.items() if number}
    assert named == {kind.name: kind.value for kind in kinds}
