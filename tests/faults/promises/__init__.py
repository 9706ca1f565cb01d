"""The promises about behaviour under load, measured: see scripts/promises."""
