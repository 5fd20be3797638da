"""Events that are sent later: scheduled, restarted, cancelled, sent at once (MSC4140).

A delayed event is a row of ``client_api.delayed_event`` until it is finalised, and some days more. Any
worker claims what is due, sends it and finalises it (``timers``). The send has the delay ID as its
transaction id, so an event whose sender died in between is sent once all the same.
"""
