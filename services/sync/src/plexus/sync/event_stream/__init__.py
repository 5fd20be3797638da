"""The API of before /sync, which is deprecated, and the one use of it that has no successor: looking into a
world-readable room without joining it.

- ``/initialSync`` tells all rooms with their state, ``/rooms/{roomId}/initialSync`` one of them, also to who
is
  not in it (``initial``).
- ``/events`` tells what has happened since in all rooms of the user, or in one (``stream``).
- ``/events/{eventId}`` gives an event by its id alone.

The tokens are those of /sync, and so is all that is seen. Events are read from the database: nobody is meant
to live on this.

Client-Server API, "Syncing"; "Room Previews".
"""
