"""Logs: one JSON object a line, with the request and the trace it belongs to, and no secrets.

Log with ``logger.info("what happened", extra={"data": {...}})``; what is in ``data`` becomes members of the
object. Never put content, passwords or tokens there; tokens that slip into a message or a traceback are
masked here.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from typing import TextIO

import orjson
from plexus.platform.settings import TelemetrySettings
from plexus.platform.telemetry.request import REQUEST

_SECRETS = re.compile(
    r"(plx_[0-9A-Za-z]+_)[0-9A-Za-z_-]+"
    r"|((?:[Bb]earer|access_token=|\"access_token\":\s?\"|refresh_token=|password['\"]?\s?[:=]\s?['\"]?)\s?)[^\s'\",&]+"
)
_NOISY = ("uvicorn.error", "asyncio", "opentelemetry", "yoyo")


def mask(text: str) -> str:
    """``text`` without access tokens and passwords."""
    return _SECRETS.sub(lambda found: (found[1] or found[2]) + "***", text)


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
        }
        request = REQUEST.get()
        if request is not None:
            entry["request_id"] = request.request_id
            entry["trace_id"] = request.trace_id
            if request.span is not None:
                entry["span_id"] = f"{request.span.get_span_context().span_id:016x}"
        data = getattr(record, "data", None)
        if isinstance(data, dict):
            entry.update(data)
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            entry["error"] = type(error).__name__
            entry["traceback"] = mask("".join(traceback.format_exception(error)))
        return orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = (
            f"{_timestamp(record.created)} {record.levelname:<7} {record.name}: {mask(record.getMessage())}"
        )
        request = REQUEST.get()
        if request is not None:
            line += f" [{request.request_id}]"
        data = getattr(record, "data", None)
        if isinstance(data, dict):
            line += "".join(f" {name}={value}" for name, value in data.items())
        if record.exc_info and record.exc_info[1] is not None:
            line += "\n" + mask("".join(traceback.format_exception(record.exc_info[1]))).rstrip()
        return line


def configure_logging(settings: TelemetrySettings, stream: TextIO | None = None) -> None:
    """Send all logging of this process to ``stream`` (standard error)."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    logging.captureWarnings(True)
    for name in _NOISY:
        # Their "info" tells of every start, stop, malformed request and step of a migration.
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _timestamp(seconds: float) -> str:
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1000):03d}Z"
