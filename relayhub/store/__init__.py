"""The database: keys, ledger, usage. The only package that knows SQL."""
