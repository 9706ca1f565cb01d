"""Hub types and errors. Standard library only, no I/O, no ``async``; every other package may import these."""
