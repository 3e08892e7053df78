"""The one way in which anything but pyinfra's own runs talks to hosts."""
