"""An agent's side of its auth method: enrol once, log in, change the key.

Rules of this file:
- The key is on the disk before the server is told of it, and thrown away only after the server said that it has the other one.
- What is signed names the mount by the accessor that was learnt at enrolment: another one is refused here.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

from strongroom.client import agent_file, values
from strongroom.client.agent_file import AgentFile
from strongroom.client.agent_key import AgentKey, message, new_key, token_id
from strongroom.client.client import Answer, Client
from strongroom.client.errors import BadAnswer, Refused
from strongroom.client.values import Object


class _Challenge(NamedTuple):
    text: str
    accessor: str


def enrol(client: Client, path: str, mount: str, name: str, token: str, kind: str) -> Answer:
    """Make a key file and enrol its key with an enrolment token. Raises Refused, BadSettings."""
    name = name.lower()
    challenge = _challenge(client, mount, name)
    key = new_key(kind)
    agent_file.save(path, AgentFile(mount, challenge.accessor, name, key), fresh=True)
    signed = message("enrol", challenge.accessor, name, challenge.text, token_id(token).encode(), kind.encode(), key.public)
    body: Object = {
        "enrol_token": token,
        "name": name,
        "key_type": kind,
        "public_key": _base64(key.public),
        "challenge": challenge.text,
        "signature": key.sign(signed),
    }
    try:
        return client.request("PUT", f"auth/{mount}/enrol", body=body, token="")
    except Refused:
        agent_file.remove(path)
        raise


def login(client: Client, path: str, mount: str = "") -> Answer:
    """Log in with the key of a file, at `mount` where it was moved. After a rotation whose answer was lost it finds out which key it is."""
    file = agent_file.load(path)
    if mount:
        file = file._replace(mount=mount)
    try:
        return _login(client, file, file.key)
    except Refused:
        if file.next_key is None:
            raise
    answer = _login(client, file, file.next_key)
    agent_file.save(path, file._replace(key=file.next_key, next_key=None))
    return answer


def _login(client: Client, file: AgentFile, key: AgentKey) -> Answer:
    challenge = _known_challenge(client, file)
    signed = message("login", file.accessor, file.name, challenge)
    body: Object = {"name": file.name, "challenge": challenge, "signature": key.sign(signed)}
    return client.request("PUT", f"auth/{file.mount}/login", body=body, token="")


def rotate(client: Client, path: str, kind: str, *, revoke_tokens: bool) -> Answer:
    """Change the key of a file and of the agent. Raises Refused, BadSettings."""
    file = agent_file.load(path)
    if file.next_key is not None:  # an earlier one was not finished: find out which key it is, then begin anew
        login(client, path)
        file = agent_file.load(path)._replace(next_key=None)
    following = new_key(kind or file.key.kind)
    agent_file.save(path, file._replace(next_key=following))
    challenge = _known_challenge(client, file)
    signed = message("rotate", file.accessor, file.name, challenge, following.kind.encode(), following.public)
    body: Object = {
        "challenge": challenge,
        "signature": file.key.sign(signed),
        "key_type": following.kind,
        "public_key": _base64(following.public),
        "new_signature": following.sign(signed),
        "revoke_tokens": revoke_tokens,
    }
    try:
        answer = client.request("PUT", f"auth/{file.mount}/agents/{file.name}/rotate", body=body, token="")
    except Refused as error:
        if error.status < 500:
            agent_file.save(path, file)
        raise
    agent_file.save(path, file._replace(key=following))
    return answer


def _challenge(client: Client, mount: str, name: str) -> _Challenge:
    data = client.request("PUT", f"auth/{mount}/challenge", body={"name": name}, token="").data
    found = _Challenge(values.text(data.get("challenge")), values.text(data.get("mount_accessor")))
    if not found.text or not found.accessor:
        raise BadAnswer(f"the server gave no challenge; is auth/{mount} an auth method of the type agent?")
    return found


def _known_challenge(client: Client, file: AgentFile) -> str:
    found = _challenge(client, file.mount, file.name)
    if found.accessor != file.accessor:
        raise BadAnswer(f"auth/{file.mount} is not the mount that this key was enrolled at: enrol anew, or correct the address")
    return found.text


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
