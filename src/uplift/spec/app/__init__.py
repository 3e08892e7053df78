"""An application on a host: two slots, one of which serves, and the releases before."""

from uplift.spec.app.models import SLOTS, App, Drain, File, Job, Route, SchemaCheck

__all__ = ["SLOTS", "App", "Drain", "File", "Job", "Route", "SchemaCheck"]
