"""SynthVI: renders a visible / near-infrared / thermal person data set."""
