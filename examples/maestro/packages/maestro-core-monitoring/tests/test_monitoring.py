"""Numbers that Prometheus can read."""

import pytest
from maestro_core_config import Settings
from maestro_core_monitoring import Metrics


def test_what_ends_well_and_what_fails_is_counted_apart() -> None:
    metrics = Metrics(Settings())
    with metrics.timed("import"):
        pass
    with pytest.raises(RuntimeError), metrics.timed("import"):
        raise RuntimeError
    assert (metrics.count("import"), metrics.count("import", "error")) == (1, 1)


def test_two_services_do_not_count_into_each_other() -> None:
    first, second = Metrics(Settings()), Metrics(Settings())
    with first.timed("import"):
        pass
    assert (first.count("import"), second.count("import")) == (1, 0)


def test_the_text_says_what_runs() -> None:
    body, kind = Metrics(Settings(service="console", version="1.4.0")).render()
    assert b'service="console",version="1.4.0"' in body
    assert kind.startswith("text/plain")
