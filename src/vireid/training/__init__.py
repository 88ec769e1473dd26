"""The training loop. It knows `Method`, not any method."""
