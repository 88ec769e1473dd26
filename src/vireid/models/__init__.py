"""Network parts: backbones, pooling, necks. They know no loss."""
