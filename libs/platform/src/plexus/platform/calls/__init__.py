"""Calls from service to service, by the port `InternalCalls`.

    DirectCalls   within one process
    HttpCalls     HTTP with protobuf, between the processes of a cluster

Which of them, and with which secret or certificates, is a matter of the settings: `open_calls`.
"""

from plexus.platform.calls.direct import DirectCalls
from plexus.platform.calls.http import HttpCalls
from plexus.platform.calls.opening import open_calls
from plexus.platform.calls.tls import CallsTls

__all__ = ["CallsTls", "DirectCalls", "HttpCalls", "open_calls"]
