"""What `plexus doctor` looks at, and says in plain words.

    for finding in await examine(settings):
        print(finding.level, finding.topic, finding.says, finding.do)

Each check is a small function that returns findings: all is well, a warning (should be known), or a failure
(must be mended), and for the last two what to do. Nothing is changed; what is written to try whether it may
be is taken away again. An embedded PostgreSQL that does not
run is started for the time of the examination.

    policy       who may register, rate limits, the server's name
    keys         signing key, TLS certificate, certificate authorities
    disk         the data folder
    media        the object store, if media are kept in one
    ports        free, or taken by Plexus, or by somebody else
    database     PostgreSQL: reachable, its version, unsafe settings, locale, roles, clock, migrations
    primary      a cluster's PostgreSQL: pooler, standby, connections, what each role may
    cluster      Redis, the calls between services
    kafka        brokers and topics
    lanes        deployment, lanes, segments of facts, generation

Settings that cannot even be read have no `examine`: their `SettingsError` has the `settings_findings`.
"""

from plexus.platform.doctor.examine import examine, settings_findings
from plexus.platform.doctor.findings import Finding, Level, worst

__all__ = ["Finding", "Level", "examine", "settings_findings", "worst"]
