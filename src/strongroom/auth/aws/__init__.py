"""aws: IAM users and roles log in with a request that they signed for AWS and that AWS, asked with it, answers with who signed.

Rules of this package:
- A client hands over a signed `GetCallerIdentity`. What is sent of it is what this server would have written itself: the body is one of two
  texts, the headers are signed ones of a short list, and where it goes is configured, never taken from the client (CVE-2020-16250).
- An answer counts only as exactly the document that STS gives to that question. JSON, other XML, and XML inside something else do not.
- A principal is compared by its whole ARN, account included, or by the unique id that AWS gives it. Nothing is cached by a name that
  another account could have too (CVE-2025-11621).
- Logins of the ec2 type are refused with a sentence; their roles, certificates, tags and lists are kept for clients that write them.
- `arn` and `proof` are pure rules, `services` asks STS and IAM; `config`, `roles`, `tags` and `lists` are what administrators write;
  `login` puts them together.
"""

from strongroom.auth.aws.login import Aws

__all__ = ["Aws"]
