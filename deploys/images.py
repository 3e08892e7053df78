"""Build images and push them to their registry: the block `images` of the group data.

pyinfra inventories/prod.py deploys/images.py
"""

from pyinfra import host

from uplift.operations import images
from uplift.settings import for_host, with_secrets

settings = for_host(host).images

if settings is None:
    host.log("skipped: no block 'images' in the group data")
else:
    images.built(name="Images", settings=with_secrets(settings))
