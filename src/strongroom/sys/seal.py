"""`sys/seal`, the keyring's epochs and their rotation, and what clients ask about nodes.

Rules of this file:
- Sealing answers first and seals then; stepping down has nothing to do, since every node serves.
- Changing keys takes `sudo`; looking at their age and use takes a token.
"""

from __future__ import annotations

import platform
from typing import Annotated

import msgspec

from strongroom.barrier.keyring import RotateConfig
from strongroom.clock import SECOND, rfc3339
from strongroom.core.engine import read, write
from strongroom.core.fields import Seconds
from strongroom.core.response import Response
from strongroom.core.sealing.rotation import encryptions, rotate_keyring, set_rotate_config
from strongroom.storage.api import Node
from strongroom.sys.routes import Routes
from strongroom.types import format_duration


class RotateConfigBody(msgspec.Struct, frozen=True):
    """Body of sys/rotate/config."""

    max_operations: Annotated[int | msgspec.UnsetType, "Records after which a new epoch begins"] = msgspec.UNSET
    interval: Annotated[Seconds | msgspec.UnsetType, "Age after which a new epoch begins, 0 for never"] = msgspec.UNSET
    enabled: Annotated[bool | msgspec.UnsetType, "Whether epochs begin by themselves"] = msgspec.UNSET


class SealRoutes(Routes):
    """Sealing and the record key."""

    @read("replication/status", public=True)
    def replication_status(self) -> Response:
        """Say that there is no replication: nodes share one store."""
        return Response(data={"mode": "disabled"})

    @write("seal", sudo=True, writes=False)
    def seal(self) -> None:
        """Seal the server: every key leaves memory once this is answered."""
        process = self.core.process
        if not process.alone:
            self.call.once("seal the others", fn=process.seal_others)
        process.seal()

    @write("step-down", sudo=True, writes=False)
    def step_down(self) -> None:
        """Give up leadership; every node serves here, so there is none to give up."""

    @read("key-status")
    def key_status(self) -> Response:
        """Number, age and use of the current record key."""
        epoch = self.core.barrier.keys.keyring.current
        data = {"term": epoch.number, "install_time": rfc3339(epoch.created), "encryptions": encryptions(self.core)}
        return Response(data=data, mirror=True)

    @write("rotate", sudo=True)
    @write("rotate/keyring", sudo=True)
    def rotate(self) -> None:
        """Begin a new epoch of the record key; older records are sealed anew in the background."""
        rotate_keyring(self.core, self.call.transaction)

    @read("rotate/config")
    @read("rotate/keyring/config")
    def rotate_config(self) -> Response:
        """When new epochs begin by themselves."""
        config = self.core.barrier.keys.keyring.rotate
        interval = format_duration(config.interval) if config.interval else 0
        data = {"max_operations": config.max_operations, "enabled": config.enabled, "interval": interval}
        return Response(data=data)

    @write("rotate/config", body=RotateConfigBody, sudo=True)
    @write("rotate/keyring/config", body=RotateConfigBody, sudo=True)
    def set_rotate_config(self, body: RotateConfigBody) -> None:
        """Set when new epochs begin by themselves; what is not sent stays."""
        sent = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not msgspec.UNSET}
        present: RotateConfig = self.core.barrier.keys.keyring.rotate
        set_rotate_config(self.core, self.call.transaction, msgspec.structs.replace(present, **sent))

    @read("ha-status")
    def ha_status(self) -> Response:
        """The nodes that serve: this one, and all others that were heard of lately where the store is shared."""
        cluster = self.core.cluster
        settings = self.core.settings
        alone = Node("", platform.node(), settings.api_addr, settings.reported_version, sealed=False)
        nodes = [self._node(node) for node in cluster.nodes or (cluster.me or alone,)]
        return Response(data={"nodes": nodes}, mirror=True)

    def _node(self, node: Node) -> dict[str, object]:
        cluster = self.core.cluster
        only = cluster.lead if cluster.standby_codes else None
        mine = cluster.me is None or node.id == cluster.me.id
        sealed = self.core.barrier.sealed if mine else node.sealed
        return {
            "hostname": node.name,
            "api_address": node.address,
            "cluster_address": "",
            "active_node": not sealed and (only is None or only.id == node.id),
            "last_echo": rfc3339(int(node.seen * SECOND)) if node.seen else None,
            "version": node.version,
        }
