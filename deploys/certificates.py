"""Trust the extra CA certificates, and no longer those that were taken out of the settings.

pyinfra inventories/prod.py deploys/certificates.py
"""

from pyinfra import host

from uplift.operations import certificates
from uplift.settings import for_host

certificates.trusted(name="Extra CA certificates", settings=for_host(host).certificates)
