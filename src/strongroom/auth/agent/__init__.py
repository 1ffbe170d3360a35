"""agent: deployed programs that each have a key of their own, made where it is used and known to nobody else.

Rules of this package:
- An agent enrols once, with a token that is good for one enrolment and ends soon. What is stored of it is a public key: whoever reads
  the store, or this server's memory, can log in as no agent.
- Every signature answers one challenge, for one purpose, at one mount, under one name; a challenge is answered once (challenges.py).
- Unknown, revoked, wrong and too late look the same from outside and cost the same; the audit log says which it was.
- Who an agent is to policies and entities is its id, new with every enrolment: nobody inherits what somebody of his name was.
- `keys`, `challenges` and `model` are rules without rows, `store` the rows and the roles, `enrolment`, `agents` and `login` the routes.
"""

from strongroom.auth.agent.login import Agents

__all__ = ["Agents"]
