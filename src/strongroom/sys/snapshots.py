"""`sys/storage/raft/snapshot`: the whole store as a file, and back, by the names that Vault's clients use.

Rules of this file:
- What is answered was read back and verified; it comes with its length, so half a download is seen as such.
- Taking one needs a token with `read`, as in Vault: it is sealed, for those whom the configuration names. Putting one back needs `sudo`;
  the server then seals itself, and its key holders decide whether it opens again.
- A snapshot to be put back is a body of bytes. Beyond the usual size it lies in a file, so that memory does not depend on the store's size.
"""

from __future__ import annotations

from typing import Any

from strongroom.barrier.snapshots.format import Manifest
from strongroom.clock import rfc3339
from strongroom.core.engine import read, write
from strongroom.core.response import Bare, Response
from strongroom.core.snapshots.putting import checked
from strongroom.errors import InvalidRequest, Unavailable
from strongroom.sys.routes import Routes

CONTENT_TYPE = "application/gzip"
ACCEPTED = 202
"""It was checked and will be in place once every key is out of memory: later than this answer."""


class SnapshotRoutes(Routes):
    """The whole store as a file."""

    @read("storage/raft/snapshot")
    def take_snapshot(self) -> Response:
        """Take a snapshot of the store: one commit, sealed, signed and read back."""
        core, now = self.core, self.clock.now()
        taken = self.call.outside("snapshot", fn=lambda: core.snapshots.take(core.barrier, now, packed=True))
        manifest = taken.manifest
        name = f"strongroom-{manifest.gsn}-{manifest.id[:8]}.snap"
        headers = (("Content-Disposition", f"attachment; filename={name}"),)
        bare = Bare(b"", CONTENT_TYPE, headers=headers, file=taken.file, size=taken.size)
        return Response(data=_shown(manifest), bare=bare)

    @write("storage/raft/snapshot", sudo=True, writes=False, large=True, unchecked=True)
    def restore_snapshot(self) -> Response:
        """Put a snapshot in the place of the store, and seal; refused where other unseal keys were in force then."""
        return self._restore(force=False)

    @write("storage/raft/snapshot-force", sudo=True, writes=False, large=True, unchecked=True)
    def force_snapshot(self) -> Response:
        """Put a snapshot in the place of the store, and seal, whichever unseal keys were in force then."""
        return self._restore(force=True)

    def _restore(self, *, force: bool) -> Response:
        core, body, process = self.core, self.call.request.upload, self.core.process
        if not body:
            raise InvalidRequest("the body is the snapshot: send the bytes of the file")
        found = self.call.outside("check the snapshot", fn=lambda: checked(core, body, force=force))
        if not process.alone and not self.call.once("seal the others", fn=process.seal_others):
            raise Unavailable("the server is being sealed by another request; the store stays as it is: unseal it, then try again")
        process.seal(found.put)
        return Response(data=_shown(found.manifest), status=ACCEPTED)


def _shown(manifest: Manifest) -> dict[str, Any]:
    """What is answered or recorded of a snapshot."""
    return {"id": manifest.id, "gsn": manifest.gsn, "created": rfc3339(manifest.created), "rows": manifest.rows, "sha256": manifest.sha256}
