"""What a sync replica knows without asking the database: tails, views, held polls."""

from plexus.sync.replica.cut import Cut
from plexus.sync.replica.replica import Replica
from plexus.sync.replica.views import UserView

__all__ = ["Cut", "Replica", "UserView"]
