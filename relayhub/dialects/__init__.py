"""Pure codecs between wire bytes and hub types, both directions. No I/O, no ``async``."""
