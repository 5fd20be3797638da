"""Leadership by Leases of Kubernetes (``coordination.k8s.io/v1``), fenced in PostgreSQL.

    KubernetesLeases   the adapter of `Leadership`
    LeaseApi           the few calls to the API server, each on a thread and with a time limit
    Sightings          since when each Lease has stood unchanged, by our own clock
    LeaseWatch         what is seen of the Leases without asking for them one by one

A Lease says who leads, and PostgreSQL whose writes count: a Lease can be taken from somebody who is only
slow, and a slow writer knows nothing of it. So the Lease's ``leaseTransitions`` is the epoch, the row of
``platform.lease`` holds the newest one, and `plexus.platform.leadership.fence` is the same for both adapters.
"""

from plexus.platform.leases.api import LeaseApi, connect
from plexus.platform.leases.kubernetes import KubernetesLeases
from plexus.platform.leases.sightings import Sightings
from plexus.platform.leases.watch import LeaseWatch

__all__ = ["KubernetesLeases", "LeaseApi", "LeaseWatch", "Sightings", "connect"]
