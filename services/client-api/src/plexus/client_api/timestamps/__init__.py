"""From a date to an event: "jump to date"."""
