"""A project of a team's own: what ``uplift init`` writes.

project   which files, from where, and writing them

``own/`` holds the files that only a new project has. All others are this repository's own
deploys, inventories, group data and tests: a wheel carries them in ``files/`` (pyproject.toml says
which), a checkout reads them where they stand. So there is one source of each text.
"""
