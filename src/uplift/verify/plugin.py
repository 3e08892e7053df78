"""The pytest plugin: testinfra's ``host`` for every host of a pyinfra inventory."""
