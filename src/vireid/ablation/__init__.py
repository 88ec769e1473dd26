"""Many runs from one file: every row of a table with every seed, and the table with its statistics."""
