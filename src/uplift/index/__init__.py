"""What the controller asks a package index: where a wheel is, its hash, and the wheel itself."""
