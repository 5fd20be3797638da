"""The content repository: upload, download, and what keeps the two honest.

1. An upload (``uploads``) streams from the socket into an object of its own, bounded while it is read.
2. When the object is complete, and only then, one statement writes its row (``queries``). A row always has
   its whole content. A crash between the two leaves an object without a row, which ``sweep`` removes later;
   nothing else has to be repaired.
3. A download (``downloads``) finds the row and streams the object, or a range of it, to who holds an access
   token. What a browser might run is sent as an attachment, and everything in a sandbox (``headers``).

With ``POST /create`` the media ID comes first and the content later; who asks in between waits a little.

Not here yet: thumbnails, media of other servers, URL previews, quarantine.
"""
