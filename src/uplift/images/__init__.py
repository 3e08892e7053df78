"""Images of the registries that an inventory builds for, and the hosts that run them."""
