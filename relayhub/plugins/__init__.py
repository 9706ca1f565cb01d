"""The plugin host: finds plugins through three doors, isolates the ones that fail, and answers what they offer."""
