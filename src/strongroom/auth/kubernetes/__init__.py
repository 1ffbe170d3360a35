"""kubernetes: pods log in with the token of their service account, which the cluster's own API server judges.

Rules of this package:
- Whether a token is good is the cluster's word, asked at every login (TokenReview): an account or pod that is gone cannot log in, though
  its token has not ended. Keys in the configuration are a check before that, never in its place.
- What is asked of the cluster is about names that the cluster has confirmed. What a token says of itself chooses no path and no namespace.
- `config` and `roles` are what an administrator writes, `selector` is the language of namespace labels, `cluster` asks the API server,
  `account` reads a token's claims, `login` puts them together.
"""

from strongroom.auth.kubernetes.login import Kubernetes

__all__ = ["Kubernetes"]
