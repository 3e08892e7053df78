"""Where secrets come from, and the type that never prints itself.

Group data refers to a secret by name, ``secret("nexus/admin")``; its value is looked up on the
controller where it is used, in this order: environment variable, ``secrets.age``, the command of
``uplift.toml``. The lab's are made up instead: ``lab_secret("nexus/admin")``.
"""

from uplift.secrets.errors import MissingSecretError
from uplift.secrets.files import fact_salt, fingerprint_key
from uplift.secrets.lookup import (
    check_keepable,
    forget,
    keep,
    missing,
    peek,
    require,
    resolve,
    resolved,
)
from uplift.spec.secret import MASK, MadeSecret, Secret, SecretRef, lab_secret, references, secret

__all__ = [
    "MASK",
    "MadeSecret",
    "MissingSecretError",
    "Secret",
    "SecretRef",
    "check_keepable",
    "fact_salt",
    "fingerprint_key",
    "forget",
    "keep",
    "lab_secret",
    "missing",
    "peek",
    "references",
    "require",
    "resolve",
    "resolved",
    "secret",
]
