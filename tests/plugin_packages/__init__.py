"""The built-in plugins run the published suites exactly as a third party's package does."""
