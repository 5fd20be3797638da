"""The client-server API: everything a client does but sync, keys and media.

A request's way: the Gateway finds the route; a feature's ``routes.py`` names the endpoint (its function is
the spec's ``operationId``) and reads the request into the models of ``models.py``; ``service.py`` does the
work with `plexus.rooms` and `plexus.users`; the answer goes back as a dict, or as bytes where events are in
it.

The features, each a folder: ``discovery``, ``voip``; ``creation``, ``membership``, ``sending``,
``delayed_events``, ``reading``, ``timestamps``, ``directory``, ``summaries``, ``mutual_rooms``,
``upgrade``, ``reports`` (rooms and events); ``accounts``, ``threepids``, ``fallback``, ``devices``,
``account_data``, ``tags``, ``profiles``, ``filters``, ``push_rules``, ``openid``, ``administration``,
``server_notices`` (users). ``root`` collects them. Sending an event is the hot path: a `HotRoute`, plain
ASGI, no FastAPI.

Its tables are ``client_api.report`` (``reports``) and ``client_api.delayed_event`` (``delayed_events``). It
keeps nothing in memory that matters, so it may be repeated at will.
"""
