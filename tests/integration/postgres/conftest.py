from tests.support.postgres import database, db

__all__ = ["database", "db"]
