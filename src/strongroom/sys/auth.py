"""sys/auth: auth methods come, are tuned and go. All of it but the list needs sudo: whoever adds a way in decides who comes in.

Rules of this file: paths are shown without `auth/`; the rules of mounting are core/mounting.py, those of settings core/tuning.py.
"""

from __future__ import annotations

from strongroom.core import mounting
from strongroom.core.engine import delete, read, write
from strongroom.core.response import Response
from strongroom.core.tuning import EnableBody, TuneBody, shown_mount, shown_tuning
from strongroom.sys.routes import Routes, warned


class AuthRoutes(Routes):
    """Auth methods."""

    @read("auth")
    def read_auth_methods(self) -> Response:
        """List the auth methods with their settings."""
        version = self.core.settings.reported_version
        mounts = mounting.mounted(self.core, self.call, "auth")
        return Response(data={path: shown_mount(mount, version) for path, mount in mounts.items()}, mirror=True)

    @read("auth/{path...}/tune", sudo=True)
    def read_auth_tuning(self, path: str) -> Response:
        """Read the settings of an auth method, durations as they take effect."""
        mount = mounting.whole(self.core, self.call, "auth/" + path, mounting.NOT_SHOWN)
        return Response(data=shown_tuning(mount, self.core.mounts.ttls(mount)), mirror=True)

    @write("auth/{path...}/tune", body=TuneBody, sudo=True)
    def tune_auth(self, path: str, body: TuneBody) -> Response | None:
        """Change settings of an auth method."""
        mount = mounting.whole(self.core, self.call, "auth/" + path, mounting.NOT_TUNED)
        return warned(mounting.tune(self.core, self.call, mount, body))

    @read("auth/{path...}", sudo=True)
    def read_auth_method(self, path: str) -> Response:
        """Read one auth method's settings."""
        mount = mounting.whole(self.core, self.call, "auth/" + path)
        return Response(data=shown_mount(mount, self.core.settings.reported_version), mirror=True)

    @write("auth/{path...}", body=EnableBody, sudo=True)
    def enable_auth(self, path: str, body: EnableBody) -> Response | None:
        """Mount an auth method."""
        return warned(mounting.enable(self.core, self.call, "auth", path, body))

    @delete("auth/{path...}", sudo=True)
    def disable_auth(self, path: str) -> None:
        """Unmount an auth method: the tokens it issued end."""
        mounting.remove(self.core, self.call, "auth", path)
