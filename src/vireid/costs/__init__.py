"""What methods cost: counted, timed side by side, and reported; by default the cost table of the DFW-SLN paper."""
