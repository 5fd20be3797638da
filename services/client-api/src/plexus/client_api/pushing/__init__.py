"""Telling push gateways of notifications.

1. The worker "push" follows the room lanes. For each event that notifies it queues a row for each pusher of
   each user notified (``queueing``), in the statement that moves its cursor.
2. Any number of workers claim rows that are due, and send them (``delivery``): a gateway that fails is tried
   again later and later, for a day; a pushkey that it rejects takes the pusher away.
3. What a gateway is told is made when it is sent (``payload``): the event as it is then, and how much is
   unread.
4. Who has read, or said something, has fewer unread messages than their pushers were last told: a row without
   an event is queued for each of those, and tells the number alone if it is another one by then.

Push Gateway API.
"""
