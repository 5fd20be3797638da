"""Whether two addresses lead to the same server."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

_PLACE = ("service", "host", "hostaddr", "port", "dbname", "target_session_attrs", "load_balance_hosts")
_PRIMARY_ONLY = ("primary", "read-write")


def lead_to_one_server(one: str, other: str) -> bool:
    """Whether whoever is led by one address cannot end elsewhere than by the other: the same place, whoever
    asks. Several hosts count only where both addresses want the primary among them. What is no address of
    libpq leads nowhere; whoever connects is told.
    """
    try:
        parsed = [conninfo_to_dict(dsn) for dsn in (one, other)]
    except psycopg.ProgrammingError:
        return False
    first, second = ({key: words.get(key) for key in _PLACE} for words in parsed)
    if first != second:
        return False
    several = any("," in str(first[key] or "") for key in ("host", "hostaddr"))
    return not several or first["target_session_attrs"] in _PRIMARY_ONLY
