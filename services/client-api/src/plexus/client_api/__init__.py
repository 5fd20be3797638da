"""The client-server API: everything a client does but sync, keys and media.

A request's way: the Gateway finds the route; a feature's ``routes.py`` names the endpoint (its function is
the spec's ``operationId``) and reads the request into the models of ``models.py``; ``service.py`` does the
work with `plexus.rooms` and `plexus.users`; the answer goes back as a dict, or as bytes where events are in
it.

The features, each a folder: ``discovery``, ``voip``; ``creation``, ``membership``, ``upgrade``, ``sending``,
``delayed_events``, ``reading``, ``relations``, ``timestamps``, ``receipts``, ``typing``, ``search``,
``directory``, ``summaries``, ``mutual_rooms``, ``reports`` (rooms and events); ``accounts``, ``threepids``,
``fallback``, ``devices``, ``account_data``, ``tags``, ``profiles``, ``presence``, ``user_directory``,
``filters``, ``push_rules``, ``pushers``, ``pushing``, ``notifications``, ``openid``, ``administration``,
``server_notices`` (users). ``root`` collects them, ``worker`` what goes on without a request. Sending an
event is the hot path: a `HotRoute`, plain ASGI, no FastAPI.

Its own tables are those of reports, delayed events, the index of search, the user directory and what is
queued for push gateways. It keeps nothing in memory that matters, so it may be repeated at will.
"""
