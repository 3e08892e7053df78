"""What ``uplift publish`` does: the same work as ``deploys/packages.py``, with a result a file."""
