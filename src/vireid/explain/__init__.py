"""Where a network looks, what feature weakening turns down, and which attention heads were selected."""
