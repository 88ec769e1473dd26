"""Looks at finished runs: pictures for papers (`vireid figures`) and one page to send on (`vireid report`)."""
