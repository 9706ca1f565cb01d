"""From a config to the objects that serve it: what outlives every config, and the snapshot that each one makes."""
