"""Settings, PostgreSQL, lanes, ports, HTTP, telemetry: what every service stands on."""
