"""`python -m vireid`, which torchrun needs."""

from vireid.cli import main

main()
